"""``[[peripherals]]``: checks that need several keys."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

from healthd.settings.model import NEED_LINK
from healthd.settings.problems import Problem, one_of, shown
from healthd.settings.values import is_no_shorter

_MATCHERS = ("address", "name", "service")


class Advertised(Protocol):
    """Something that a kind of device advertises."""

    @property
    def has_decoder(self) -> bool:
        """Whether it is read with the key of a device; False if such devices do not encrypt."""
        ...


class Kind(Protocol):
    """A kind of device that ``service = …`` can name."""

    @property
    def only_advertises(self) -> bool:
        """Whether such devices are never linked."""
        ...

    @property
    def broadcasts(self) -> Sequence[Advertised]:
        """What healthd reads in advertisements of such devices."""
        ...


def peripheral_checks(
    source: str, raw: dict[str, Any], services: Mapping[str, Kind]
) -> Iterator[Problem]:
    """Yield what is wrong with peripherals, each by itself and in relation to each other.

    Args:
        source: the file.
        raw: the settings as parsed, so that it works despite other errors.
        services: the accepted values of ``service = …``, and what they mean.
    """
    entries = raw.get("peripherals", [])
    if not isinstance(entries, list):
        return
    peripherals = [
        (f"peripherals[{index}]", cast("dict[str, Any]", entry))
        for index, entry in enumerate(cast("list[object]", entries))
        if isinstance(entry, dict)
    ]
    for place, entry in peripherals:
        given = [key for key in _MATCHERS if key in entry]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            yield Problem(source, place, found, "exactly one of address, name and service")
        service = entry.get("service")
        if isinstance(service, str) and service not in services:
            expected = one_of(service, sorted(services))
            yield Problem(source, f"{place}.service", shown(service), expected)
        yield from _combination_checks(source, place, entry)
        yield from _way_checks(source, place, entry, services)
    for key in ("id", "address"):
        seen: set[str] = set()
        for place, entry in peripherals:
            if key in entry:
                # An address can be written in several ways.
                value = (
                    str(entry[key]).upper().replace("-", ":") if key == "address" else entry[key]
                )
                if str(value) in seen:
                    expected = "a value that no other peripheral uses"
                    yield Problem(source, f"{place}.{key}", shown(entry[key]), expected)
                seen.add(str(value))


def capture_checks(source: str, raw: dict[str, Any]) -> Iterator[Problem]:
    """Yield which peripherals of ``[capture]`` do not exist.

    Args:
        source: the file.
        raw: the settings as parsed.
    """
    section, entries = raw.get("capture"), raw.get("peripherals", [])
    if not isinstance(section, dict) or not isinstance(entries, list):
        return
    known = [
        str(cast("dict[str, Any]", entry).get("id"))
        for entry in cast("list[object]", entries)
        if isinstance(entry, dict)
    ]
    wanted = cast("dict[str, Any]", section).get("peripherals")
    for peripheral in cast("list[object]", wanted) if isinstance(wanted, list) else []:
        if isinstance(peripheral, str) and peripheral not in known:
            expected = one_of(peripheral, known) if known else "the id of a peripheral"
            yield Problem(source, "capture.peripherals", shown(peripheral), expected)


def _combination_checks(source: str, place: str, entry: dict[str, Any]) -> Iterator[Problem]:
    """Check the keys of a peripheral that require or exclude other keys."""
    periodic = "every" in entry or "on" in entry

    def problem(key: str, expected: str) -> Problem:
        return Problem(source, f"{place}.{key}", shown(entry[key]), expected)

    if "every" in entry and "on" in entry:
        yield problem("on", "every or on, not both")
    if "window" in entry and not periodic:
        yield problem("window", "every or on as well")
    if "rearm" in entry and "on" not in entry:
        yield problem("rearm", 'on = "advertising" as well')
    if "silence" in entry and periodic:
        yield problem("silence", "neither every nor on as well: window ends a run")
    if "start" in entry and periodic:
        yield problem("start", "neither every nor on as well: a started machine stays linked")
    if "control" in entry and periodic:
        yield problem("control", "neither every nor on as well: a controlled device stays linked")
    if is_no_shorter(entry.get("window"), entry.get("every")):
        yield problem("window", "a duration shorter than every")
    for key, other in (("user", "consent_file"), ("consent_file", "user")):
        if key in entry and other not in entry:
            yield problem(key, f"{other} as well")


def _way_checks(
    source: str, place: str, entry: dict[str, Any], services: Mapping[str, Kind]
) -> Iterator[Problem]:
    """Check that the keys of a peripheral fit to how it is received: over a link or not."""

    def problem(key: str, expected: str) -> Problem:
        return Problem(source, f"{place}.{key}", shown(entry[key]), expected)

    service, connect = entry.get("service"), entry.get("connect")
    kind = services.get(service) if isinstance(service, str) else None
    has_key = "bind_key_file" in entry
    if connect is True:
        if has_key:
            yield problem("bind_key_file", "connect = false as well: a link does not need it")
        if kind is not None and kind.only_advertises:
            yield problem("connect", f"false or no connect: {service} devices cannot be linked")
        return
    if kind is not None and not kind.broadcasts and (has_key or connect is False):
        key = "connect" if connect is False else "bind_key_file"
        yield problem(key, f"no such key: healthd reads no advertisements of {service} devices")
    elif kind is not None and has_key and not any(each.has_decoder for each in kind.broadcasts):
        yield problem("bind_key_file", f"no such key: {service} devices do not encrypt")
    if kind is not None and kind.only_advertises:
        why = f"no such key: {service} devices are only listened to"
    elif connect is False:
        why = "no such key, or connect = true: without a link it has no meaning"
    elif has_key:
        why = "no such key as well as bind_key_file: with it the device is only listened to"
    else:
        return
    yield from (problem(key, why) for key in NEED_LINK if key in entry)
