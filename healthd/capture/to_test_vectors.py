"""Vectors from a capture: each kind of packet that a device sends, once."""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from healthd.capture import toml
from healthd.capture.to_test import TO_BE_CONFIRMED, NothingToTest, checked_name, lines_for_test
from healthd.errors import DecodeError, Sealed
from healthd.profiles.characteristic import Broadcast, Characteristic, Framing, Use
from healthd.profiles.options import Options
from healthd.profiles.registry import Registry, load
from healthd.traffic.lines import Advertised, Discovered, Line, Notified, Read, Written

# What a person compares with a second source. A noisy device sends many different errors.
_MOST_OF_A_SOURCE = 20


class _Packet(NamedTuple):
    """Bytes for a decoder.

    Attributes:
        source: what decodes them.
        data: the bytes.
        device: the address of the device.
        key: of a broadcast: under which it came; else empty.
    """

    source: Characteristic
    data: bytes
    device: str
    key: str = ""


def vectors(file: Path, name: str, folder: Path) -> dict[Path, str]:
    """Append packets of a capture to the vectors of their characteristics and broadcasts.

    Only packets that differ in their fields, flags or errors are written, one of each; and none
    that is there already. What is in a file stays as it is.

    Args:
        file: any file that ``healthd.capture.reading.read`` reads.
        name: of the capture.
        folder: the folder of tests.

    Returns:
        The changed files, and what was added.

    Raises:
        NothingToTest: there is nothing to add.
        BadCapture: the file is damaged.
        OSError: a file cannot be read or written.
    """
    target = folder / "vectors"
    checked_name(name)
    if not target.is_dir():
        raise NothingToTest(f"{target} is no folder, expected the folder tests of a clone")
    registry = load()
    packets = _Packets(registry)
    added: dict[str, list[str]] = {}
    seen: set[tuple[Any, ...]] = set()
    for packet in packets.of(lines_for_test(file)):
        outcome = _outcome(packet)
        signature = packet.source.uuid, packet.key, outcome and _signature(outcome)
        if outcome is None or signature in seen:
            continue
        seen.add(signature)
        if len(added.get(packet.source.uuid, ())) >= _MOST_OF_A_SOURCE:
            continue
        if packet.data.hex() not in _known(target / f"{packet.source.uuid}.toml"):
            added.setdefault(packet.source.uuid, []).append(_table(packet, outcome, name))
    if not added:
        unread = ", ".join(sorted(packets.unread)) or "nothing"
        raise NothingToTest(
            "no packet that healthd decodes and the vectors lack; healthd does not read: " + unread
        )
    return {
        _append(target, uuid, tables): f"{len(tables)} vectors" for uuid, tables in added.items()
    }


class _Packets:
    """Finds the packets in lines.

    Attributes:
        unread: UUIDs of values that nothing decodes.
    """

    def __init__(self, registry: Registry) -> None:
        self.unread: set[str] = set()
        self._registry = registry
        self._uuids: frozenset[str] = frozenset()
        self._framings: dict[tuple[int, str], Framing] = {}

    def of(self, lines: Iterable[Line]) -> Iterator[_Packet]:
        for line in lines:
            if isinstance(line, Discovered):
                known = (each.uuid for service in line.services for each in service.characteristics)
                self._uuids = frozenset(known)
            elif isinstance(line, Advertised):
                yield from self._advertised(line)
            elif (
                isinstance(line, Notified | Read | Written) and line.uuid and line.value is not None
            ):
                yield from self._value(line, line.uuid, line.value)

    def _advertised(self, line: Advertised) -> Iterator[_Packet]:
        data = {f"service_data_{uuid}": value for uuid, value in line.service_data.items()}
        data |= {f"manufacturer_data_{key}": value for key, value in line.manufacturer_data.items()}
        for key, value in data.items():
            found = self._registry.broadcasts_in({key: value})
            # A vector has to fit one broadcast.
            if len(found) == 1:
                yield _Packet(found[0][1], value, line.device, key)

    def _value(self, line: Notified | Read | Written, uuid: str, value: bytes) -> Iterator[_Packet]:
        try:
            source = self._registry.source(uuid)
        except KeyError:
            self.unread.add(uuid)
            return
        if source.channel is None:
            if not isinstance(line, Written) or source.use is Use.CONTROL:
                yield _Packet(source, value, line.device)
        elif isinstance(line, Notified):
            key = line.link, source.uuid
            framing = self._framings.setdefault(key, source.channel.framing(self._uuids))
            try:
                frames = list(framing.join(uuid, value))
            except DecodeError:
                return
            for frame in frames:
                yield _Packet(source, frame, line.device)


def _outcome(packet: _Packet) -> dict[str, Any] | str | None:
    """Return the fields of a packet, or its error; None if a vector cannot say it."""
    decode = packet.source.decode
    if isinstance(packet.source, Broadcast) and packet.source.decoder is not None:
        decode = packet.source.decoder(Options(), packet.device)
    try:
        fields = decode(packet.data).fields()
        toml.table(toml.without_null(fields)[0])
    except Sealed:
        return None
    except DecodeError as error:
        return str(error)
    except toml.HasNull:
        return None
    return fields


def _signature(outcome: dict[str, Any] | str) -> Any:
    """Return what makes a packet different from others: fields, flags and whether one is null."""
    if isinstance(outcome, str):
        return outcome
    return tuple(
        (key, value if isinstance(value, bool) else value is None) for key, value in outcome.items()
    )


def _known(file: Path) -> set[str]:
    if not file.exists():
        return set()
    found = tomllib.loads(file.read_text(encoding="utf-8"))["vector"]
    return {vector["hex"].replace(" ", "") for vector in found}


def _table(packet: _Packet, outcome: dict[str, Any] | str, name: str) -> str:
    lines = ["[[vector]]", f"hex = {toml.value(packet.data.hex())}"]
    if isinstance(outcome, str):
        lines.append(f"error = {toml.value(outcome)}")
    else:
        kept, nulls = toml.without_null(outcome)
        lines.append(f"expected = {toml.table(kept)}")
        if nulls:
            lines.append(f"null = {toml.value(nulls)}")
    if isinstance(packet.source, Broadcast):
        if len(packet.source.keys) > 1:
            lines.append(f"key = {toml.value(packet.key)}")
        if packet.source.decoder is not None:
            lines.append(f"address = {toml.value(packet.device)}")
    lines.append(f"source = {toml.value(f'{TO_BE_CONFIRMED}: {name}')}")
    lines.append('kind = "device_capture"')
    return "\n".join(lines) + "\n"


def _append(folder: Path, uuid: str, tables: list[str]) -> Path:
    file = folder / f"{uuid}.toml"
    head = f"# {uuid}. Format: tests/unit/profiles/test_vectors.py\n"
    before = file.read_text(encoding="utf-8") if file.exists() else head
    file.write_text("\n".join([before.rstrip("\n") + "\n", *tables]), encoding="utf-8")
    return file
