"""``healthd decode``: decode values of characteristics, one line of JSON per value."""

from collections.abc import Callable
from typing import TextIO

from healthd.cli.hex_input import BadInput, answer_each, echo, parse_hex
from healthd.profiles.identity import Identity
from healthd.profiles.quirks import decoders_for
from healthd.profiles.registry import Registry, load
from healthd.profiles.uuids import canonical_uuid

_ANY_DEVICE = Identity()

# Short names: these two UUIDs are hard to remember and have no short form.
_NAMES = {
    "pmd_cp": "fb005c81-02e7-f387-1cad-8acd2d8df0c8",
    "pmd_data": "fb005c82-02e7-f387-1cad-8acd2d8df0c8",
}


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
            ``pmd_cp`` for Polar's. Each one of a control point's channel takes its whole frames.
        payload: HEX.
        lines: UTF-8 text, opened with ``errors="replace"``; read only without a UUID.
        say: prints an answer as one line of JSON.
        device: the device that sent the values: some devices deviate from the specified layout.

    Returns:
        The exit code: 0, or 1 if any input could not be decoded.
    """
    registry, quirks = load(), decoders_for(device)

    def answer(words: list[str]) -> tuple[dict[str, object], bool]:
        uuid = _known_uuid(registry, words[0])
        data = parse_hex(words[1:], "the UUID")
        return quirks.get(uuid, registry.characteristics[uuid].decode)(data).fields(), True

    inputs = lines if uuid is None else [f"{uuid} {payload or ''}"]
    return answer_each(inputs, answer, "UUID HEX", say)


def _known_uuid(registry: Registry, text: str) -> str:
    try:
        uuid = canonical_uuid(_NAMES.get(text, text))
    except ValueError as error:
        raise BadInput(f"found {echo(text)}, {error}") from error
    uuid = _control_points(registry).get(uuid, uuid)
    if uuid not in registry.characteristics:
        known = ", ".join(registry.characteristics)
        raise BadInput(f"found {uuid}, expected a characteristic that healthd decodes: {known}")
    return uuid


def _control_points(registry: Registry) -> dict[str, str]:
    """Return the control points by the UUIDs that their requests and answers travel over."""
    return {
        uuid: each.uuid
        for each in registry.characteristics.values()
        if each.channel is not None
        for uuid in (*each.channel.writes, *each.channel.notifies)
    }
