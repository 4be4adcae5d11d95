"""What of a device's traffic is secret: keys and codes, which never enter a capture."""

_SET_KEY, _UNLOCK = 0x00, 0x01
_REGISTER, _CONSENT = 0x01, 0x02

# By characteristic, the first bytes of the requests that contain one.
_REQUESTS: dict[str, frozenset[int]] = {
    # User Data Service, 3.2: the consent code of a user.
    "2a9f": frozenset({_REGISTER, _CONSENT}),
    # The key of an Omron cuff (healthd/profiles/vendor/omron/keys.py).
    "b305b680-aee7-11e1-a730-0002a5d5c51b": frozenset({_SET_KEY, _UNLOCK}),
}


def is_secret(uuid: str | None, value: bytes) -> bool:
    """Return whether a value that is written contains a key or a code.

    Args:
        uuid: canonical UUID of its characteristic; None if it is not known.
        value: what is written.
    """
    return value[:1] != b"" and value[0] in _REQUESTS.get(uuid or "", ())
