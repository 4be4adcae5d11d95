"""What profiles declare about requests has to fit together."""

from dataclasses import replace

import pytest

from healthd.profiles.battery import Battery, decode_level
from healthd.profiles.characteristic import Channel, Characteristic, Use
from healthd.profiles.dialogue import Dialogue, Opening, Pairing, Polling, Request
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry
from tests.support.maker import Pieces, channel, control

BOX = Profile("box", "fff0", (control(),))


def nothing(_: Options) -> Dialogue:
    yield b""


def agree(_: bytes) -> Dialogue:
    yield b""


def own(made: Channel, uuid: str = "fff1", use: Use = Use.CONTROL) -> Profile:
    return Profile("box", "fff0", (Characteristic(uuid, Battery, decode_level, use, channel=made),))


@pytest.mark.parametrize(
    ("profiles", "error"),
    [
        ([own(channel(), use=Use.STREAM)], "no control point"),
        ([own(channel(), uuid="fff2")], "a device may lack the others"),
        ([own(Channel((), ("fff1",), Pieces))], "a device may lack the others"),
        ([own(channel(answer_s=0.0))], "waits for no answer"),
        ([own(channel(tries=0))], "waits for no answer"),
        ([own(Channel(("FFF1",), (), Pieces), uuid="FFF1")], "not in the form"),
        (
            [
                BOX,
                Profile(
                    "other", "1810", (Characteristic("fff4", Battery, decode_level, Use.STREAM),)
                ),
            ],
            "fff4 belongs to",
        ),
        (
            [
                BOX,
                replace(
                    own(Channel(("fff9",), ("fff3",), Pieces), "fff9"), name="b", service="1822"
                ),
            ],
            "fff3 belongs to",
        ),
        ([replace(BOX, opening=Opening("fffa", nothing))], "box asks fffa"),
        ([replace(BOX, polling=Polling("fffa", nothing, 1.0))], "box asks fffa"),
        ([replace(BOX, pairing=Pairing("fffa", agree, 16, "hold it"))], "box asks fffa"),
        ([replace(BOX, polling=Polling("fff1", nothing, 0.0))], "without a pause"),
        ([replace(BOX, pairing=Pairing("fff1", agree, 0, "hold it"))], "key of no bytes"),
        ([replace(BOX, commands={"start": Request(b"1", "fffa")})], "box writes fffa"),
        ([replace(BOX, anywhere=Opening("fffa", nothing))], "box writes fffa"),
        ([replace(BOX, replaces=("fff0",))], "give way to each other"),
        (
            [
                replace(BOX, replaces=("1810",)),
                Profile("other", "1810", replaces=("fff0",)),
            ],
            "box and other give way to each other",
        ),
        (
            [
                replace(BOX, gives_way_to=("1810",)),
                Profile("other", "1810", gives_way_to=("fff0",)),
            ],
            "box and other give way to each other",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(profiles: list[Profile], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Registry(profiles)


def test_what_fits_together_is_accepted() -> None:
    box = replace(
        BOX,
        opening=Opening("fff1", nothing),
        polling=Polling("fff1", nothing, 2.0),
        pairing=Pairing("fff1", agree, 16, "hold it"),
        commands={"start": Request(b"1", "fff1"), "stop": Request(b"0")},
        replaces=("1810",),
    )
    same = Profile("same", "fffb", (control(),))
    known = Registry([replace(box, characteristics=same.characteristics), same])
    assert known.memories == {"fff1"}


def test_only_what_hands_out_data_over_a_channel_counts_as_a_memory() -> None:
    assert Registry([replace(BOX, polling=Polling("fff1", nothing, 2.0))]).memories == frozenset()


def test_pieces_are_decoded_by_the_control_point() -> None:
    registry = Registry([BOX])
    assert registry.source("fff4") is registry.source("fff1") is BOX.characteristics[0]
