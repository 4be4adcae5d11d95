"""UUIDs in the form that is used as a key, and as Bluetooth writes them."""

import re

# Bluetooth SIG numbers are short for a UUID with this end (Core Specification, Vol 3, Part B).
_BASE = "-0000-1000-8000-00805f9b34fb"
_NUMBER = re.compile(r"(?:0x)?(?P<digits>[0-9a-f]{4}|[0-9a-f]{8})")
_FULL = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def canonical_uuid(text: str) -> str:
    """Return the form used as a key: ``2a37`` for a SIG number, else 36 lower-case characters.

    Args:
        text: 4 or 8 hex digits, with or without ``0x``, or a 36-character UUID; any case.

    Raises:
        ValueError: the text has none of these forms.
    """
    lowered = text.lower()
    if number := _NUMBER.fullmatch(lowered):
        full = number["digits"].rjust(8, "0") + _BASE
    elif _FULL.fullmatch(lowered):
        full = lowered
    else:
        raise ValueError("expected a UUID of 4, 8 or 36 characters, such as 2a37")
    # A SIG number above 16 bits has no 4-digit form and stays long.
    return full[4:8] if full.startswith("0000") and full.endswith(_BASE) else full


def full_uuid(canonical: str) -> str:
    """Return the 36-character form of a UUID that ``canonical_uuid`` has returned."""
    return f"0000{canonical}{_BASE}" if len(canonical) == 4 else canonical
