"""Checksums of small files: any changed bit is found, and readers of JSON do not see them."""

from pathlib import Path

import orjson
import pytest

from healthd.host.seal import MOST_BYTES, Unsealed, read_sealed, seal

CONTENT = b'{"scale":{"wall_ns":1795485811000000000}}'


def test_the_content_stays_json_for_every_reader(tmp_path: Path) -> None:
    file = tmp_path / "it.json"
    file.write_bytes(seal(CONTENT))
    assert orjson.loads(file.read_bytes()) == orjson.loads(CONTENT)
    assert read_sealed(file) == CONTENT


def test_a_file_of_an_older_version_has_none(tmp_path: Path) -> None:
    file = tmp_path / "it.json"
    file.write_bytes(CONTENT)
    assert read_sealed(file) == CONTENT


def test_no_flipped_bit_gives_another_value(tmp_path: Path) -> None:
    file, sealed = tmp_path / "it.json", seal(CONTENT)
    for at in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[at] ^= 1 << bit
            file.write_bytes(changed)
            try:
                found = orjson.loads(read_sealed(file))
            except ValueError:
                continue
            assert found == orjson.loads(CONTENT), (at, bit)


def test_a_file_that_is_cut_short_gives_no_other_value(tmp_path: Path) -> None:
    file, sealed = tmp_path / "it.json", seal(CONTENT)
    for length in range(len(sealed)):
        file.write_bytes(sealed[:length])
        try:
            found = orjson.loads(read_sealed(file))
        except ValueError:
            continue
        assert found == orjson.loads(CONTENT), length


def test_a_huge_file_is_not_read_into_memory(tmp_path: Path) -> None:
    file = tmp_path / "it.json"
    with file.open("wb") as opened:
        opened.truncate(100 * MOST_BYTES)
    with pytest.raises(Unsealed, match="larger than"):
        read_sealed(file)
