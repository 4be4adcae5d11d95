"""Advertisements: written, read, and damaged."""

import random

import pytest

from healthd.simulator.structures import (
    Contents,
    advertised,
    complete_name,
    contents,
    flags,
    service_list,
)

BASE = "0000{}-0000-1000-8000-00805f9b34fb"
LONG = "00002100-5b1e-4347-b07c-97b514dae121"


# A Mi Band 4 with its scan response and a Mi Scale, heard by ble_monitor (custom-components/
# ble_monitor, test_miscale_parser.py, MIT); the addresses in them are made up.
def test_advertisements_of_real_devices_are_read() -> None:
    scale = contents(
        bytes.fromhex("02010603021d1809ff570102005e1000100d161d18a22044b20701010a1a15")
    )
    assert scale == Contents(
        services=[BASE.format("181d")],
        service_data={BASE.format("181d"): bytes.fromhex("a22044b20701010a1a15")},
        manufacturer_data={0x0157: bytes.fromhex("02005e100010")},
    )
    band = contents(
        bytes.fromhex(
            "0201061bff570102020154ffffffffffffffffffffffffff0302005e100014"
            "10094d6920536d6172742042616e6420340302e0fe0716e0fe0b000000"
        )
    )
    assert band.name == "Mi Smart Band 4"
    assert band.service_data == {BASE.format("fee0"): bytes.fromhex("0b000000")}
    assert band.manufacturer_data[0x0157][:4].hex() == "02020154"


def test_what_is_written_is_read() -> None:
    data = {
        "service_data_181d": b"\x01\x02",
        "service_data_0000fcd2": b"\x03",
        f"service_data_{LONG}": b"",
        "manufacturer_data_0102": b"\x04",
    }
    written = flags() + service_list("181d", "1809") + complete_name("Wäge") + advertised(data)
    assert contents(written) == Contents(
        name="Wäge",
        services=[BASE.format("181d"), BASE.format("1809")],
        service_data={
            BASE.format("181d"): b"\x01\x02",
            BASE.format("fcd2"): b"\x03",
            LONG: b"",
        },
        manufacturer_data={0x0102: b"\x04"},
    )
    assert contents(service_list(LONG)).services == [LONG]


@pytest.mark.parametrize(
    ("hexed", "expected"),
    [
        ("", Contents()),
        ("05ff0201aabb", Contents(manufacturer_data={0x0102: b"\xaa\xbb"})),
        ("06ff0201aabb", Contents()),  # longer than what is left
        ("00ff05ff0201aabb", Contents()),  # the end
        ("02ff02", Contents()),  # no whole company id
        ("03ff0201", Contents(manufacturer_data={0x0102: b""})),
        ("0216d2", Contents()),  # no whole UUID
        ("04031d18ff", Contents(services=[BASE.format("181d")])),
        ("0409418042", Contents(name="A B")),  # not UTF-8: a space for what is not ASCII
        ("0309410003094142", Contents(name="AB")),
        ("020af4", Contents(tx_power=-12)),
        ("04ff02010104ff020102", Contents(manufacturer_data={0x0102: b"\x02"})),
    ],
)
def test_damaged_and_unusual_structures(hexed: str, expected: Contents) -> None:
    assert contents(bytes.fromhex(hexed)) == expected


def test_any_bytes_are_read() -> None:
    rng = random.Random(1)
    for _ in range(5000):
        contents(rng.randbytes(rng.randrange(64)))
