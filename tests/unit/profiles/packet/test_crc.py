import pytest

from healthd.profiles.packet.crc import crc_of, is_intact, with_crc


def test_check_value() -> None:
    """The one that catalogues of CRCs give for MCRF4XX: 0x6F91."""
    assert crc_of(b"123456789") == b"\x91\x6f"


@pytest.mark.parametrize(
    ("message", "intact"),
    [("020008c3", True), ("1c02013c3b", True), ("6e9e01168ac1", True), ("6e9e0116afbe", False)],
)
def test_messages_of_sensors(message: str, intact: bool) -> None:
    assert is_intact(bytes.fromhex(message)) is intact


@pytest.mark.parametrize("message", [b"", bytes(18), bytes(range(18)), b"\xff" * 18])
def test_any_changed_bit_is_found(message: bytes) -> None:
    sent = with_crc(message)
    assert is_intact(sent)
    for bit in range(len(sent) * 8):
        received = bytearray(sent)
        received[bit // 8] ^= 1 << bit % 8
        assert not is_intact(bytes(received))


@pytest.mark.parametrize("message", [b"", b"\xff"])
def test_too_short_to_hold_one(message: bytes) -> None:
    assert not is_intact(message)
