"""Which scales and cuffs have their own decoders, and which do not."""

import pytest

from healthd.profiles import blood_pressure, weight_scale
from healthd.profiles.body_composition import measurement as body_composition
from healthd.profiles.identity import Identity
from healthd.profiles.quirks import Later, decoders_for, identity_of
from healthd.profiles.registry import load

CHARACTERISTICS = load().characteristics


@pytest.mark.parametrize(
    ("device", "uuid", "decode"),
    [
        (Identity("MIBCS"), "2a9c", body_composition.decode_xiaomi),
        (Identity("MIBFS"), "2a9c", body_composition.decode_xiaomi),
        (Identity("MI SCALE2"), "2a9c", body_composition.decode_xiaomi),
        (Identity("MI_SCALE"), "2a9c", body_composition.decode_xiaomi),
        (Identity("MI_SCALE"), "2a9d", weight_scale.decode_xiaomi),
        (Identity("MI SCALE2"), "2a9d", weight_scale.decode_xiaomi),
        (Identity("Shape50"), "2a9d", weight_scale.decode_tenths),
        (Identity("Shape50"), "2a9c", body_composition.decode_tenths),
        (Identity("Renpho-Scale"), "2a9d", weight_scale.decode_twentieths),
        (Identity("Renpho-Scale"), "2a9c", body_composition.decode_twentieths),
        (Identity("SBM69"), "2a35", blood_pressure.decode_plain_integers),
        (
            Identity(maker="Hans Dinslage GmbH", model="SBM69"),
            "2a35",
            blood_pressure.decode_plain_integers,
        ),
    ],
)
def test_device_with_its_own_decoder(device: Identity, uuid: str, decode: object) -> None:
    found = decoders_for(device)[uuid]
    assert isinstance(found, Later)
    assert found.function is decode


@pytest.mark.parametrize(
    ("device", "uuid"),
    [
        (Identity(), "2a9c"),
        (Identity("BF720"), "2a9c"),
        (Identity("MIBCS"), "2a9d"),
        (Identity("Shape200"), "2a9d"),
        (Identity("Shape200"), "2a9c"),
        (Identity("QN-Scale"), "2a9d"),
        (Identity("SBM70"), "2a35"),
        (Identity(maker="Hans Dinslage GmbH", model="SBM70"), "2a35"),
        (Identity("SBM69"), "2a36"),
    ],
)
def test_device_with_the_standard_decoder(device: Identity, uuid: str) -> None:
    assert uuid not in decoders_for(device)


def test_a_device_is_identified_by_what_was_read() -> None:
    facts = {"2a29": b"Hans Dinslage GmbH\0", "2a24": b"SBM69", "2a49": b"\x01"}
    assert identity_of(None, facts) == Identity(maker="Hans Dinslage GmbH", model="SBM69")
    assert identity_of("T01_1A2B", {}) == Identity("T01_1A2B")
