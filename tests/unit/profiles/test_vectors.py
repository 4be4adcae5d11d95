"""Every characteristic against ``tests/vectors/<uuid>.toml``.

A file holds ``[[vector]]`` tables with these keys:

``hex``       the packet.
``expected``  the keys and values that decoding must give, no more and no fewer.
``null``      keys that must be null, which TOML cannot express.
``error``     instead of these two: a part of the DecodeError that must be raised.
``source``    the origin of the packet and its meaning.
``kind``      unit_test, device_capture or conformance (someone else's), or derived (from a layout).
``notes``     optional: what is special about it.
"""

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from healthd.errors import DecodeError
from healthd.profiles.registry import load
from tests.support.digits import too_many_digits

VECTORS = Path(__file__).parents[2] / "vectors"
KINDS = {"unit_test", "device_capture", "conformance", "derived"}
CHARACTERISTICS = load().characteristics


@dataclass(frozen=True)
class Vector:
    """One table of a vector file; ``expected`` is None if ``error`` must be raised."""

    uuid: str
    packet: bytes
    expected: dict[str, Any] | None
    error: str
    kind: str
    source: str


def read(path: Path) -> list[Vector]:
    """Read the vectors of one file; KeyError names a missing or misspelled key."""
    vectors: list[Vector] = []
    for table in tomllib.loads(path.read_text())["vector"]:
        table.pop("notes", None)
        expected = table.pop("expected", None)
        if nulls := table.pop("null", []):
            expected |= dict.fromkeys(nulls)
        vectors.append(
            Vector(
                uuid=path.stem,
                packet=bytes.fromhex(table.pop("hex")),
                expected=expected,
                error="" if expected is not None else table.pop("error"),
                kind=table.pop("kind"),
                source=table.pop("source"),
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


@pytest.mark.parametrize("uuid", CHARACTERISTICS)
def test_vectors(uuid: str) -> None:
    check_each(BY_UUID[uuid], decodes_as_expected)


def decodes_as_expected(vector: Vector) -> None:
    decode = CHARACTERISTICS[vector.uuid].decode
    if vector.expected is None:
        with pytest.raises(DecodeError) as raised:
            decode(vector.packet)
        assert vector.error in str(raised.value)
    else:
        fields = decode(vector.packet).fields()
        assert fields == vector.expected
        assert canonical(fields) == canonical(vector.expected)
        assert not too_many_digits(fields)


@pytest.mark.parametrize("uuid", CHARACTERISTICS)
def test_a_shorter_packet_adds_no_fields(uuid: str) -> None:
    check_each((vector for vector in BY_UUID[uuid] if vector.expected), adds_no_fields)


def adds_no_fields(vector: Vector) -> None:
    for length in range(len(vector.packet)):
        try:
            fields = CHARACTERISTICS[vector.uuid].decode(vector.packet[:length]).fields()
        except DecodeError:
            continue
        assert fields.keys() - {"truncated", "trailing_bytes"} <= (vector.expected or {}).keys()


@pytest.mark.parametrize("uuid", CHARACTERISTICS)
def test_characteristic_has_good_and_bad_vectors(uuid: str) -> None:
    assert uuid in BY_UUID, f"tests/vectors/{uuid}.toml is missing"
    outcomes = {vector.expected is None for vector in BY_UUID[uuid]}
    assert outcomes == {False, True}, f"tests/vectors/{uuid}.toml lacks a good or a bad vector"


def test_every_vector_file_has_a_decoder() -> None:
    assert BY_UUID.keys() == set(CHARACTERISTICS)


@pytest.mark.parametrize("uuid", CHARACTERISTICS)
def test_vectors_name_their_source(uuid: str) -> None:
    vectors = BY_UUID[uuid]
    assert {vector.kind for vector in vectors} <= KINDS
    assert all(vector.source for vector in vectors)
    assert len({vector.packet for vector in vectors}) == len(vectors), "a packet is listed twice"
