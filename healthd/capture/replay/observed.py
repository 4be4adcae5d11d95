"""What a capture of another program may lack, or may have in another form."""

import re
from collections.abc import Iterable

from healthd.profiles.listing import Listed
from healthd.profiles.uuids import canonical_uuid
from healthd.traffic.codec import BadCapture
from healthd.traffic.lines import (
    Advertised,
    Characteristic,
    Discovered,
    Line,
    Notified,
    Read,
    Service,
    Subscribed,
    Written,
)

_COMPANY = re.compile(r"[0-9a-fA-F]{4}")
_FOUR = "expected four hex digits"


def check(line: Line) -> None:
    """Check what a capture of another program may have in another form.

    Raises:
        BadCapture: a UUID or the id of a company is not one.
    """
    found: list[str] = []
    match line:
        case Advertised():
            found = [*line.services, *line.service_data]
            for company in line.manufacturer_data:
                if not _COMPANY.fullmatch(company):
                    raise BadCapture(f"line at {line.t} s", f"found company {company!r}, {_FOUR}")
        case Discovered():
            for service in line.services:
                each = service.characteristics
                descriptors = [descriptor.uuid for one in each for descriptor in one.descriptors]
                found += [service.uuid, *(one.uuid for one in each), *descriptors]
        case Read() | Written() | Subscribed() | Notified() if line.uuid is not None:
            found = [line.uuid]
        case _:
            pass
    for uuid in found:
        try:
            canonical_uuid(uuid)
        except ValueError as error:
            raise BadCapture(f"line at {line.t} s", f"found {uuid!r}, {error}") from error


def observed(used: Iterable[Line], known: Iterable[Listed]) -> tuple[Service, ...]:
    """Return services for a device whose discovery is not in the capture.

    Args:
        used: what was read, written and notified.
        known: what healthd reads: it says which service a characteristic is of.
    """
    properties: dict[tuple[str, int], set[str]] = {}
    for line in used:
        if not isinstance(line, Read | Written | Subscribed | Notified) or line.uuid is None:
            continue
        found = properties.setdefault((canonical_uuid(line.uuid), line.handle), set())
        match line:
            case Read():
                found.add("read")
            case Written():
                found.add("write" if line.response else "write-without-response")
            case Subscribed():
                found.update(() if line.mode == "off" else (line.mode,))
            case Notified():
                found.add("indicate" if line.confirmed else "notify")
    left = {
        uuid: Characteristic(uuid=uuid, handle=handle, properties=tuple(sorted(found)))
        for (uuid, handle), found in sorted(properties.items(), key=lambda item: item[0][1])
    }
    services: list[Service] = []
    # Some characteristics are part of several services: the one with most of the others has them.
    for row in sorted(known, key=lambda row: -len(left.keys() & set(row.uuids))):
        mine = [left.pop(uuid) for uuid in tuple(left) if uuid in row.uuids]
        if mine and row.service:
            handle = max(1, mine[0].handle - 2)
            services.append(Service(uuid=row.service, handle=handle, characteristics=tuple(mine)))
    return tuple(sorted(services, key=lambda service: service.handle))
