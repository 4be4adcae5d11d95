"""What the broker's reasons mean: the word, the wait, the advice."""

from collections.abc import Callable

import pytest

from healthd.mqtt import faults, reasons
from healthd.mqtt.faults import ConnectionLost
from healthd.mqtt.reasons import Goodbye

# MQTT 5 section 3.2.2.2 and 3.14.2.1: every failure code that a CONNACK or a DISCONNECT may have.
CONNACK = bytes.fromhex("80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f")
DISCONNECT = bytes.fromhex(
    "80 81 82 83 87 89 8b 8d 8e 8f 90 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f a0 a1 a2"
)

# Only a person can fix these, or the broker bans a client that is too impatient.
WAIT_LONG = bytes.fromhex("81 82 84 85 86 87 8a 8c 90 95 97 99 9a 9b 9d")


def refused(code: int, version: str = "5") -> ConnectionLost:
    return reasons.refused(Goodbye(code), "gateway-7", version)


def disconnected(code: int) -> ConnectionLost:
    return reasons.disconnected(Goodbye(code), "gateway-7", "5")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (0x84, "version_refused"),
        (0x85, "client_id_refused"),
        (0x86, "credentials_refused"),
        (0x87, "credentials_refused"),
        (0x88, "broker_unavailable"),
        (0x8A, "banned"),
        (0x8B, "broker_unavailable"),
        (0x8C, "credentials_refused"),
        (0x8E, "taken_over"),
        (0x97, "quota_exceeded"),
        (0x9A, "retain_refused"),
        (0x9B, "qos_refused"),
        (0x9C, "use_another_server"),
        (0x9F, "rate_exceeded"),
        (0xC0, "broker_refused"),
    ],
)
def test_reason_words(code: int, reason: str) -> None:
    assert refused(code).reason == disconnected(code).reason == reason


@pytest.mark.parametrize("end", [reasons.refused, reasons.disconnected])
@pytest.mark.parametrize("code", [0x80, 0x88, 0x89, 0x8B, 0x97, 0x9C, 0x9D, 0xC0])
def test_the_advice_speaks_of_the_server_that_the_broker_names(
    end: Callable[[Goodbye, str, str], ConnectionLost], code: int
) -> None:
    said = Goodbye(code, "our {words}", "b{0}.example:1884\n")
    fault = end(said, "gateway-7", "5")
    assert "b{0}.example:1884?" in str(fault)
    assert fault.advice.endswith("into [mqtt] brokers")
    assert "brokers" not in end(Goodbye(code), "gateway-7", "5").advice or code in (0x9C, 0x9D)


@pytest.mark.parametrize("code", CONNACK)
def test_every_refusal_says_its_code_and_what_to_do(code: int) -> None:
    fault = refused(code)
    assert f"0x{code:02X}" in fault.problem
    assert "unknown" not in fault.problem
    assert fault.advice
    assert fault.advice in str(fault)
    assert fault.leave, "another broker of the list may accept"
    assert (fault.backoff.first_s >= 30) == (code in WAIT_LONG)


@pytest.mark.parametrize("code", DISCONNECT)
def test_after_every_disconnect_a_broker_that_is_well_is_soon_live(code: int) -> None:
    fault = disconnected(code)
    assert f"0x{code:02X}" in fault.problem
    assert "unknown" not in fault.problem
    assert fault.advice
    assert fault.backoff.ceiling_s <= 10
    assert "twice" not in str(fault) or code == 0x8E


def test_a_client_id_that_is_refused_is_shown() -> None:
    assert "gateway-7" in str(refused(0x85))
    assert "gateway-7" in str(refused(0x8A))
    assert "gateway-7" in str(disconnected(0x8E))


def test_the_other_version_is_advised() -> None:
    assert 'version = "3.1.1"' in str(refused(0x84))
    assert 'version = "5"' in str(refused(0x84, "3.1.1"))


def test_the_brokers_own_words_are_shown_on_one_line() -> None:
    said = Goodbye(0x9C, "moved\n\x1b[31mto " + "x" * 500, "two.example:8883")
    text = str(reasons.disconnected(said, "gateway-7", "5"))
    assert "moved??[31mto" in text
    assert "two.example:8883" in text
    assert len(text) < 500
    assert text.isprintable()


def test_a_guess_is_worded_as_one() -> None:
    fault = faults.perhaps_taken_over("gateway-7", 3)
    assert "perhaps" in str(fault)
    assert "gateway-7" in str(fault)
    assert fault.backoff.ceiling_s <= 10


def test_another_wait_keeps_everything_else() -> None:
    fault = refused(0x86)
    other = fault.with_backoff(faults.RETRY)
    assert (other.reason, str(other), other.backoff) == (fault.reason, str(fault), faults.RETRY)
    assert (other.problem, other.advice, other.leave) == (fault.problem, fault.advice, True)
