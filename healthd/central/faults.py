"""What goes wrong on the radio: exception -> fault -> what to do about it. One table.

The exceptions of bleak, bleak-retry-connector and D-Bus are told apart by class name and, where
one class stands for many faults, by a piece of their message. Nothing else in healthd looks into
a message. BlueZ's own words are those of its src/error.h, and of the kernel errors behind them.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from healthd.errors import Backoff, Transient

# The peripheral or the air: likely to work at once, and cheap to try while it advertises.
SOON = Backoff(first_s=0.5, ceiling_s=15.0)

# BlueZ needs a moment to let go of what it holds (bleak-retry-connector waits 0.25 s to 4 s).
_SETTLE = Backoff(first_s=2.0, ceiling_s=30.0)

# A slot is free when somebody else's link has gone, and controllers take seconds to notice.
_SLOT = Backoff(first_s=4.0, ceiling_s=30.0)

# Somebody has to act (plug the adapter in, start bluetoothd, pair): be there, do not hammer.
PATIENT = Backoff(first_s=5.0, ceiling_s=60.0)


class Remedy(Enum):
    """What is done about a fault, beside trying again at its pace."""

    RETRY = "retry"
    """Nothing: the peripheral or the air."""
    SUSPECT = "suspect"
    """The adapter is counted against: when it happens again and again, it is recovered in steps."""
    REFRESH = "refresh"
    """What BlueZ remembers of the peripheral's services may be stale: forgotten once."""
    BOND = "bond"
    """Whether BlueZ holds a bond says what it means: that is asked (hass-omron#160)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: the first one that fits decides.

    Attributes:
        exception: name of a class among the exception's own and its bases.
        contains: piece of its message; empty fits any.
        reason: the fault's name in logs and events.
        backoff: pace of the next tries.
        remedy: what is done beside trying again.
    """

    exception: str
    contains: str
    reason: str
    backoff: Backoff
    remedy: Remedy = Remedy.RETRY


_DBUS = "org.freedesktop.DBus.Error"

RULES = (
    # Also for a moment after bluetoothd or the adapter is back: bleak's picture is built anew.
    Rule("BleakBluetoothNotAvailableError", "", "adapter_unavailable", _SETTLE),
    Rule("BleakOutOfConnectionSlotsError", "", "slots_exhausted", _SLOT),  # core#84331
    Rule("BleakError", "concurrent-connection-limit", "slots_exhausted", _SLOT),  # HCI 0x09, 0x0a
    Rule("BleakError", "connection-refused", "slots_exhausted", _SLOT),  # HCI 0x0d, no resources
    Rule("BleakDeviceNotFoundError", "", "not_found", _SLOT),  # so it looks without a free slot
    Rule("BleakNotFoundError", "", "not_found", _SLOT),  # bleak-retry-connector#67
    Rule("BleakCharacteristicNotFoundError", "", "characteristic_missing", _SETTLE, Remedy.REFRESH),
    Rule("BleakError", "adapter-not-powered", "adapter_off", SOON),  # waits until it is on
    # bluez#433: the peripheral's side
    Rule("BleakError", "key-missing", "bond_lost", PATIENT, Remedy.BOND),
    Rule("BleakError", "gatt-browsing", "services_unresolved", SOON, Remedy.REFRESH),  # bluez#1489
    Rule("BleakError", "connection-abort", "connect_aborted", SOON),  # bleak#1255, #1673
    Rule("BleakError", "connection-canceled", "connect_aborted", SOON),  # br-, le-
    # ATT errors 0x05, 0x0c and 0x0f, for which BlueZ has one text
    Rule("BleakError", "Not paired", "not_paired", PATIENT, Remedy.BOND),
    Rule("BleakError", "Insufficient Authentication", "not_paired", PATIENT, Remedy.BOND),
    Rule("BleakError", "Insufficient Encryption", "not_paired", PATIENT, Remedy.BOND),
    Rule("BleakGATTProtocolError", "", "gatt_error", _SETTLE),
    Rule("BleakError", "InProgress", "busy", _SETTLE, Remedy.SUSPECT),  # bleak#1689, #1628
    Rule("BleakError", "connection-busy", "busy", _SETTLE, Remedy.SUSPECT),
    Rule("BleakError", "NotReady", "adapter_off", SOON),
    Rule("BleakError", "Error.Blocked", "adapter_blocked", PATIENT),  # rfkill
    Rule("BleakError", f"{_DBUS}.UnknownObject", "not_found", _SETTLE),  # removed meanwhile
    Rule("BleakError", f"{_DBUS}.UnknownMethod", "not_found", _SETTLE),  # so says BlueZ 5.66
    Rule("BleakError", f"{_DBUS}.NoReply", "bluez_gone", SOON),  # died while it was asked
    Rule("BleakError", f"{_DBUS}.ServiceUnknown", "bluez_gone", _SETTLE),
    Rule("BleakError", f"{_DBUS}.NameHasNoOwner", "bluez_gone", _SETTLE),
    Rule("BleakError", f"{_DBUS}.AccessDenied", "dbus_denied", PATIENT),
    Rule("BleakError", _DBUS, "dbus_lost", _SETTLE),
    Rule("BleakError", "Error.Authentication", "pairing_failed", PATIENT, Remedy.BOND),
    Rule("BleakError", "", "link_error", SOON),
    Rule("TimeoutError", "", "timeout", _SETTLE, Remedy.SUSPECT),  # bleak's loops have no bound
    Rule("EOFError", "", "dbus_lost", SOON),  # bleak#2012
    Rule("ConnectionError", "", "dbus_lost", _SETTLE),  # bleak#409, #1921; also BrokenPipeError
    Rule("FileNotFoundError", "", "dbus_lost", PATIENT),  # no D-Bus socket on this machine
    Rule("AuthError", "", "dbus_denied", PATIENT),  # the bus does not know this user
)


class LinkFault(Transient):
    """The radio side failed in a known way; ``reason`` names the fault.

    Attributes:
        remedy: what is done beside trying again.
        att_error: what the peripheral answered; None where that is not what failed.
    """

    att_error: int | None = None

    def __init__(
        self, reason: str, message: str, backoff: Backoff, remedy: Remedy = Remedy.RETRY
    ) -> None:
        """Keep the remedy beside reason and pace."""
        super().__init__(reason, message, backoff)
        self.remedy = remedy


class LinkLost(LinkFault):
    """The link ended without our asking."""

    def __init__(self, reason: str = "link_lost", message: str = "the link ended") -> None:
        """A peripheral that went away usually advertises again at once."""
        super().__init__(reason, message, SOON)


class AdapterGone(LinkLost):
    """What the link went over has gone: the adapter, its power, BlueZ or D-Bus.

    The pace is the link's own: the next search waits until there is an adapter, however long.
    """


class NotTried(AdapterGone):
    """The adapter went away while the link waited for its turn."""

    def __init__(self) -> None:
        """No link of this one's has had a part in it."""
        super().__init__("adapter_gone", "it went away before the link was made")


class GaveWay(LinkLost):
    """The link was ended for a periodic peripheral that needs the slot."""

    def __init__(self) -> None:
        """It searches again at once, to stand in line."""
        super().__init__("gave_way", "its slot was needed by a periodic peripheral")


class Reassigned(LinkLost):
    """The link was ended because the settings have a better description of its device now."""

    def __init__(self) -> None:
        """It searches again at once, for another device."""
        super().__init__("reassigned", "another peripheral of the settings describes its device")


class NotPaired(LinkFault):
    """The peripheral answers only those who are paired with it, and BlueZ holds no bond."""

    def __init__(self, peripheral: str, fault: LinkFault) -> None:
        """Say what was refused, and how to pair."""
        message = f"{fault}; there is no bond: put it into pairing mode, healthd pair {peripheral}"
        super().__init__("not_paired", message, PATIENT)


class BondLost(LinkFault):
    """BlueZ holds a bond that the peripheral does not know, or does not take, any more."""

    def __init__(self, peripheral: str, fault: LinkFault) -> None:
        """Say what was refused, and how to pair anew.

        Nothing forgets a bond by itself: whoever can pretend to be the peripheral could have the
        next one. Its owner does.
        """
        mend = f"put it into pairing mode, healthd pair {peripheral} --again"
        super().__init__("bond_lost", f"{fault}; the bond is no longer good: {mend}", PATIENT)


class PairingFailed(LinkFault):
    """The peripheral was to be paired as the settings say, and it did not work."""

    def __init__(self, peripheral: str, fault: LinkFault) -> None:
        """Say how it failed, and what may help."""
        mend = f"is it in pairing mode, and its passkey right? healthd pair {peripheral} tries it"
        super().__init__("pairing_failed", f"{fault}; {mend}", PATIENT)


def classify(error: BaseException) -> LinkFault | None:
    """The fault that ``error`` stands for; None where it is no fault of the radio but a bug."""
    names = {cls.__name__ for cls in type(error).__mro__}
    fault = _look_up(names, str(error))
    if fault is not None and isinstance(code := getattr(error, "code", None), int):
        fault.att_error = int(code)
    return fault


def refused(name: str, text: str) -> LinkFault:
    """The fault that a D-Bus error of this name and text stands for."""
    fault = _look_up({"BleakError"}, f"[{name}] {text}")
    assert fault is not None, "the table has a row for any BleakError"
    return fault


def _look_up(names: set[str], message: str) -> LinkFault | None:
    for rule in RULES:
        if rule.exception in names and rule.contains in message:
            said = message or rule.exception
            return LinkFault(rule.reason, said, rule.backoff, rule.remedy)
    return None


@contextmanager
def faults_raised() -> Generator[None]:
    """Turn what bleak and D-Bus raise in the block into faults; leave bugs as they are."""
    try:
        yield
    except Exception as error:
        if fault := classify(error):
            raise fault from error
        raise


@contextmanager
def faults_suppressed() -> Generator[None]:
    """Leave the block quietly by a fault of the radio; bugs go on."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, LinkFault) and classify(error) is None:
            raise
