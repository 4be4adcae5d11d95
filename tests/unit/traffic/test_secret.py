"""What never enters a capture."""

import pytest

from healthd.profiles.registry import load
from healthd.profiles.user_data.control_point import encode_consent
from healthd.profiles.vendor.omron import keys
from healthd.traffic.secret import is_secret

KEY = bytes(range(100, 116))


def test_the_key_of_each_profile_that_agrees_on_one() -> None:
    pairings = [each.pairing for each in load().profiles.values() if each.pairing is not None]
    assert pairings
    for pairing in pairings:
        dialogue = pairing.exchange(KEY)
        request = next(dialogue)
        with_key = 0
        while True:
            data = request if isinstance(request, bytes) else request.data
            control = pairing.control if isinstance(request, bytes) else request.control
            if KEY in data:
                with_key += 1
                assert is_secret(control or pairing.control, data)
            try:
                # An answer to this request, which accepts it.
                request = dialogue.send(bytes([data[0] | 0x80, 0]) if data else b"")
            except StopIteration:
                break
        assert with_key == 1


def test_the_key_of_a_cuff_when_its_memory_is_opened() -> None:
    dialogue = keys.unlock(KEY)
    next(dialogue)
    request = dialogue.send(b"")
    assert not isinstance(request, bytes)
    assert KEY in request.data
    assert is_secret(request.control, request.data)


def test_a_consent_code() -> None:
    assert is_secret("2a9f", encode_consent(user_index=1, consent_code=1234))


@pytest.mark.parametrize(
    ("uuid", "value"),
    [
        ("2a9f", b"\x03"),  # list all users
        ("2a9f", b""),
        ("2a52", b"\x01\x01"),
        (None, b"\x01"),
        (keys.UNLOCK.uuid, b"\x11mqtt"),  # a token that is no secret
    ],
)
def test_other_requests_are_kept(uuid: str | None, value: bytes) -> None:
    assert not is_secret(uuid, value)
