"""One table of what goes wrong on the radio: exception -> fault -> what to do about it.

The exceptions of bleak, bleak-retry-connector and D-Bus are distinguished by class name and, if
one class covers many faults, by a part of their message. Nothing else in healthd looks at a
message. BlueZ's texts are from its src/error.h and from the kernel errors that it passes on.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from healthd.errors import Backoff, Transient

# The peripheral or the radio conditions: likely to work at once, and cheap to try.
SOON = Backoff(first_s=0.5, ceiling_s=15.0)

# A peripheral whose link lasted usually advertises again at once. Even if many lose their links
# together no random wait is needed, because the radio makes one link at a time.
_AT_ONCE = Backoff(SOON.first_s, SOON.ceiling_s, at_once=True)

# BlueZ needs a moment to release its resources (bleak-retry-connector waits 0.25 s to 4 s).
_SETTLE = Backoff(first_s=2.0, ceiling_s=30.0)

# A slot becomes free when another link ends, and controllers take seconds to notice.
_SLOT = Backoff(first_s=4.0, ceiling_s=30.0)

# A peripheral that floods takes radio time from the others on each link.
_FLOODING = Backoff(first_s=30.0, ceiling_s=900.0)

# A person has to act (plug the adapter in, start bluetoothd, pair), so there is no hurry.
PATIENT = Backoff(first_s=5.0, ceiling_s=60.0)


class Remedy(Enum):
    """What to do about a fault, besides trying again after its pause."""

    RETRY = "retry"
    """Nothing: the cause is the peripheral or the radio conditions."""
    SUSPECT = "suspect"
    """Count it against the adapter, which is recovered in steps if it happens repeatedly."""
    REFRESH = "refresh"
    """Make BlueZ forget the peripheral's services once, because they may be out of date."""
    BOND = "bond"
    """Ask BlueZ whether there is a bond, because the meaning depends on it (hass-omron#160)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table; the first row that fits decides.

    Attributes:
        exception: name of the exception's class or of one of its bases.
        contains: part of its message; empty fits any.
        reason: name of the fault in logs and events.
        backoff: pauses before the next tries.
        remedy: what to do besides trying again.
        says: what the message is; ``{}`` is the exception's own.
    """

    exception: str
    contains: str
    reason: str
    backoff: Backoff
    remedy: Remedy = Remedy.RETRY
    says: str = "{}"


_DBUS = "org.freedesktop.DBus.Error"

# The errors of a socket do not say whose socket it is.
_NO_DBUS = "cannot connect to D-Bus ({}): is it running on this machine?"
_DBUS_ENDED = "the connection to D-Bus ended ({})"

RULES = (
    # Happens also for a moment after bluetoothd or the adapter is back, while bleak catches up.
    Rule("BleakBluetoothNotAvailableError", "", "adapter_unavailable", _SETTLE),
    Rule("BleakOutOfConnectionSlotsError", "", "slots_exhausted", _SLOT),  # core#84331
    Rule("BleakError", "concurrent-connection-limit", "slots_exhausted", _SLOT),  # HCI 0x09, 0x0a
    Rule("BleakError", "connection-refused", "slots_exhausted", _SLOT),  # HCI 0x0d, no resources
    Rule("BleakDeviceNotFoundError", "", "not_found", _SLOT),  # also if no slot is free
    Rule("BleakNotFoundError", "", "not_found", _SLOT),  # bleak-retry-connector#67
    Rule("BleakCharacteristicNotFoundError", "", "characteristic_missing", _SETTLE, Remedy.REFRESH),
    Rule("BleakError", "adapter-not-powered", "adapter_off", SOON),  # the search waits for it
    # bluez#433: the peripheral has lost it
    Rule("BleakError", "key-missing", "bond_lost", PATIENT, Remedy.BOND),
    Rule("BleakError", "gatt-browsing", "services_unresolved", SOON, Remedy.REFRESH),  # bluez#1489
    Rule("BleakError", "connection-abort", "connect_aborted", SOON),  # bleak#1255, #1673
    Rule("BleakError", "connection-canceled", "connect_aborted", SOON),  # br-, le-
    # ATT errors 0x05, 0x0c and 0x0f; BlueZ has one text for all of them
    Rule("BleakError", "Not paired", "not_paired", PATIENT, Remedy.BOND),
    Rule("BleakError", "Insufficient Authentication", "not_paired", PATIENT, Remedy.BOND),
    Rule("BleakError", "Insufficient Encryption", "not_paired", PATIENT, Remedy.BOND),
    Rule("BleakGATTProtocolError", "", "gatt_error", _SETTLE),
    Rule("BleakError", "InProgress", "busy", _SETTLE, Remedy.SUSPECT),  # bleak#1689, #1628
    Rule("BleakError", "connection-busy", "busy", _SETTLE, Remedy.SUSPECT),
    Rule("BleakError", "NotReady", "adapter_off", SOON),
    Rule("BleakError", "Error.Blocked", "adapter_blocked", PATIENT),  # rfkill
    Rule("BleakError", f"{_DBUS}.UnknownObject", "not_found", _SETTLE),  # it was just removed
    Rule("BleakError", f"{_DBUS}.UnknownMethod", "not_found", _SETTLE),  # the same in BlueZ 5.66
    Rule("BleakError", f"{_DBUS}.NoReply", "bluez_gone", SOON),  # it ended during the call
    Rule("BleakError", f"{_DBUS}.ServiceUnknown", "bluez_gone", _SETTLE),
    Rule("BleakError", f"{_DBUS}.NameHasNoOwner", "bluez_gone", _SETTLE),
    Rule("BleakError", f"{_DBUS}.AccessDenied", "dbus_denied", PATIENT),
    Rule("BleakError", _DBUS, "dbus_lost", _SETTLE),
    Rule("BleakError", "Error.Authentication", "pairing_failed", PATIENT, Remedy.BOND),
    # BlueZ has the interface only if it runs with --experimental.
    Rule("BleakError", "passive scanning", "passive_unavailable", SOON),
    Rule("BleakError", "", "link_error", SOON),
    Rule("TimeoutError", "", "timeout", _SETTLE, Remedy.SUSPECT),  # bleak's loops have no bound
    Rule("EOFError", "", "dbus_lost", SOON, says=_DBUS_ENDED),  # bleak#2012
    Rule("ConnectionRefusedError", "", "dbus_lost", _SETTLE, says=_NO_DBUS),
    # bleak#409, #1921; also BrokenPipeError
    Rule("ConnectionError", "", "dbus_lost", _SETTLE, says=_DBUS_ENDED),
    Rule("FileNotFoundError", "", "dbus_lost", PATIENT, says=_NO_DBUS),  # there is no socket
    Rule("AuthError", "", "dbus_denied", PATIENT),  # the bus does not know this user
)


class LinkFault(Transient):
    """A known failure of the radio side; ``reason`` names it.

    Attributes:
        remedy: what to do besides trying again.
        att_error: the error that the peripheral answered; None for any other failure.
    """

    att_error: int | None = None

    def __init__(
        self, reason: str, message: str, backoff: Backoff, remedy: Remedy = Remedy.RETRY
    ) -> None:
        """Store the remedy in addition to reason and backoff."""
        super().__init__(reason, message, backoff)
        self.remedy = remedy


class LinkLost(LinkFault):
    """The link ended although healthd had not closed it."""

    def __init__(
        self,
        reason: str = "link_lost",
        message: str = "the link ended",
        backoff: Backoff = _AT_ONCE,
    ) -> None:
        """Try again at once if the link lasted, else soon."""
        super().__init__(reason, message, backoff)


class AdapterGone(LinkLost):
    """The link ended because the adapter, its power, BlueZ or D-Bus is gone.

    The next search waits until there is an adapter, which takes longer than the pause.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Try again soon: all peripherals lose their links together."""
        super().__init__(reason, message, SOON)


class NotBack(LinkLost):
    """The peripheral could not be connected again right after its link had ended."""

    def __init__(self) -> None:
        """Search for it: it may be out of range."""
        super().__init__(
            message="the link ended, and the peripheral does not advertise", backoff=SOON
        )


class Forgotten(LinkFault):
    """BlueZ was made to forget the device while it was being connected."""

    def __init__(self) -> None:
        """Search again soon: the device itself may be as near as before."""
        super().__init__("not_found", "the device was removed from BlueZ", SOON)


class NotTried(AdapterGone):
    """The adapter went away while the link waited for its turn."""

    def __init__(self) -> None:
        """Say that the connect was not even tried."""
        super().__init__(
            "adapter_gone", "the adapter went away before the peripheral's turn to connect"
        )


class GaveWay(LinkLost):
    """The link was ended because a periodic peripheral needs the slot."""

    def __init__(self) -> None:
        """Search again soon, to get into the queue for a slot."""
        super().__init__(
            "gave_way", "healthd ended the link because a periodic peripheral needs the slot"
        )


class Reassigned(LinkLost):
    """The link was ended because another peripheral now describes its device better."""

    def __init__(self) -> None:
        """Search again soon, for another device."""
        super().__init__(
            "reassigned", "another peripheral of the settings describes this device better"
        )


class Flooding(LinkFault):
    """The link was ended because the peripheral sent faster than any sensor does."""

    def __init__(self) -> None:
        """Try again much later each time: the next link may be as bad."""
        super().__init__(
            "flooding", "healthd ended the link: it sent faster than any sensor does", _FLOODING
        )


class NotPaired(LinkFault):
    """The peripheral answers only paired clients, and BlueZ has no bond with it."""

    def __init__(self, peripheral: str, fault: LinkFault) -> None:
        """Say what was refused, and how to pair."""
        fix = f"put it into pairing mode and run healthd pair {peripheral}"
        message = (
            f"{fault}; the device requires pairing, and this machine is not paired with it: {fix}"
        )
        super().__init__("not_paired", message, PATIENT)


class BondLost(LinkFault):
    """BlueZ has a bond that the peripheral does not know or accept any more."""

    def __init__(self, peripheral: str, fault: LinkFault) -> None:
        """Say what was refused, and how to pair again.

        healthd never removes a bond by itself: a device that impersonates the peripheral could
        then get the next one. The owner has to remove it.
        """
        fix = f"put it into pairing mode and run healthd pair {peripheral} --again"
        message = f"{fault}; the device does not accept the existing bond any more: {fix}"
        super().__init__("bond_lost", message, PATIENT)


class PairingFailed(LinkFault):
    """Pairing, which the settings ask for, failed."""

    def __init__(self, peripheral: str, fault: LinkFault) -> None:
        """Say how it failed, and what may help."""
        fix = f"put the device into pairing mode, check its passkey, run healthd pair {peripheral}"
        super().__init__("pairing_failed", f"pairing failed: {fault}; {fix}", PATIENT)


def classify(error: BaseException) -> LinkFault | None:
    """Return the fault that ``error`` stands for; None if it is not a radio fault but a bug."""
    names = {cls.__name__ for cls in type(error).__mro__}
    fault = _look_up(names, str(error))
    if fault is not None and isinstance(code := getattr(error, "code", None), int):
        fault.att_error = int(code)
    return fault


def refused(name: str, text: str) -> LinkFault:
    """Return the fault that a D-Bus error with this name and text stands for."""
    fault = _look_up({"BleakError"}, f"[{name}] {text}")
    assert fault is not None, "the table has a row for any BleakError"
    return fault


def _look_up(names: set[str], message: str) -> LinkFault | None:
    for rule in RULES:
        if rule.exception in names and rule.contains in message:
            text = rule.says.replace("{}", message or rule.exception)
            return LinkFault(rule.reason, text, rule.backoff, rule.remedy)
    return None


@contextmanager
def faults_raised() -> Generator[None]:
    """Turn exceptions of bleak and D-Bus in the block into faults; let bugs pass unchanged."""
    try:
        yield
    except Exception as error:
        if fault := classify(error):
            raise fault from error
        raise


@contextmanager
def faults_suppressed() -> Generator[None]:
    """End the block silently at a radio fault; let bugs pass."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, LinkFault) and classify(error) is None:
            raise
