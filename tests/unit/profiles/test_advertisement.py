"""Structures of advertisements, as the Core Specification describes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import DecodeError
from healthd.profiles.advertisement import MOST_BYTES, Structure, advertised, structures

# The example of bthome.io: flags, a name, service data.
WHOLE = bytes.fromhex("020106 0b094449592d73656e736f72 0a16d2fc4002c40903bf13")


def test_an_advertisement_is_taken_apart() -> None:
    assert structures(WHOLE) == [
        Structure(0, 0x01, b"\x06"),
        Structure(3, 0x09, b"DIY-sensor"),
        Structure(15, 0x16, bytes.fromhex("d2fc4002c40903bf13")),
    ]
    name, data = advertised(WHOLE)
    assert name == "DIY-sensor"
    assert data == (("service_data_fcd2", bytes.fromhex("4002c40903bf13")),)


@pytest.mark.parametrize(
    ("structure", "key"),
    [
        ("0516d2fc4041", "service_data_fcd2"),
        ("0720d2fc00004041", "service_data_fcd2"),
        ("0720d2fc01004041", "service_data_0001fcd2-0000-1000-8000-00805f9b34fb"),
        ("1321fb349b5f80000080001000001d1800004041", "service_data_181d"),
        (
            "1321c8f08d2d8dcaad1c87f3e702815c00fb4041",
            "service_data_fb005c81-02e7-f387-1cad-ca8d2d8df0c8",
        ),
        ("05ff57014041", "manufacturer_data_0157"),
    ],
)
def test_every_kind_of_data_has_its_key(structure: str, key: str) -> None:
    assert advertised(bytes.fromhex(structure)).data == ((key, b"\x40\x41"),)


def test_data_may_be_empty_and_may_occur_twice() -> None:
    twice = bytes.fromhex("03ff5701 04ff570102")
    assert advertised(twice).data == (
        ("manufacturer_data_0157", b""),
        ("manufacturer_data_0157", b"\x02"),
    )


@pytest.mark.parametrize(
    ("packet", "name"),
    [
        ("0508506f6c61", "Pola"),
        ("0508506f6c61 0609506f6c6172", "Polar"),
        ("0609506f6c6172 0508506f6c61", "Polar"),
        ("0109", ""),
        ("0209ff", "\N{REPLACEMENT CHARACTER}"),
        ("07091b5b3468e280", "[4h\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_the_complete_name_counts_and_is_cleaned(packet: str, name: str) -> None:
    assert advertised(bytes.fromhex(packet)).name == name


def test_zeros_between_and_after_structures_are_padding() -> None:
    padded = WHOLE.ljust(31, b"\0") + b"\5\xff\x57\1\2\3" + bytes(25)
    assert [structure.type for structure in structures(padded)] == [1, 9, 0x16, 0xFF]
    assert structures(bytes(31)) == structures(b"") == []


@pytest.mark.parametrize("end", range(4, 15))
def test_a_structure_that_is_cut_off_is_named(end: int) -> None:
    with pytest.raises(DecodeError, match=f"offset 3: a structure of 11 bytes, found {end - 4}$"):
        structures(WHOLE[:end])


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        ("020106 0216d2", "offset 3: found 1 bytes, expected a UUID of 2 bytes"),
        ("0420d2fc00", "offset 0: found 3 bytes, expected a UUID of 4 bytes"),
        ("0321d2fc", "offset 0: found 2 bytes, expected a UUID of 16 bytes"),
        ("01ff", "offset 0: found 0 bytes, expected a company id of 2 bytes"),
    ],
)
def test_data_without_room_for_its_number_is_named(packet: str, message: str) -> None:
    with pytest.raises(DecodeError) as raised:
        advertised(bytes.fromhex(packet))
    assert str(raised.value) == message


def test_more_than_any_advertisement_is_refused() -> None:
    assert structures(bytes(MOST_BYTES)) == []
    with pytest.raises(DecodeError, match="found 3301 bytes, expected at most 3300"):
        structures(bytes(MOST_BYTES + 1))


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=254))))
def test_what_is_put_together_is_taken_apart_again(parts: list[tuple[int, bytes]]) -> None:
    packet = b"".join(bytes((1 + len(data), kind)) + data for kind, data in parts)
    if len(packet) <= MOST_BYTES:
        assert [(kind, data) for _, kind, data in structures(packet)] == parts


@given(st.binary(max_size=80))
def test_any_bytes_are_an_advertisement_or_a_decode_error(packet: bytes) -> None:
    try:
        name, data = advertised(packet)
    except DecodeError:
        return
    assert len(name) + sum(len(value) for _, value in data) <= len(packet)
