import pytest

from healthd.profiles.packet.crc import is_intact

# Computes the CRC bit by bit, independently of the code under test.
from healthd.simulator.health.cgm import with_checksum


def test_check_value() -> None:
    """CRC catalogues give 0x6F91 for MCRF4XX."""
    assert is_intact(b"123456789\x91\x6f")


@pytest.mark.parametrize(
    ("message", "intact"),
    [("020008c3", True), ("1c02013c3b", True), ("6e9e01168ac1", True), ("6e9e0116afbe", False)],
)
def test_messages_of_sensors(message: str, intact: bool) -> None:
    assert is_intact(bytes.fromhex(message)) is intact


@pytest.mark.parametrize("message", [b"", bytes(18), bytes(range(18)), b"\xff" * 18])
def test_any_changed_bit_is_found(message: bytes) -> None:
    sent = with_checksum(message)
    assert is_intact(sent)
    for bit in range(len(sent) * 8):
        received = bytearray(sent)
        received[bit // 8] ^= 1 << bit % 8
        assert not is_intact(bytes(received))


@pytest.mark.parametrize("message", [b"", b"\xff"])
def test_a_message_shorter_than_a_crc_is_not_intact(message: bytes) -> None:
    assert not is_intact(message)
