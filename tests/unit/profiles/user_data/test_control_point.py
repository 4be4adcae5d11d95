"""Requests to a device with users: encoded, and read back."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.user_data.control_point import (
    decode_control_point,
    encode_consent,
    encode_delete_user_data,
    encode_delete_users,
    encode_list_all_users,
    encode_register,
)

codes = st.integers(0, 9999)
users = st.integers(0, 254)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (encode_register(consent_code=1234), "01d204"),
        (encode_register(consent_code=0), "010000"),
        (encode_register(consent_code=9999), "010f27"),
        (encode_consent(user_index=170, consent_code=9999), "02aa0f27"),
        (encode_consent(user_index=0, consent_code=1), "02000100"),
        (encode_consent(user_index=254, consent_code=1), "02fe0100"),
        (encode_delete_user_data(), "03"),
        (encode_list_all_users(), "04"),
        (encode_delete_users(user_index=1), "0501"),
        (encode_delete_users(user_index=None), "05ff"),
    ],
)
def test_bytes(written: bytes, text: str) -> None:
    assert written.hex() == text


@given(code=codes)
def test_register_reads_back(code: int) -> None:
    assert decode_control_point(encode_register(consent_code=code)).fields() == {
        "opcode": 1,
        "name": "register_new_user",
        "consent_code": code,
    }


@given(user=users, code=codes)
def test_consent_reads_back(user: int, code: int) -> None:
    assert decode_control_point(encode_consent(user_index=user, consent_code=code)).fields() == {
        "opcode": 2,
        "name": "consent",
        "user_index": user,
        "consent_code": code,
    }


@given(user=users | st.none())
def test_delete_users_reads_back(user: int | None) -> None:
    assert decode_control_point(encode_delete_users(user_index=user)).fields() == {
        "opcode": 5,
        "name": "delete_users",
        "user_index": user,
    }


@pytest.mark.parametrize(
    ("written", "name"),
    [(encode_delete_user_data(), "delete_user_data"), (encode_list_all_users(), "list_all_users")],
)
def test_what_has_no_parameter_reads_back(written: bytes, name: str) -> None:
    assert decode_control_point(written).fields() == {"opcode": written[0], "name": name}


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda: encode_register(consent_code=-1), "consent_code: expected 0 to 9999, found -1"),
        (
            lambda: encode_register(consent_code=10_000),
            "consent_code: expected 0 to 9999, found 10000",
        ),
        (
            lambda: encode_consent(user_index=1, consent_code=10_000),
            "consent_code: expected 0 to 9999, found 10000",
        ),
        (
            lambda: encode_consent(user_index=255, consent_code=1),
            "user_index: expected 0 to 254, found 255",
        ),
        (lambda: encode_delete_users(user_index=-1), "user_index: expected 0 to 254, found -1"),
        (lambda: encode_delete_users(user_index=255), "user_index: expected 0 to 254, found 255"),
    ],
)
def test_out_of_range_names_the_argument(encode: Callable[[], bytes], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode()
