"""The consent of the user whose results are wanted."""

import pytest

from healthd.profiles.dialogue import ExchangeRefused
from healthd.profiles.options import Consent, Options
from healthd.profiles.user_data import PROFILE, give_consent

OF_USER_2 = Options(consent=Consent(user=2, code=42))


def test_without_a_user_nothing_is_written() -> None:
    assert list(give_consent(Options())) == []


def test_consent_is_given_by_number_and_code() -> None:
    exchange = give_consent(OF_USER_2)
    assert next(exchange).hex(" ") == "02 02 2a 00"
    with pytest.raises(StopIteration):
        exchange.send(bytes.fromhex("20 02 01"))


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("20 02 02", "opcode_not_supported"),
        ("20 02 05", "user_not_authorized"),
        ("20 02 80", "128"),
    ],
)
def test_a_refusal_does_not_contain_the_consent_code(answer: str, word: str) -> None:
    exchange = give_consent(OF_USER_2)
    next(exchange)
    with pytest.raises(
        ExchangeRefused, match=f"^user 2: expected success, found {word};"
    ) as refused:
        exchange.send(bytes.fromhex(answer))
    assert "42" not in str(refused.value)


def test_consent_is_written_to_the_user_control_point() -> None:
    assert PROFILE.opening is not None
    assert PROFILE.opening.control == "2a9f"
