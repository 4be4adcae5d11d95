"""``healthd decode --advertisement``: decode what devices advertise, a line of JSON for each."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TextIO

from healthd.cli.hex_input import BadInput, answer_each, echo, parse_hex
from healthd.errors import DecodeError
from healthd.profiles.advertisement import Advertised, advertised, is_data, keyed
from healthd.profiles.characteristic import Broadcast
from healthd.profiles.identity import Identity
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.quirks import decoders_for
from healthd.profiles.registry import Registry, load
from healthd.profiles.uuids import canonical_uuid

# An advertisement has room for hundreds of structures; a message names the first ones.
_NAMED_KEYS = 8

_KEY = re.compile(r"(?P<what>service_data|manufacturer_data)_(?P<number>.*)", re.DOTALL)
_ADDRESS = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2}){5}")
_COMPANY = re.compile(r"[0-9a-f]{4}")


class Advertiser(NamedTuple):
    """The device that has sent what is decoded.

    Attributes:
        identity: some devices deviate from the usual layout. An advertised name counts if there is
            no name in it.
        options: has the key of a device that encrypts.
        address: upper case; empty if it is unknown. Only encrypted data needs it.
    """

    identity: Identity = Identity()
    options: Options = Options()
    address: str = ""


def advertiser(
    device: str, maker: str, model: str, address: str, bind_key_file: Path | None
) -> Advertiser:
    """Return the device that options of the command line describe.

    Raises:
        ValueError: the address is not one, or the file has no key; the message names the option.
    """
    key = None
    if bind_key_file is not None:
        # Loads all settings, which hardly any input needs.
        from healthd.settings.secret_files import read_bind_key

        try:
            key = read_bind_key(bind_key_file)
        except (OSError, ValueError) as error:
            raise ValueError(f"--bind-key-file: {bind_key_file}: {error}") from error
    upper = address.upper().replace("-", ":")
    if address and not _ADDRESS.fullmatch(upper):
        expected = "six pairs of hex digits, separated by colons"
        raise ValueError(f"--address: found {echo(address)}, expected {expected}")
    return Advertiser(Identity(device, maker, model), Options(bind_key=key), upper)


def decode_advertisements(
    words: Iterable[str],
    lines: TextIO,
    say: Callable[[object], None],
    advertiser: Advertiser = Advertiser(),  # noqa: B008 - immutable
) -> int:
    """Decode one advertisement or, without words, one from each line of ``lines``.

    An input is HEX as for ``healthd.cli.decode.decode``, or a key and HEX. It is read as the first
    of these that it can be:

    1. with a key such as ``service_data_181d`` or ``manufacturer_data_0157``, or with its number
       alone, such as ``181d``: the bytes after the UUID or the company id;
    2. an advertisement, or one and its scan response: structures that fill it to the last byte;
    3. one structure from its type on, or from its UUID or company id on, whose data healthd reads.
       If it can be both, or both a UUID and a company id, the answer is an error.

    Every input gives exactly one answer, as in ``decode``: what healthd reads in it, or an error.

    Args:
        words: one input.
        lines: UTF-8 text, opened with ``errors="replace"``; read only without words.
        say: prints an answer as one line of JSON.
        advertiser: the device.

    Returns:
        The exit code: 0, or 1 if any input could not be decoded.
    """
    registry = load()

    def answer(words: list[str]) -> tuple[dict[str, object], bool]:
        name, data = _read(registry, words)
        found = [each for pair in data for each in registry.broadcasts_in(dict([pair]))]
        if not found:
            raise BadInput(_nothing_read(registry, dict(data)))
        decoded = [_decode(advertiser, name, *each) for each in found]
        return {"broadcasts": decoded}, not any("error" in each for each in decoded)

    line = " ".join(words)
    return answer_each([line] if line else lines, answer, "HEX", say)


def _decode(
    advertiser: Advertiser, name: str, profile: Profile, broadcast: Broadcast, value: bytes
) -> dict[str, object]:
    answer: dict[str, object] = {
        "profile": profile.name,
        "broadcast": broadcast.uuid,
        "kind": broadcast.model.kind,
    }
    identity, options, address = advertiser
    if not identity.name:
        identity = Identity(name, identity.maker, identity.model)
    if broadcast.decoder is not None:
        # A new one for each input, so that an answer does not depend on earlier inputs.
        decode = broadcast.decoder(options, address)
    else:
        decode = decoders_for(identity).get(broadcast.uuid, broadcast.decode)
    try:
        return {**answer, "measurement": decode(value).fields()}
    except DecodeError as error:
        return {**answer, "error": str(error)}


def _read(registry: Registry, words: list[str]) -> Advertised:
    if match := _KEY.fullmatch(words[0]):
        key = _canonical_key(match["what"], match["number"])
        return Advertised("", ((key, parse_hex(words[1:], "the key")),))
    if len(words) > 1 and (key := _known_key(registry, words[0].lower())):
        return Advertised("", ((key, parse_hex(words[1:], key)),))
    data = parse_hex(words, "--advertisement")
    try:
        found = advertised(data)
    except DecodeError as error:
        return Advertised("", (_one_structure(registry, data, str(error)),))
    if found.data:
        return found
    missing = "no service data and no manufacturer data in it"
    return Advertised("", (_one_structure(registry, data, missing),))


def _known_key(registry: Registry, number: str) -> str | None:
    """Return the key with this number; None if healthd reads none, or both kinds of data."""
    keys = {f"{what}_{number}" for what in ("service_data", "manufacturer_data")}
    known = keys & registry.broadcast_keys
    return known.pop() if len(known) == 1 else None


def _canonical_key(what: str, number: str) -> str:
    if what == "service_data":
        try:
            return f"{what}_{canonical_uuid(number)}"
        except ValueError as error:
            raise BadInput(f"{what}_: found {echo(number)}, {error}") from error
    if not _COMPANY.fullmatch(number.lower()):
        expected = "the four hex digits of a company id"
        raise BadInput(f"{what}_: found {echo(number)}, expected {expected}")
    return f"{what}_{number.lower()}"


def _one_structure(registry: Registry, data: bytes, not_whole: str) -> tuple[str, bytes]:
    """Return the key and the value of data without its length, and perhaps without its type.

    Args:
        registry: all known profiles.
        data: the bytes.
        not_whole: why they are not an advertisement that healthd can read.
    """
    types = [data[0]] if data and is_data(data[0]) else []
    readings = [(kind, data[1:]) for kind in types] + [(kind, data) for kind in (0x16, 0x21, 0xFF)]
    found: dict[str, bytes] = {}
    for kind, rest in readings:
        try:
            key, value = keyed(kind, rest)
        except DecodeError:
            continue
        if registry.broadcasts_in({key: value}):
            found[key] = value
    if not found:
        raise BadInput(
            f"found neither an advertisement ({not_whole}) nor the data of one structure that "
            f"healthd reads, expected {_readable(registry)}"
        )
    if len(found) > 1:
        keys = " or ".join(found)
        raise BadInput(f"can be {keys}: write that before HEX, and HEX without its number")
    return found.popitem()


def _nothing_read(registry: Registry, data: Mapping[str, bytes]) -> str:
    found = [key + _why_not(registry, key, value) for key, value in data.items()]
    if (left_out := len(found) - _NAMED_KEYS) > 0:
        found[_NAMED_KEYS:] = [f"{left_out} more"]
    return f"found {', '.join(found)}, expected {_readable(registry)}"


def _why_not(registry: Registry, key: str, value: bytes) -> str:
    """Return why data is not read although its key is known; empty for an unknown key."""
    reasons: list[str] = []
    for broadcast in registry.broadcasts.values():
        if key in broadcast.keys:
            try:
                broadcast.decode(value)
                reasons.append("the data of another kind of device")
            except DecodeError as error:
                reasons.append(str(error))
    return f" ({'; '.join(dict.fromkeys(reasons))})" if reasons else ""


def _readable(registry: Registry) -> str:
    # A maker may use hundreds of company ids.
    known = [
        f"{broadcast.keys[0]} ({profile.name})"
        for profile in registry.profiles.values()
        for broadcast in profile.broadcasts
    ]
    return ", ".join(dict.fromkeys(known))
