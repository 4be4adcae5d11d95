"""``healthd decode``: decode values of characteristics, one line of JSON per value."""

import re
from collections.abc import Callable, Mapping
from typing import TextIO

from healthd.errors import DecodeError
from healthd.profiles.quirks import Identity, decoders_for
from healthd.profiles.registry import Registry, canonical_uuid, load
from healthd.samples import Measurement

# Enough to recognise the input without repeating a megabyte of it.
_ECHO_CHARACTERS = 40

_BYTES = re.compile(r"[0-9a-f]{2}(?:[ :-]?[0-9a-f]{2})*", re.IGNORECASE)
_NO_BYTES = "-"
_ANY_DEVICE = Identity()

# Short names: these two UUIDs are hard to remember and have no short form.
_NAMES = {
    "pmd_cp": "fb005c81-02e7-f387-1cad-8acd2d8df0c8",
    "pmd_data": "fb005c82-02e7-f387-1cad-8acd2d8df0c8",
}


class _BadInput(Exception):
    """An input line that is not ``UUID HEX``; the message says what is expected."""


def decode(
    uuid: str | None,
    payload: str | None,
    lines: TextIO,
    say: Callable[[object], None],
    device: Identity = _ANY_DEVICE,
) -> int:
    """Decode one payload or, without a UUID, every ``UUID HEX`` line of ``lines``.

    HEX is pairs of digits in any case, optionally with a leading ``0x`` and with one space, colon
    or dash between bytes; ``-`` is the empty payload. Every input, even a blank line, gives exactly
    one answer, at once: the decoded fields or ``{"error": "..."}``. So a program can run this
    command as a coprocess and match answers by counting lines.

    Args:
        uuid: of the characteristic, in any form that canonical_uuid accepts, or ``pmd_data`` or
            ``pmd_cp`` for Polar's.
        payload: HEX.
        lines: UTF-8 text, opened with ``errors="replace"``; read only without a UUID.
        say: prints an answer as one line of JSON.
        device: the device that sent the values: some devices deviate from the specified layout.

    Returns:
        The exit code: 0, or 1 if any input could not be decoded.
    """
    registry, quirks = load(), decoders_for(device)
    inputs = lines if uuid is None else [f"{uuid} {payload or ''}"]
    failed = False
    for line in inputs:
        try:
            answer = _decode_line(registry, quirks, line)
        except (_BadInput, DecodeError) as error:
            answer = {"error": str(error)}
            failed = True
        say(answer)
    return int(failed)


def _decode_line(
    registry: Registry, quirks: Mapping[str, Callable[[bytes], Measurement]], line: str
) -> dict[str, object]:
    words = line.split()
    if not words:
        raise _BadInput("found a blank line, expected UUID HEX")
    uuid = _known_uuid(registry, words[0])
    # Rejoined, so that any run of white space between bytes counts as one space.
    data = _bytes(" ".join(words[1:]))
    return quirks.get(uuid, registry.characteristics[uuid].decode)(data).fields()


def _known_uuid(registry: Registry, text: str) -> str:
    try:
        uuid = canonical_uuid(_NAMES.get(text, text))
    except ValueError as error:
        raise _BadInput(f"found {_echo(text)}, {error}") from error
    if uuid not in registry.characteristics:
        known = ", ".join(registry.characteristics)
        raise _BadInput(f"found {uuid}, expected a characteristic that healthd decodes: {known}")
    return uuid


def _bytes(text: str) -> bytes:
    if text == _NO_BYTES:
        return b""
    start = 2 if text[:2].lower() == "0x" else 0
    if start == len(text):
        raise _BadInput(f"found nothing after the UUID, expected HEX ({_NO_BYTES} for no bytes)")
    found = _BYTES.match(text, start)
    end = found.end() if found else start
    if end < len(text):
        raise _BadInput(
            f"HEX, character {end + 1}: found {_echo(text[end:])}, expected two hex digits per byte"
        )
    return bytes.fromhex(re.sub("[ :-]", "", text[start:]))


def _echo(text: str) -> str:
    # repr escapes characters that JSON cannot represent, such as a lone surrogate.
    return repr(text[:_ECHO_CHARACTERS])
