"""What is in a capture, in numbers: devices, links, services, values, errors."""

from collections.abc import Iterable
from typing import Any

from healthd.capture.summarised import (
    DeviceSummary,
    LinkSummary,
    ServiceSummary,
    Summary,
    Values,
)
from healthd.profiles.registry import Registry
from healthd.traffic.lines import (
    AdapterChanged,
    Advertised,
    Connected,
    ConnectFailed,
    Disconnected,
    Discovered,
    Line,
    Missing,
    MtuAgreed,
    Notified,
    Read,
    Start,
    Subscribed,
    Written,
)

# Of devices, links, names, and different errors. A file that is made to fill the memory has more.
MOST = 1000

_ENCRYPTED = "encrypted"


def summarise(lines: Iterable[Line], registry: Registry) -> Summary:
    """Return what is in a capture.

    Args:
        lines: of the capture.
        registry: what healthd reads.

    Raises:
        BadCapture, OSError: what the lines raise.
    """
    counting = _Counting(registry)
    for line in lines:
        counting.take(line)
    return counting.finish()


class _Counting:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._summary = Summary()
        self._devices: dict[str, DeviceSummary] = {}
        self._links: dict[int, LinkSummary] = {}
        self._values: dict[tuple[int, int], Values] = {}
        self._t = 0.0

    def take(self, line: Line) -> None:
        summary = self._summary
        summary.lines += 1
        self._t = max(self._t, line.t)
        summary.last_time = line.time.isoformat()
        if isinstance(line, Start):
            summary.source, summary.identity = line.source, line.identity
            summary.healthd, summary.system = line.healthd, line.system
            summary.first_time = line.time.isoformat()
        elif isinstance(line, AdapterChanged):
            _count(summary.adapter, f"{line.change}: {line.detail}".rstrip(": "))
        elif isinstance(line, Missing):
            self._on_missing(line)
        elif (device := self._device(line.device)) is None:
            summary.left_out += 1
        elif isinstance(line, Advertised):
            self._on_advertisement(device, line)
        elif isinstance(line, ConnectFailed):
            _count(device.failed_connects, line.error)
        elif (link := self._link(device, line)) is None:
            summary.left_out += 1
        else:
            self._on_link(device, link, line)

    def finish(self) -> Summary:
        self._summary.seconds = round(self._t, 6)
        self._summary.devices = list(self._devices.values())
        for device in self._summary.devices:
            for link in device.links:
                if link.ended is None:
                    self._end(link, self._t)
        return self._summary

    def _on_missing(self, line: Missing) -> None:
        # The place in the file is different for each of them.
        reason = (
            line.reason.split(": ", 1)[-1] if line.reason.startswith("packet ") else line.reason
        )
        _count(self._summary.missing, reason)
        self._summary.encrypted = self._summary.encrypted or _ENCRYPTED in line.reason

    def _on_advertisement(self, device: DeviceSummary, line: Advertised) -> None:
        device.advertisements += 1
        _name(device, line.name)
        data = {f"service_data_{uuid}": value for uuid, value in line.service_data.items()}
        data |= {f"manufacturer_data_{key}": value for key, value in line.manufacturer_data.items()}
        found = [profile.name for profile, _, _ in self._registry.broadcasts_in(data)]
        found += [each.name for each in self._registry.recognised(line.services, None)]
        device.advertised.extend(name for name in found if name not in device.advertised)

    def _on_link(self, device: DeviceSummary, link: LinkSummary, line: Any) -> None:
        link.seconds = round(line.t - (link.from_t or 0.0), 6)
        match line:
            case Connected():
                link.connecting_s = line.took_s
                link.from_t = None if line.joined else line.t
                link.seconds = 0.0
            case Discovered():
                known = {
                    each.uuid: self._registry.recognised([each.uuid], None)
                    for each in line.services
                }
                link.services = [
                    ServiceSummary(uuid, rows[0].name if rows else None)
                    for uuid, rows in known.items()
                ]
            case MtuAgreed():
                link.mtu = line.mtu
            case Disconnected():
                link.ended, link.code = line.reason or "unknown", line.code
                self._end(link, line.t)
            case Notified():
                self._of_value(link, line).notified(line.t)
            case Read() | Written() | Subscribed():
                self._on_request(device, link, line)
            case _:
                pass

    def _on_request(
        self, device: DeviceSummary, link: LinkSummary, line: Read | Written | Subscribed
    ) -> None:
        values = self._of_value(link, line)
        if line.error is not None or line.code is not None:
            values.errors += 1
            _count(self._summary.errors, line.error or f"ATT error {line.code:#04x}")
        elif isinstance(line, Read):
            values.reads += 1
            if line.uuid == "2a00" and line.value is not None:
                _name(device, line.value.decode("utf-8", "replace").rstrip("\0"))
        elif isinstance(line, Written):
            values.writes += 1

    def _of_value(self, link: LinkSummary, line: Read | Written | Subscribed | Notified) -> Values:
        key = link.link, line.handle
        if (values := self._values.get(key)) is None:
            values = self._values[key] = Values(line.uuid, line.handle, self._kind(line.uuid))
            link.values.append(values)
            link.values.sort(key=lambda each: each.handle)
        return values

    def _kind(self, uuid: str | None) -> str | None:
        known = None if uuid is None else self._registry.characteristics.get(uuid)
        return None if known is None else known.model.kind

    def _end(self, link: LinkSummary, t: float) -> None:
        link.seconds = round(t - (link.from_t or 0.0), 6)
        for values in link.values:
            values.end(t)

    def _device(self, address: str) -> DeviceSummary | None:
        if address not in self._devices and len(self._devices) < MOST:
            self._devices[address] = DeviceSummary(address)
        return self._devices.get(address)

    def _link(self, device: DeviceSummary, line: Any) -> LinkSummary | None:
        if line.link not in self._links and len(self._links) < MOST:
            link = LinkSummary(line.link, None)
            self._links[line.link] = link
            device.links.append(link)
        return self._links.get(line.link)


def _count(counts: dict[str, int], text: str) -> None:
    key = text if text in counts or len(counts) < MOST else "other"
    counts[key] = counts.get(key, 0) + 1


def _name(device: DeviceSummary, name: str | None) -> None:
    if name and name not in device.names and len(device.names) < MOST:
        device.names.append(name)
