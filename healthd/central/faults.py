"""What goes wrong on the radio: exception -> fault -> pace of the next tries. One table.

The exceptions of bleak, bleak-retry-connector and D-Bus are told apart by class name and, where
one class stands for many faults, by a piece of their message. Nothing else in healthd looks into
a message.
"""

from dataclasses import dataclass

from healthd.errors import Backoff, Transient

# The peripheral or the air: likely to work at once, and cheap to try while it advertises.
_SOON = Backoff(first_s=0.5, ceiling_s=15.0)

# BlueZ needs a moment to let go of what it holds (bleak-retry-connector waits 0.25 s to 4 s).
_SETTLE = Backoff(first_s=2.0, ceiling_s=30.0)

# Somebody has to act (plug the adapter in, start bluetoothd, pair): be there, do not hammer.
_PATIENT = Backoff(first_s=5.0, ceiling_s=60.0)


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: the first one that fits decides.

    Attributes:
        exception: name of a class among the exception's own and its bases.
        contains: piece of its message; empty fits any.
        reason: the fault's name in logs and events.
        backoff: pace of the next tries.
    """

    exception: str
    contains: str
    reason: str
    backoff: Backoff


RULES = (
    Rule("BleakBluetoothNotAvailableError", "", "adapter_unavailable", _PATIENT),
    Rule("BleakOutOfConnectionSlotsError", "", "slots_exhausted", _SETTLE),  # core#84331
    Rule("BleakDeviceNotFoundError", "", "not_found", _SETTLE),
    Rule("BleakNotFoundError", "", "not_found", _SETTLE),
    Rule("BleakCharacteristicNotFoundError", "", "characteristic_missing", _SETTLE),  # bluez#1489
    Rule("BleakAbortedError", "", "connect_aborted", _SOON),  # bleak#1255, #1673
    Rule("BleakGATTProtocolError", "", "gatt_error", _SETTLE),
    Rule("BleakError", "InProgress", "busy", _SETTLE),  # bleak#1689, #1628
    Rule("BleakError", "NotReady", "adapter_unavailable", _PATIENT),
    Rule("BleakError", "org.freedesktop.DBus.Error", "dbus_lost", _SETTLE),
    Rule("BleakError", "Authentication", "pairing_failed", _PATIENT),  # hass-omron#160
    Rule("BleakError", "", "link_error", _SOON),
    Rule("TimeoutError", "", "timeout", _SETTLE),  # bleak's own loops have no bound
    Rule("EOFError", "", "dbus_lost", _SETTLE),  # bleak#2012
    Rule("ConnectionError", "", "dbus_lost", _SETTLE),  # bleak#409, #1921; also BrokenPipeError
    Rule("FileNotFoundError", "", "dbus_lost", _PATIENT),  # no D-Bus socket on this machine
)


class LinkFault(Transient):
    """The radio side failed in a known way; ``reason`` names the fault."""


class LinkLost(LinkFault):
    """The link ended without our asking."""

    def __init__(self) -> None:
        """A peripheral that went away usually advertises again at once."""
        super().__init__("link_lost", "the link ended", _SOON)


class NotificationStalled(LinkFault):
    """The link stands, but a characteristic fell silent."""

    def __init__(self, uuid: str, silent_s: float) -> None:
        """Name the characteristic and how long it has been silent."""
        super().__init__("stalled", f"{uuid} silent for {silent_s:.1f} s", _SOON)


class NothingToRead(LinkFault):
    """The peripheral has no characteristic that healthd can stream."""

    def __init__(self) -> None:
        """A stale GATT cache looks the same, so it is tried again, slowly."""
        super().__init__("nothing_to_read", "no characteristic that healthd reads", _PATIENT)


def classify(error: BaseException) -> LinkFault | None:
    """The fault that ``error`` stands for; None where it is no fault of the radio but a bug."""
    names = {cls.__name__ for cls in type(error).__mro__}
    message = str(error)
    for rule in RULES:
        if rule.exception in names and rule.contains in message:
            return LinkFault(rule.reason, message or rule.exception, rule.backoff)
    return None
