"""Contec CMS50D-BT and its kin, among them the EMAY SleepO2, which send for a while when asked to.

Nothing is asked of a device with another name: this service is also that of desks that move.

Sources: OxiVis issue 2 (captures), EMAYProtocol of AnxietyWatch (a capture), OSCAR
contec_ble_protocol.cpp (frames, names). They agree on pulse and SpO2. The third byte differs and is
not read: for OxiVis it is a sign of the finger, for EMAY a constant. Encrypted values of newer
firmware, which OSCAR describes, do not pass for values.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Channel, Characteristic, Use
from healthd.profiles.common.framing import whole_frames
from healthd.profiles.dialogue import Dialogue, Polling
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.pulse_oximeter import PulseOximeter
from healthd.samples import Measurement, quantity

_WRITE, _NOTIFY = "ff01", "ff02"
_NAMES = ("spo20[1268]*", "spo21[123]*")
_SHARED_NAME = "sleepo2*"  # also that of rings, so no device is recognised by it

START, _RESULT, _SIZE = bytes.fromhex("9b011c"), bytes.fromhex("eb01"), 8
_NONE = frozenset({0, 0x7F, 0xFF})


class ContecMessage(Measurement):
    """A request, or what the oximeter sends; the request has no values."""

    kind: ClassVar[str] = "contec_message"

    spo2_pct: Annotated[float | None, quantity("%")] = None
    pulse_rate_bpm: Annotated[float | None, quantity("/min")] = None


class ContecState:
    """Publishes the results, as those of other oximeters."""

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return the result, if the message has one."""
        if fields := measurement.fields():
            yield Timed(PulseOximeter.of(fields), mono_ns)


def is_result(_request: bytes, frame: bytes) -> bool:
    """Return whether these are values."""
    return frame.startswith(_RESULT) and len(frame) == _SIZE


def decode_frame(data: bytes) -> ContecMessage:
    """Decode EB 01: 1 byte, pulse u8 (/min), SpO2 u8 (%), 2 bytes, checksum u8; others are empty.

    These are requests, and pieces of the pulse wave, which have neither a time nor a number.
    """
    if len(data) < 2 or sum(data[:-1]) & 0x7F != data[-1]:
        raise DecodeError("wrong checksum")
    if not is_result(START, data):
        return ContecMessage()
    pulse, spo2 = data[3], data[4]
    return ContecMessage.of(
        {
            "spo2_pct": None if spo2 in _NONE or spo2 > 100 else spo2,
            "pulse_rate_bpm": None if pulse in _NONE else pulse,
        }
    )


def keep_sending(options: Options) -> Dialogue:
    """Ask for results again and again, if the device is known."""
    name = options.device.name.lower()
    while any(fnmatchcase(name, pattern) for pattern in (*_NAMES, _SHARED_NAME)):
        yield START


_WAY = Channel((_WRITE,), (_NOTIFY,), whole_frames(_WRITE), acknowledged=False, answers=is_result)

PROFILE = Profile(
    name="contec",
    service="ff12",
    characteristics=(
        Characteristic(_WRITE, ContecMessage, decode_frame, Use.CONTROL, channel=_WAY),
    ),
    state=lambda _: ContecState(),
    derived=(PulseOximeter,),
    # They stop less than a minute after the last request.
    polling=Polling(_WRITE, keep_sending, every_s=15.0),
    names=_NAMES,
)
