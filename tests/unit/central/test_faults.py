"""Every row of the table, with exceptions as the libraries raise them."""

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
from dbus_fast.errors import AuthError

from healthd.central import faults
from healthd.central.faults import (
    RULES,
    AdapterGone,
    BondLost,
    LinkFault,
    LinkLost,
    NotPaired,
    PairingFailed,
    Remedy,
    classify,
    refused,
)
from healthd.errors import Transient
from healthd.sessions.faults import (
    CharacteristicMissing,
    NothingToRead,
    NotificationStalled,
    ServicesForgotten,
)

OFF = BleakBluetoothNotAvailableReason.POWERED_OFF
DBUS = "org.freedesktop.DBus.Error"


def failed(text: str) -> BleakDBusError:
    """Return BlueZ's answer to Connect if the kernel could not connect."""
    return BleakDBusError("org.bluez.Error.Failed", [text])


# Each row of RULES in order: the exceptions that it decides, and the reason.
FAULTS: list[tuple[int, BaseException, str]] = [
    (row, error, reason)
    for row, (reason, errors) in enumerate(
        [
            ("adapter_unavailable", [BleakBluetoothNotAvailableError("off", OFF)]),
            ("slots_exhausted", [BleakOutOfConnectionSlotsError("no slot")]),
            ("slots_exhausted", [failed("le-connection-concurrent-connection-limit")]),
            ("slots_exhausted", [failed("le-connection-refused")]),
            ("not_found", [BleakDeviceNotFoundError("C0:00:00:00:00:01", "not found")]),
            ("not_found", [BleakNotFoundError("gone")]),
            ("characteristic_missing", [BleakCharacteristicNotFoundError("2a37")]),
            ("adapter_off", [failed("le-connection-adapter-not-powered")]),
            ("bond_lost", [failed("le-connection-key-missing")]),
            ("services_unresolved", [failed("le-connection-gatt-browsing")]),
            (
                "connect_aborted",
                [
                    BleakAbortedError("1 attempt(s): le-connection-abort-by-local: advice"),
                    failed("le-connection-abort-by-remote"),
                ],
            ),
            (
                "connect_aborted",
                [failed("br-connection-canceled"), failed("le-connection-canceled")],
            ),
            (
                "not_paired",
                [BleakDBusError("org.bluez.Error.NotPermitted", ["Not paired"])],
            ),
            ("not_paired", [BleakGATTProtocolError(0x05)]),
            ("not_paired", [BleakGATTProtocolError(0x0F), BleakGATTProtocolError(0x0C)]),
            ("gatt_error", [BleakGATTProtocolError(0x08)]),
            (
                "busy",
                [
                    BleakDBusError("org.bluez.Error.InProgress", ["Operation in progress"]),
                    BleakConnectionError("Failed: [org.bluez.Error.InProgress]"),
                ],
            ),
            ("busy", [failed("le-connection-busy")]),
            ("adapter_off", [BleakDBusError("org.bluez.Error.NotReady", ["Resource Not Ready"])]),
            ("adapter_blocked", [BleakDBusError("org.bluez.Error.Blocked", ["rfkill"])]),
            ("not_found", [BleakDBusError(f"{DBUS}.UnknownObject", ["no such object"])]),
            ("not_found", [BleakDBusError(f"{DBUS}.UnknownMethod", ["no such method"])]),
            ("bluez_gone", [BleakDBusError(f"{DBUS}.NoReply", ["did not receive a reply"])]),
            ("bluez_gone", [BleakDBusError(f"{DBUS}.ServiceUnknown", ["not activatable"])]),
            ("bluez_gone", [BleakDBusError(f"{DBUS}.NameHasNoOwner", ["no owner"])]),
            ("dbus_denied", [BleakDBusError(f"{DBUS}.AccessDenied", ["rejected"])]),
            ("dbus_lost", [BleakDBusError(f"{DBUS}.Disconnected", ["closed"])]),
            ("pairing_failed", [BleakDBusError("org.bluez.Error.AuthenticationFailed", [])]),
            (
                "passive_unavailable",
                [BleakError("passive scanning on Linux requires BlueZ with --experimental")],
            ),
            ("link_error", [failed("Software caused"), BleakError("Not connected")]),
            ("timeout", [TimeoutError()]),
            ("dbus_lost", [EOFError()]),
            ("dbus_lost", [ConnectionRefusedError(111, "Connection refused")]),
            (
                "dbus_lost",
                [
                    BrokenPipeError(32, "Broken pipe"),
                    ConnectionResetError(104, "Connection reset by peer"),
                ],
            ),
            ("dbus_lost", [FileNotFoundError(2, "No such file or directory")]),
            ("dbus_denied", [AuthError("authentication failed")]),
        ]
    )
    for error in errors
]


@pytest.mark.parametrize(
    ("row", "error", "reason"), FAULTS, ids=[f"{row}-{error!r}" for row, error, _ in FAULTS]
)
def test_fault(row: int, error: BaseException, reason: str) -> None:
    fault = classify(error)
    assert fault is not None
    assert fault.reason == reason == RULES[row].reason
    assert fault.backoff == RULES[row].backoff
    assert fault.remedy is RULES[row].remedy
    assert (str(error) or type(error).__name__) in str(fault)
    assert str(fault) == str(error) or isinstance(error, OSError | EOFError | TimeoutError)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            FileNotFoundError(2, "No such file or directory"),
            "cannot connect to D-Bus ([Errno 2] No such file or directory): "
            "is it running on this machine?",
        ),
        (
            ConnectionRefusedError(111, "Connection refused"),
            "cannot connect to D-Bus ([Errno 111] Connection refused): "
            "is it running on this machine?",
        ),
        (
            BrokenPipeError(32, "Broken pipe"),
            "the connection to D-Bus ended ([Errno 32] Broken pipe)",
        ),
        (EOFError(), "the connection to D-Bus ended (EOFError)"),
    ],
)
def test_errors_of_the_socket_name_dbus(error: Exception, message: str) -> None:
    assert str(classify(error)) == message


@pytest.mark.parametrize(
    "row", range(len(RULES)), ids=[f"{rule.exception}-{rule.contains}" for rule in RULES]
)
def test_every_row_makes_a_difference(monkeypatch: pytest.MonkeyPatch, row: int) -> None:
    reached = [(error, str(classify(error))) for number, error, _ in FAULTS if number == row]
    assert reached
    monkeypatch.setattr(faults, "RULES", (*RULES[:row], *RULES[row + 1 :]))
    for error, message in reached:
        without = classify(error)
        if without is not None:
            rule = RULES[row]
            decided = (without.reason, without.backoff, without.remedy, str(without))
            assert decided != (rule.reason, rule.backoff, rule.remedy, message)


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
def test_a_bug_is_not_a_fault(error: BaseException) -> None:
    assert classify(error) is None


@pytest.mark.parametrize(
    ("fault", "reason", "text"),
    [
        (LinkLost(), "link_lost", "ended"),
        (NotificationStalled("2a37", 12.34), "stalled", "2a37 silent for 12.3 s"),
        (NothingToRead(), "nothing_to_read", "no characteristic"),
        (AdapterGone("adapter_off", "hci0 off"), "adapter_off", "hci0"),
        (CharacteristicMissing({"2a37"}), "characteristic_missing", "2a37"),
        (ServicesForgotten(NothingToRead()), "services_refreshed", "no characteristic"),
    ],
)
def test_our_own_faults_are_transient(fault: LinkFault, reason: str, text: str) -> None:
    assert isinstance(fault, Transient)
    assert fault.reason == reason
    assert text in str(fault)
    assert 0 < fault.backoff.first_s <= fault.backoff.ceiling_s


def test_errors_of_our_own_calls_are_classified_like_those_of_bleak() -> None:
    fault = refused("org.bluez.Error.Blocked", "Blocked through rfkill")
    assert fault.reason == "adapter_blocked"
    assert refused("org.bluez.Error.Surprise", "").reason == "link_error"


def test_without_a_free_slot_the_controller_gets_four_seconds() -> None:
    fault = classify(failed("le-connection-concurrent-connection-limit"))
    assert fault is not None
    assert fault.backoff.first_s == 4.0


def test_a_failed_authentication_does_not_remove_a_bond() -> None:
    fault = classify(BleakDBusError("org.bluez.Error.AuthenticationFailed", []))
    assert fault is not None
    assert fault.remedy is Remedy.BOND, "BlueZ is asked first: there may be no bond"


@pytest.mark.parametrize(
    ("fault", "reason", "command"),
    [
        (NotPaired, "not_paired", "healthd pair scale"),
        (BondLost, "bond_lost", "healthd pair scale --again"),
        (PairingFailed, "pairing_failed", "healthd pair scale"),
    ],
)
def test_a_bond_fault_names_the_command_that_fixes_it(
    fault: type[NotPaired | BondLost | PairingFailed], reason: str, command: str
) -> None:
    explained = fault("scale", refused("org.bluez.Error.NotPermitted", "Not paired"))
    assert explained.reason == reason
    assert command in str(explained)
    assert "Not paired" in str(explained)
    assert explained.remedy is Remedy.RETRY, "nothing is forgotten or asked again"
    assert explained.backoff.first_s >= 5, "a person has to act"


def test_a_fault_has_the_att_error_of_the_peripheral() -> None:
    answered, not_sent = classify(BleakGATTProtocolError(0x80)), classify(TimeoutError())
    assert answered is not None
    assert not_sent is not None
    assert (answered.att_error, not_sent.att_error) == (0x80, None)
