"""Turns what the taps of one peripheral see into the lines of its captures."""

from collections.abc import Callable
from typing import Any

from healthd.central.tap import Advertised, Answer, Mode, Opened
from healthd.gateway.capturing.recording import Recording
from healthd.traffic.lines import (
    AdapterChanged,
    Connected,
    ConnectFailed,
    Disconnected,
    Discovered,
    Line,
    MtuAgreed,
    Notified,
    Read,
    Subscribed,
    Written,
)
from healthd.traffic.lines import Advertised as AdvertisedLine
from healthd.traffic.secret import is_secret

_SMALLEST_MTU = 23


class CapturedPeripheral:
    """The tap of one peripheral, and all captures of it that run.

    Attributes:
        recordings: the captures.
    """

    def __init__(self) -> None:
        """Start without a capture."""
        self.recordings: list[Recording] = []
        self._links = 0
        self._open: dict[int, _CapturedLink] = {}

    def add(self, recording: Recording) -> None:
        """Begin a capture, with the link if there is one."""
        self.recordings.append(recording)
        self._begin(recording)

    def write(self, kind: type[Line], **fields: Any) -> None:
        """Write a line to all captures."""
        for recording in self.recordings:
            if recording.sink.wants_start and not self._begin(recording):
                recording.missing += 1
            else:
                recording.write(kind, **fields)

    def _begin(self, recording: Recording) -> bool:
        if not recording.begin():
            return False
        for link in self._open.values():
            link.introduce(recording.write, joined=True)
        return True

    def on_advertisement(self, advertised: Advertised) -> None:
        """See ``Tap``."""
        self.write(
            AdvertisedLine,
            device=advertised.address,
            name=advertised.name,
            rssi_dbm=advertised.rssi_dbm,
            services=advertised.services,
            service_data=advertised.service_data,
            manufacturer_data={
                f"{company:04x}": bytes(value)
                for company, value in advertised.manufacturer_data.items()
            },
        )

    def on_connect_failed(self, address: str, error: str, took_s: float) -> None:
        """See ``Tap``."""
        self.write(ConnectFailed, device=address, error=error, took_s=took_s)

    def on_connected(self, opened: Opened) -> "_CapturedLink":
        """See ``Tap``."""
        self._links += 1
        link = _CapturedLink(self._links, opened, self.write, self._open)
        self._open[self._links] = link
        link.introduce(self.write, joined=opened.took_s is None)
        return link

    def on_adapter(self, change: str, adapter: str, detail: str) -> None:
        """Handle a change of an adapter, or of BlueZ."""
        text = " ".join(part for part in (adapter, detail) if part)
        self.write(AdapterChanged, change=change, detail=text)


class _CapturedLink:
    """The tap of one link."""

    def __init__(
        self,
        number: int,
        opened: Opened,
        write: Callable[..., None],
        links: dict[int, "_CapturedLink"],
    ) -> None:
        self._number = number
        self._opened = opened
        self._write = write
        self._links = links
        self._of = {"device": opened.address, "link": number}
        self._handles: dict[str, int] = {}
        self._confirmed: set[str] = set()
        for service in opened.services:
            for each in service["characteristics"]:
                # The link uses the first one with a UUID, too.
                self._handles.setdefault(each["uuid"], each["handle"])
                if "notify" not in each["properties"]:
                    self._confirmed.add(each["uuid"])

    def introduce(self, write: Callable[..., None], *, joined: bool) -> None:
        took_s = None if joined else self._opened.took_s
        write(Connected, **self._of, joined=joined, took_s=took_s)
        write(Discovered, **self._of, services=self._opened.services)
        if self._opened.mtu is not None and self._opened.mtu >= _SMALLEST_MTU:
            write(MtuAgreed, **self._of, mtu=self._opened.mtu)

    def on_value(self, uuid: str, value: bytes) -> None:
        self._put(Notified, uuid, value=value, confirmed=uuid in self._confirmed)

    def on_read(self, uuid: str, value: bytes | None, answer: Answer) -> None:
        self._put(Read, uuid, value=value, **answer._asdict())

    def on_written(self, uuid: str, value: bytes, response: bool, answer: Answer) -> None:
        written = None if is_secret(uuid, value) else value
        self._put(Written, uuid, value=written, response=response, **answer._asdict())

    def on_subscribed(self, uuid: str, mode: Mode, answer: Answer) -> None:
        self._put(Subscribed, uuid, mode=mode, **answer._asdict())

    def on_disconnected(self, reason: str | None) -> None:
        if self._links.pop(self._number, None) is not None:
            self._write(Disconnected, **self._of, reason=reason)

    def _put(self, kind: type[Line], uuid: str, **fields: Any) -> None:
        # What ends with the link is reported after it.
        if self._number in self._links:
            self._write(kind, **self._of, uuid=uuid, handle=self._handles[uuid], **fields)
