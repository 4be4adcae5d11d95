"""The consent of a user: the bytes that are written, and how they are decoded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.user_data.control_point import decode_control_point, encode_consent


@pytest.mark.parametrize(
    ("user_index", "consent_code", "packet"),
    [(170, 9999, "02aa0f27"), (0, 1, "02000100"), (254, 1, "02fe0100")],
)
def test_bytes(user_index: int, consent_code: int, packet: str) -> None:
    assert encode_consent(user_index=user_index, consent_code=consent_code).hex() == packet


@given(user=st.integers(0, 254), code=st.integers(0, 9999))
def test_consent_is_decoded_as_it_was_written(user: int, code: int) -> None:
    assert decode_control_point(encode_consent(user_index=user, consent_code=code)).fields() == {
        "opcode": 2,
        "name": "consent",
        "user_index": user,
        "consent_code": code,
    }


@pytest.mark.parametrize(
    ("user_index", "consent_code", "message"),
    [
        (1, -1, "consent_code: expected 0 to 9999, found -1"),
        (1, 10_000, "consent_code: expected 0 to 9999, found 10000"),
        (-1, 1, "user_index: expected 0 to 254, found -1"),
        (255, 1, "user_index: expected 0 to 254, found 255"),
    ],
)
def test_out_of_range_names_the_argument(user_index: int, consent_code: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_consent(user_index=user_index, consent_code=consent_code)
