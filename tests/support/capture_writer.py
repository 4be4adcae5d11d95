"""Writes captures by hand: what a device and a central did, without either of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from healthd.traffic import lines
from healthd.traffic.codec import encode

ADDRESS = "C0:5E:5E:00:00:01"
BEGAN = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)

BATTERY, HEART_RATE = 0x12, 0x22

STRAP = (
    lines.Service(
        uuid="180f",
        handle=0x10,
        characteristics=(lines.Characteristic(uuid="2a19", handle=BATTERY, properties=("read",)),),
    ),
    lines.Service(
        uuid="180d",
        handle=0x20,
        characteristics=(
            lines.Characteristic(
                uuid="2a37",
                handle=HEART_RATE,
                properties=("notify",),
                descriptors=(lines.Descriptor(uuid="2902", handle=HEART_RATE + 1),),
            ),
        ),
    ),
)


class CaptureWriter:
    """Collects lines; ``t`` is in seconds. With ``first_link`` a link exists already.

    Attributes:
        lines: so far.
    """

    def __init__(self, source: str = "healthd", first_link: int = 0) -> None:
        self.lines: list[lines.Line] = []
        self._address = ADDRESS
        self._link = first_link
        self.add(0, lines.Start, format=lines.FORMAT, source=source, identity="kept")

    def add(self, t: float, kind: type[lines.Line], **fields: Any) -> None:
        self.lines.append(kind(**lines.at(t, BEGAN + timedelta(seconds=t)), **fields))

    def advertise(self, t: float, **fields: Any) -> None:
        given = {"name": "Strap", "services": ("180d",), "rssi_dbm": -60, **fields}
        self.add(t, lines.Advertised, device=self._address, **given)

    def fail(self, t: float, error: str, took_s: float | None = None) -> None:
        self.add(t, lines.ConnectFailed, device=self._address, error=error, took_s=took_s)

    def connect(self, t: float, services: tuple[lines.Service, ...] | None = STRAP) -> None:
        self._link += 1
        self.on_link(t, lines.Connected)
        if services is not None:
            self.on_link(t, lines.Discovered, services=services)

    def on_link(self, t: float, kind: type[lines.Line], **fields: Any) -> None:
        self.add(t, kind, device=self._address, link=self._link, **fields)

    def read_battery(self, t: float, pct: int = 80) -> None:
        where: dict[str, Any] = {"uuid": "2a19", "handle": BATTERY}
        self.on_link(t, lines.Read, **where, value=bytes([pct]))

    def subscribe(self, t: float, uuid: str = "2a37", handle: int = HEART_RATE) -> None:
        self.on_link(t, lines.Subscribed, uuid=uuid, handle=handle, mode="notify")

    def beat(self, t: float, bpm: int) -> None:
        value = bytes([0, bpm])
        self.on_link(t, lines.Notified, uuid="2a37", handle=HEART_RATE, value=value)

    def beats(self, begin: int, end: int) -> None:
        """Notify a heart rate each second, of the same number."""
        for second in range(begin, end):
            self.beat(second, second % 250 + 1)

    def disconnect(self, t: float, reason: str = "the link ended") -> None:
        self.on_link(t, lines.Disconnected, reason=reason)

    def data(self) -> bytes:
        return b"".join(encode(line) + b"\n" for line in self.lines)
