"""Every row of the table, reached by an exception as its library raises it."""

import pytest
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakCharacteristicNotFoundError,
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)
from bleak_retry_connector import (
    BleakAbortedError,
    BleakConnectionError,
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
)

from healthd.central import faults
from healthd.central.faults import (
    RULES,
    LinkFault,
    LinkLost,
    NothingToRead,
    NotificationStalled,
    classify,
)
from healthd.errors import Transient

OFF = BleakBluetoothNotAvailableReason.POWERED_OFF
DBUS = "org.freedesktop.DBus.Error"

# One line a row of RULES, in their order; the number is the row's.
FAULTS: list[tuple[int, BaseException, str]] = [
    (0, BleakBluetoothNotAvailableError("off", OFF), "adapter_unavailable"),
    (1, BleakOutOfConnectionSlotsError("no slot"), "slots_exhausted"),
    (2, BleakDeviceNotFoundError("C0:00:00:00:00:01", "not found"), "not_found"),
    (3, BleakNotFoundError("gone"), "not_found"),
    (4, BleakCharacteristicNotFoundError("2a37"), "characteristic_missing"),
    (5, BleakAbortedError("le-connection-abort-by-local"), "connect_aborted"),
    (6, BleakGATTProtocolError(0x05), "gatt_error"),
    (7, BleakDBusError("org.bluez.Error.InProgress", ["Operation in progress"]), "busy"),
    (7, BleakConnectionError("Failed: [org.bluez.Error.InProgress]"), "busy"),
    (8, BleakDBusError("org.bluez.Error.NotReady", ["Not ready"]), "adapter_unavailable"),
    (9, BleakDBusError(f"{DBUS}.UnknownObject", ["no such object"]), "dbus_lost"),
    (9, BleakDBusError(f"{DBUS}.ServiceUnknown", ["not activatable"]), "dbus_lost"),
    (10, BleakDBusError("org.bluez.Error.AuthenticationFailed", []), "pairing_failed"),
    (11, BleakDBusError("org.bluez.Error.Failed", ["Software caused"]), "link_error"),
    (11, BleakError("Not connected"), "link_error"),
    (12, TimeoutError(), "timeout"),
    (13, EOFError(), "dbus_lost"),
    (14, BrokenPipeError(32, "Broken pipe"), "dbus_lost"),
    (14, ConnectionRefusedError(111, "Connection refused"), "dbus_lost"),
    (15, FileNotFoundError(2, "No such file or directory"), "dbus_lost"),
]


@pytest.mark.parametrize(
    ("row", "error", "reason"), FAULTS, ids=[f"{row}-{error!r}" for row, error, _ in FAULTS]
)
def test_fault(row: int, error: BaseException, reason: str) -> None:
    fault = classify(error)
    assert fault is not None
    assert fault.reason == reason == RULES[row].reason
    assert fault.backoff == RULES[row].backoff
    assert str(fault) == (str(error) or type(error).__name__)


@pytest.mark.parametrize(
    "row", range(len(RULES)), ids=[f"{rule.exception}-{rule.contains}" for rule in RULES]
)
def test_every_row_decides_something(monkeypatch: pytest.MonkeyPatch, row: int) -> None:
    reached = [(error, reason) for number, error, reason in FAULTS if number == row]
    assert reached
    monkeypatch.setattr(faults, "RULES", (*RULES[:row], *RULES[row + 1 :]))
    for error, _ in reached:
        without = classify(error)
        if without is not None:
            assert (without.reason, without.backoff) != (RULES[row].reason, RULES[row].backoff)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("InProgress"),
        KeyError("2a37"),
        AssertionError(),
        RuntimeError("This should never happen"),
        OSError(28, "No space left on device"),
        PermissionError(13, "Permission denied"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_bug_is_no_fault(error: BaseException) -> None:
    assert classify(error) is None


@pytest.mark.parametrize(
    ("fault", "reason", "says"),
    [
        (LinkLost(), "link_lost", "ended"),
        (NotificationStalled("2a37", 12.34), "stalled", "2a37 silent for 12.3 s"),
        (NothingToRead(), "nothing_to_read", "no characteristic"),
    ],
)
def test_our_own_faults_are_the_worlds(fault: LinkFault, reason: str, says: str) -> None:
    assert isinstance(fault, Transient)
    assert fault.reason == reason
    assert says in str(fault)
    assert 0 < fault.backoff.first_s <= fault.backoff.ceiling_s
