"""Concept2 PM5: the monitor of rowers (RowErg, Dynamic), SkiErgs and BikeErgs.

It sends each kind of packet over a characteristic of its own, or all over 0080, which exists for
phones that allow only four to seven subscriptions. healthd subscribes to the others where they
exist: the monitor then leaves those packets out of 0080 (interface definition, table 3), 0080 lacks
the force curve and some of the work, and BlueZ has no such limit. At ten records a second both take
the same 30 notifications. 0080 alone is for what has nothing else.

Values come by notifications only: a read returns anything (janick/pROWess). Nothing has to be
written; without a rate the monitor sends every 0.5 s.

A PM5 with newer firmware is a fitness machine, too (1826: 2ACC and 2AD1, no control point). Its
values are all in the records here, in finer steps, so healthd does not read them; nor has it a
heart-rate service (a log of 2026 with all services of a real PM5, found by code search). The 180D
of ErgometerJS is that of a strap.

Sources of the layouts: see `packets`.
"""

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.device_information import DeviceInformation, text_decoder
from healthd.profiles.dialogue import Opening, Turn
from healthd.profiles.profile import Profile
from healthd.profiles.vendor.pm5 import models
from healthd.profiles.vendor.pm5.others import (
    decode_force_curve,
    decode_machine,
    decode_multiplexed,
    decode_sample_rate,
    set_rate,
)
from healthd.profiles.vendor.pm5.packets import SEPARATE
from healthd.profiles.vendor.pm5.state import Pm5State
from healthd.samples import Measurement


def _uuid(number: int) -> str:
    return f"ce06{number:04x}-43e5-11e4-916c-0800200c9a66"


def _packets(number: int, model: type[Measurement], *, accompanies: bool = True) -> Characteristic:
    # No silence limit: it is not known whether the monitor sends while its menus are open.
    return Characteristic(
        _uuid(number), model, SEPARATE[number], Use.STREAM, accompanies=accompanies
    )


def _text(number: int, field: str) -> Characteristic:
    return Characteristic(_uuid(number), DeviceInformation, text_decoder(field), Use.STATIC)


_RATE = _uuid(0x34)

PROFILE = Profile(
    name="pm5",
    service=_uuid(0x30),
    characteristics=(
        _text(0x11, "model"),
        _text(0x12, "serial"),
        _text(0x13, "hardware"),
        _text(0x14, "firmware"),
        _text(0x15, "maker"),
        Characteristic(_uuid(0x16), models.ErgometerMachine, decode_machine, Use.STATIC),
        _packets(0x31, models.Ergometer, accompanies=False),
        _packets(0x32, models.Ergometer, accompanies=False),
        _packets(0x33, models.Ergometer, accompanies=False),
        Characteristic(_RATE, models.ErgometerSampleRate, decode_sample_rate, Use.CONTROL),
        _packets(0x35, models.ErgometerStroke),
        _packets(0x36, models.ErgometerStroke),
        _packets(0x37, models.ErgometerSplit),
        _packets(0x38, models.ErgometerSplit),
        _packets(0x39, models.ErgometerWorkout),
        _packets(0x3A, models.ErgometerWorkout),
        Characteristic(
            _uuid(0x3D),
            models.ErgometerForceCurve,
            decode_force_curve,
            Use.STREAM,
            accompanies=True,
        ),
        Characteristic(
            _uuid(0x80),
            models.Ergometer,
            decode_multiplexed,
            Use.STREAM,
            unless=_uuid(0x31),
            others=(
                models.ErgometerStroke,
                models.ErgometerSplit,
                models.ErgometerWorkout,
                models.ErgometerForceCurve,
            ),
        ),
    ),
    state=Pm5State,
    # Like a clock that is set, it comes before the data and can fail: the monitor sends anyway.
    opening=Opening(_RATE, set_rate, answers=False, turn=Turn.CLOCK),
    derived=(models.ErgometerRecovery,),
    names=("pm5 *",),
    replaces=("1826",),
)
