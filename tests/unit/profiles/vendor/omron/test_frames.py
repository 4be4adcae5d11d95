import random

import pytest

from healthd.errors import DecodeError
from healthd.profiles.vendor.omron import frames
from healthd.profiles.vendor.omron.frames import MEMORY, RX, TX

CHANNEL = MEMORY.channel
assert CHANNEL is not None
CLASSIC = CHANNEL.framing({*TX, *RX})
MODERN = CHANNEL.framing({TX[0], RX[0]})

# A HEM-7280T, which pads its last pieces: userx14/omblepy #57.
STARTED = ("18800000001000000094041311020778", "5a00ffff954d00e50000000000000000")
ENDED = "088f0000000000870000000000000000"
# A HEM-7140T1: the records of a phone's link, userx14/omblepy #39.
RECORDS = bytes.fromhex(
    "40810002e838584e4419ac0d1e1600001400040058494119ac0d65170000150045"
    "0054494119ac0df21700001600cf0076756219ac0d4c18000017009a0000"
)


def sealed(body: bytes) -> bytes:
    total = 0
    for byte in body:
        total ^= byte
    return body + bytes([total])


def join(*pieces: tuple[int, bytes]) -> list[bytes]:
    return [frame for place, piece in pieces for frame in CLASSIC.join(RX[place], piece)]


def test_requests_are_those_of_the_sources() -> None:
    assert frames.start().hex() == "0800000000100018"
    assert frames.end().hex() == "080f000000000007"
    assert frames.read(0x0098, 0x10).hex() == "0801000098100081"
    assert frames.read(0x0260, 0x26).hex() == "080100026026004d"


def test_a_request_is_cut_into_pieces_of_sixteen_bytes_each_to_its_own_characteristic() -> None:
    frame = bytes(range(40))
    pieces = list(CLASSIC.cut(frame))
    assert pieces == [(TX[0], frame[:16]), (TX[1], frame[16:32]), (TX[2], frame[32:])]
    assert list(MODERN.cut(frame)) == [(TX[0], frame)]


def test_an_answer_is_whole_when_all_its_pieces_are_there() -> None:
    first, second = map(bytes.fromhex, STARTED)
    assert join((0, first)) == []
    [frame] = join((1, second))
    assert frame.hex() == STARTED[0] + STARTED[1][:16]
    assert join((0, bytes.fromhex(ENDED))) == [bytes.fromhex(ENDED)[:8]]


def test_a_frame_of_four_pieces_may_have_a_piece_too_many() -> None:
    frame = sealed(RECORDS)
    pieces = [frame[at : at + 16] for at in range(0, 64, 16)]
    assert join(*enumerate(pieces)) == [frame]
    assert list(MODERN.join(RX[0], frame + bytes(3))) == [frame]


def test_what_is_left_of_a_lost_frame_is_no_part_of_the_next_one() -> None:
    first, second = map(bytes.fromhex, STARTED)
    assert join((1, second)) == []
    assert join((0, first)) == [], "the second piece is of an earlier frame"
    assert len(join((1, second))) == 1


def test_a_new_request_drops_the_pieces_of_an_answer() -> None:
    first, second = map(bytes.fromhex, STARTED)
    assert join((0, first)) == []
    list(CLASSIC.cut(frames.end()))
    assert join((1, second)) == []


@pytest.mark.parametrize("length", [0, 7, 65, 255])
def test_a_length_that_no_frame_has_is_refused(length: int) -> None:
    with pytest.raises(DecodeError, match="expected"):
        join(*((place, bytes([length]) + bytes(15)) for place in range(4)))
    # It does not stay in the way.
    assert len(join((0, bytes.fromhex(ENDED)))) == 1


@pytest.mark.parametrize("wrong", [1, 0x80])
def test_a_wrong_checksum_is_refused(wrong: int) -> None:
    frame = bytearray(bytes.fromhex(ENDED)[:8])
    frame[6] ^= wrong
    with pytest.raises(DecodeError, match="checksum"):
        join((0, bytes(frame)))
    with pytest.raises(DecodeError, match="checksum"):
        list(MODERN.join(RX[0], bytes(frame)))


@pytest.mark.parametrize("size", [0, 1, 7, 23])
def test_a_modern_frame_that_the_link_has_cut_is_refused(size: int) -> None:
    # As in hass-omron: nothing is made up of what is missing (test_rx_notification_handling.py).
    frame = bytes.fromhex("".join(STARTED))[:24]
    with pytest.raises(DecodeError, match="expected"):
        list(MODERN.join(RX[0], frame[:size]))


def test_checksums_of_all_lengths_are_found_wrong_and_right() -> None:
    rng = random.Random(1)
    for length in range(8, 256):
        frame = sealed(bytes([length]) + rng.randbytes(length - 2))
        frames.check(frame)
        damaged = bytearray(frame)
        damaged[rng.randrange(1, length)] ^= rng.randrange(1, 256)
        with pytest.raises(DecodeError, match="checksum"):
            frames.check(bytes(damaged))


def test_any_pieces_give_whole_frames_or_a_decode_error() -> None:
    rng = random.Random(2)
    for _ in range(2000):
        place, piece = rng.randrange(4), rng.randbytes(rng.choice([0, 1, 8, 16, 20]))
        for framing, uuid in ((CLASSIC, RX[place]), (MODERN, RX[0])):
            try:
                whole = list(framing.join(uuid, piece))
            except DecodeError:
                continue
            for frame in whole:
                frames.check(frame)


def test_the_answer_to_a_read_is_of_the_same_place_or_the_end() -> None:
    request = frames.read(0x0098, 0x10)
    channel = MEMORY.channel
    assert channel is not None
    answers = channel.answers
    assert answers(request, sealed(bytes.fromhex("188100009810") + bytes(17)))
    assert not answers(request, sealed(bytes.fromhex("18810000a810") + bytes(17)))
    assert not answers(request, sealed(bytes.fromhex("1081000098080000000000000000")))
    assert not answers(request, bytes.fromhex(STARTED[0] + STARTED[1])[:24])
    # The cuff ends the session: hass-omron, test_rx_notification_handling.py.
    assert answers(request, sealed(bytes.fromhex("098f000000010300")))


def test_a_read_of_less_than_was_asked_for_was_never_written() -> None:
    message = frames.decode_memory(sealed(bytes.fromhex("08810000981000")))
    assert message.data_hex == "ff" * 16
