"""Every characteristic and broadcast against ``tests/vectors/<uuid>.toml``.

A file holds ``[[vector]]`` tables with these keys:

``hex``       the packet; of a broadcast, the bytes after the UUID or the company id.
``expected``  the keys and values that decoding must give, no more and no fewer.
``null``      keys that must be null, which TOML cannot express.
``error``     instead of these two: a part of the DecodeError that must be raised.
``source``    the origin of the packet and its meaning.
``kind``      unit_test, device_capture or conformance (someone else's), or derived (from a layout).
``notes``     optional: what is special about it.

A broadcast has more, all optional. Its ``<uuid>`` is its name.

``key``       which of its keys carries the packet; needed only if there are several.
``ignored``   true instead of what decoding gives: it is not of this kind, and nothing decodes it.
``bind_key``  the key of a device that encrypts, in hex.
``address``   the device's address.
"""

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from healthd.capture.to_test import TO_BE_CONFIRMED
from healthd.errors import DecodeError
from healthd.profiles.characteristic import Broadcast
from healthd.profiles.options import Options
from healthd.profiles.registry import load
from tests.support.digits import too_many_digits

VECTORS = Path(__file__).parents[2] / "vectors"
ADDRESS = "C0:00:00:00:00:01"
KINDS = {"unit_test", "device_capture", "conformance", "derived"}
COUNTS, SOME = 256, 8
SOURCES = {source.uuid: source for source in load().sources}


@dataclass(frozen=True)
class Vector:
    """One table of a vector file; ``expected`` is None if ``error`` must be raised.

    Both are empty for a packet that is ignored.
    """

    uuid: str
    packet: bytes
    expected: dict[str, Any] | None
    error: str
    kind: str
    source: str
    key: str
    options: Options
    address: str
    ignored: bool

    def decode(self, size: int) -> dict[str, Any]:
        """Return the fields of the packet's first bytes, as this device sends them."""
        source = SOURCES[self.uuid]
        decode = source.decode
        if isinstance(source, Broadcast) and source.decoder is not None:
            decode = source.decoder(self.options, self.address)
        return decode(self.packet[:size]).fields()


def read(path: Path) -> list[Vector]:
    """Read the vectors of one file; KeyError names a missing or misspelled key."""
    vectors: list[Vector] = []
    for table in tomllib.loads(path.read_text())["vector"]:
        table.pop("notes", None)
        expected = table.pop("expected", None)
        if nulls := table.pop("null", []):
            expected |= dict.fromkeys(nulls)
        ignored = table.pop("ignored", False)
        bind_key = table.pop("bind_key", None)
        vectors.append(
            Vector(
                uuid=path.stem,
                packet=bytes.fromhex(table.pop("hex")),
                expected=expected,
                error="" if ignored or expected is not None else table.pop("error"),
                kind=table.pop("kind"),
                source=table.pop("source"),
                key=table.pop("key", ""),
                options=Options(bind_key=None if bind_key is None else bytes.fromhex(bind_key)),
                address=table.pop("address", ADDRESS),
                ignored=ignored,
            )
        )
        assert not table, f"{path.name}: unknown keys {sorted(table)}"
    return vectors


BY_UUID = {path.stem: read(path) for path in sorted(VECTORS.glob("*.toml"))}
ALL = [vector for vectors in BY_UUID.values() for vector in vectors]


def name(vector: Vector) -> str:
    return f"{vector.uuid}-{vector.packet.hex() or 'empty'}"


def canonical(fields: dict[str, Any]) -> bytes:
    # As JSON, because 1 == 1.0 == True.
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)


def check_each(vectors: Iterable[Vector], check: Callable[[Vector], None]) -> None:
    """Check all vectors, then raise what failed, with the names of the vectors.

    A test for each of the thousands of vectors would cost far more than the decoding.
    """
    failed: list[BaseException] = []
    for vector in vectors:
        try:
            check(vector)
        except (Exception, pytest.fail.Exception) as error:
            error.add_note(name(vector))
            failed.append(error)
    if failed:
        raise BaseExceptionGroup("vectors", failed)


@pytest.mark.parametrize("uuid", SOURCES)
def test_vectors(uuid: str) -> None:
    check_each(BY_UUID[uuid], decodes_as_expected)


def decodes_as_expected(vector: Vector) -> None:
    if vector.ignored:
        return
    if vector.expected is None:
        with pytest.raises(DecodeError) as raised:
            vector.decode(len(vector.packet))
        assert vector.error in str(raised.value)
    else:
        fields = vector.decode(len(vector.packet))
        assert fields == vector.expected
        assert canonical(fields) == canonical(vector.expected)
        assert not too_many_digits(fields)


@pytest.mark.parametrize("uuid", SOURCES)
def test_a_shorter_packet_adds_no_fields(uuid: str) -> None:
    check_each((vector for vector in BY_UUID[uuid] if vector.expected), adds_no_fields)


def adds_no_fields(vector: Vector) -> None:
    for length in range(len(vector.packet)):
        try:
            fields = vector.decode(length)
        except DecodeError:
            continue
        assert fields.keys() - {"truncated", "trailing_bytes"} <= (vector.expected or {}).keys()


@pytest.mark.parametrize("uuid", load().broadcasts)
def test_a_broadcast_fits_unless_it_is_ignored(uuid: str) -> None:
    check_each(BY_UUID[uuid], fits_as_expected)


def fits_as_expected(vector: Vector) -> None:
    registry = load()
    broadcast = registry.broadcasts[vector.uuid]
    # A broadcast with several keys has to be found under each, and its vectors say under which.
    key = vector.key or (broadcast.keys[0] if len(broadcast.keys) == 1 else "")
    assert key in broadcast.keys, f"expected the key: one of {', '.join(broadcast.keys)}"
    if vector.expected is None and not vector.ignored:
        return
    found = [each for _, each, _ in registry.broadcasts_in({key: vector.packet})]
    if vector.ignored:
        assert broadcast not in found
    else:
        assert found == [broadcast]


@pytest.mark.parametrize("uuid", load().broadcasts)
def test_each_key_of_a_broadcast_has_a_good_vector(uuid: str) -> None:
    keys = load().broadcasts[uuid].keys
    good = {vector.key or keys[0] for vector in BY_UUID[uuid] if vector.expected is not None}
    # Where a part of the key counts, some of them stand for all.
    expected = good & set(keys) if len(keys) >= COUNTS and len(good) >= SOME else set(keys)
    assert good == expected, f"tests/vectors/{uuid}.toml"


@pytest.mark.parametrize("uuid", SOURCES)
def test_source_has_good_and_bad_vectors(uuid: str) -> None:
    assert uuid in BY_UUID, f"tests/vectors/{uuid}.toml is missing"
    outcomes = {vector.expected is None for vector in BY_UUID[uuid]}
    assert outcomes == {False, True}, f"tests/vectors/{uuid}.toml lacks a good or a bad vector"


def test_every_vector_file_has_a_decoder() -> None:
    assert BY_UUID.keys() == set(SOURCES)


@pytest.mark.parametrize("uuid", SOURCES)
def test_vectors_name_their_source(uuid: str) -> None:
    vectors = BY_UUID[uuid]
    assert {vector.kind for vector in vectors} <= KINDS
    assert all(vector.source for vector in vectors)
    unconfirmed = [name(each) for each in vectors if each.source.startswith(TO_BE_CONFIRMED)]
    assert unconfirmed == [], "compare these values with a second source, and name it as `source`"
    packets = {(each.packet, each.key, each.options.bind_key, each.address) for each in vectors}
    assert len(packets) == len(vectors), "a packet is listed twice"
