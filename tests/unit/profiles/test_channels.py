"""Framings and dialogues of all profiles with a channel; new ones need not be listed."""

import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Channel
from healthd.profiles.dialogue import Dialogue, ExchangeRefused, NoAnswer, Request
from healthd.profiles.identity import Identity
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.registry import load
from tests.fuzz.targets.decoders import vectors
from tests.support.maker import channel, control

REGISTRY = load()
CHANNELS = {
    each.uuid: each.channel
    for each in (control(), *REGISTRY.characteristics.values())
    if each.channel is not None
}
VECTORS = vectors()
# What an answer of the largest frame takes, 64 KiB of data, while its pieces are joined.
MOST_HELD_BYTES = 512 * 1024
# More requests than a transfer of a full memory in random answers makes.
MOST_REQUESTS = 60

dialogues: list[tuple[str, Profile, Callable[[Options], Dialogue]]] = [
    (f"{profile.name} {what}", profile, asked.exchange)
    for profile in REGISTRY.profiles.values()
    for what, asked in (("opening", profile.opening), ("polling", profile.polling))
    if asked is not None and REGISTRY.characteristics[asked.control].channel is not None
] + [
    (f"{profile.name} pairing", profile, lambda _, made=profile.pairing.exchange: made(bytes(16)))
    for profile in REGISTRY.profiles.values()
    if profile.pairing is not None
]


@pytest.mark.parametrize("made", CHANNELS.values(), ids=CHANNELS)
@given(data=st.data())
def test_any_pieces_give_frames_or_a_decode_error(made: Channel, data: st.DataObject) -> None:
    if not made.notifies:
        return
    has = data.draw(st.sets(st.sampled_from([*made.writes, *made.notifies])))
    uuids = has | {made.writes[0], made.notifies[0]}
    framing = made.framing(uuids)
    notifying = [uuid for uuid in made.notifies if uuid in uuids]
    pieces = st.tuples(st.sampled_from(notifying), st.binary(max_size=24))
    for uuid, piece in data.draw(st.lists(pieces, max_size=40)):
        with suppress(DecodeError):
            for frame in framing.join(uuid, piece):
                assert isinstance(frame, bytes)


@pytest.mark.parametrize("made", CHANNELS.values(), ids=CHANNELS)
@pytest.mark.parametrize("byte", [0x00, 0x55, 0xFF])
def test_endless_pieces_are_not_kept(made: Channel, byte: int) -> None:
    framing = made.framing((*made.writes, *made.notifies))
    tracemalloc.start()
    try:
        for index in range(50_000):
            for uuid in made.notifies:
                with suppress(DecodeError):
                    list(framing.join(uuid, bytes([byte, index % 256]) * 10))
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < MOST_HELD_BYTES


@pytest.mark.parametrize(
    ("profile", "exchange"),
    [each[1:] for each in dialogues],
    ids=[each[0] for each in dialogues],
)
@given(data=st.data())
def test_any_answers_end_a_dialogue_well(
    profile: Profile, exchange: Callable[[Options], Dialogue], data: st.DataObject
) -> None:
    """An answer that was not expected must not end the session with a bug."""
    names = [pattern.replace("*", "00020116") for pattern in profile.names]
    name = data.draw(st.sampled_from(["", *names]))
    options = Options(key=bytes(16), device=Identity(name))
    known = [vector for each in profile.characteristics for vector in VECTORS.get(each.uuid, [])]
    frames = st.binary(max_size=40) | st.sampled_from(known or [b""])
    with suppress(StopIteration, ExchangeRefused, DecodeError, NoAnswer):
        dialogue = exchange(options)
        request = next(dialogue)
        for _ in range(MOST_REQUESTS):
            assert isinstance(request, bytes | Request)
            answer = data.draw(frames | st.none())
            missing = NoAnswer("none")
            request = dialogue.throw(missing) if answer is None else dialogue.send(answer)


@pytest.mark.parametrize("made", CHANNELS.values(), ids=CHANNELS)
@given(request=st.binary(min_size=1, max_size=64), frame=st.binary(max_size=64))
def test_what_answers_what_can_be_asked_of_any_frame(
    made: Channel, request: bytes, frame: bytes
) -> None:
    with suppress(DecodeError):
        assert made.answers(request, frame) in {True, False}


def test_the_made_up_channel_is_among_them() -> None:
    assert channel().writes[0] in CHANNELS
