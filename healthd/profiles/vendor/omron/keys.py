"""The unlock characteristic: the key that opens a classic cuff's memory, and how it is agreed.

Requests are a number and what it needs, answers the number + 0x80 and a result u8. Sources:
userx14/omblepy, omblepy.py; eigger/hass-omron, omron_ble/omron_driver.py (also the modern stack).
"""

from typing import Annotated, ClassVar, Literal

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Channel, Characteristic, Use
from healthd.profiles.common.framing import whole_frames
from healthd.profiles.dialogue import Dialogue, ExchangeRefused, NoAnswer, Pairing, Request
from healthd.profiles.vendor.omron.frames import MEMORY
from healthd.samples import Measurement, quantity

KEY_BYTES = 16

HOLD_BUTTON = "hold the cuff's Bluetooth button until -P- blinks"
"""What the user has to do for a key, or a bond."""

_UUID = "b305b680-aee7-11e1-a730-0002a5d5c51b"

_SET_KEY, _UNLOCK, _ENTER_PAIRING, _TOKEN = 0x00, 0x01, 0x02, 0x11
_ANSWER = 0x80
_NAMES: dict[int, "Name"] = {
    _SET_KEY: "set_key",
    _UNLOCK: "unlock",
    _ENTER_PAIRING: "enter_pairing",
    _TOKEN: "token",
}
_OK = 0

# Any four bytes: the cuff repeats them. They are no secret (hass-omron, from two links of a phone).
_TOKEN_BYTES = b"mqtt"
_TOKEN_REQUEST = bytes([_TOKEN]) + _TOKEN_BYTES + bytes(15)

# The cuff refuses while the bond is made; omblepy repeats the request ten times, every second.
_PAIRING_TRIES, _PAIRING_S = 10, 1.0

Name = Literal["set_key", "unlock", "enter_pairing", "token"]


class UnlockMessage(Measurement):
    """A request to the unlock characteristic, or its answer; without the key."""

    kind: ClassVar[str] = "omron_unlock"

    opcode: Annotated[int, quantity("1")]
    name: Name | None = None
    """Absent for an opcode without a name here."""
    result_code: Annotated[int | None, quantity("1")] = None
    """In an answer: 0 if the request was accepted."""


def decode_unlock(data: bytes) -> UnlockMessage:
    """Decode B305B680: opcode u8, then a key or a result; see the module."""
    if len(data) < 2:
        raise DecodeError(f"expected at least 2 bytes, found {len(data)}")
    opcode = data[0]
    fields: dict[str, int | str] = {"opcode": opcode}
    if (name := _NAMES.get(opcode & ~_ANSWER)) is not None:
        fields["name"] = name
    if opcode & _ANSWER:
        fields["result_code"] = data[1]
    return UnlockMessage.of(fields)


def _answers(request: bytes, answer: bytes) -> bool:
    """Return whether it answers the request; "not ready for a key" is no answer: it is repeated."""
    is_same = answer[:1] == bytes([request[0] | _ANSWER])
    return is_same and (request[0] != _ENTER_PAIRING or answer[1:2] == bytes([_OK]))


UNLOCK = Characteristic(
    _UUID,
    UnlockMessage,
    decode_unlock,
    Use.CONTROL,
    channel=Channel((_UUID,), (_UUID,), whole_frames(_UUID), answers=_answers),
)


def subscribe() -> Request:
    """Subscribe to the answers of the memory, so that a classic cuff asks for a bond.

    It must come before the first request to the unlock characteristic.
    """
    return Request(b"", control=MEMORY.uuid)


def unlock(key: bytes | None) -> Dialogue:
    """Open the memory of a classic cuff.

    Raises:
        ExchangeRefused: there is no key, or the cuff has another one.
    """
    if key is None:
        raise ExchangeRefused("no key: run healthd pair ID")
    yield subscribe()
    answer = yield Request(bytes([_UNLOCK]) + key, control=UNLOCK.uuid)
    if (result := decode_unlock(answer).result_code) != _OK:
        # Another app has made its own key: the cuff knows only one.
        raise ExchangeRefused(f"the cuff has another key ({result}): run healthd pair ID --again")


def show_token() -> Dialogue:
    """Open the memory of a modern cuff, which needs no key but does need this greeting.

    Some answer without it (userx14/omblepy, deviceSpecific/hem-7380t1.py), so silence is no fault.
    """
    yield subscribe()
    try:
        answer = yield Request(_TOKEN_REQUEST, control=UNLOCK.uuid)
    except NoAnswer:
        return
    if (result := decode_unlock(answer).result_code) != _OK:
        raise ExchangeRefused(f"the cuff refuses to be read ({result}): pair it again")


def agree(key: bytes) -> Dialogue:
    """Give a classic cuff this key, while it is in its pairing mode.

    Raises:
        ExchangeRefused: the cuff does not accept it.
    """
    yield subscribe()
    enter = bytes([_ENTER_PAIRING]) + bytes(KEY_BYTES)
    try:
        yield Request(enter, UNLOCK.uuid, answer_s=_PAIRING_S, tries=_PAIRING_TRIES)
    except NoAnswer as error:
        raise ExchangeRefused(f"not in pairing mode: {HOLD_BUTTON}") from error
    answer = yield Request(bytes([_SET_KEY]) + key, UNLOCK.uuid)
    if (result := decode_unlock(answer).result_code) != _OK:
        raise ExchangeRefused(f"the cuff refuses the key ({result})")


PAIRING = Pairing(UNLOCK.uuid, agree, KEY_BYTES, HOLD_BUTTON)
