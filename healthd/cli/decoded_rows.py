"""A value of a capture and what it means, as a line of JSON or of text."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from healthd.capture.decoding import Decode, Decoded
from healthd.capture.value import Stream
from healthd.errors import DecodeError
from healthd.samples import utc_text

# A row of a table is for the eye: frames of fast streams have hundreds of numbers.
_FIELDS_SHOWN = 160


class Row(NamedTuple):
    """A value and what it means.

    Attributes:
        time: UTC, as text.
        device: its address.
        link: number of the link; None for an advertisement.
        what: ``notification``, ``indication``, ``read``, ``write`` or ``advertisement``.
        uuid: of the characteristic, or the name of a broadcast; None if it is not known.
        handle: None for an advertisement.
        value: the bytes.
        decoded: what they mean.
    """

    time: str
    device: str
    link: int | None
    what: str
    uuid: str | None
    handle: int | None
    value: bytes
    decoded: Decoded

    def as_json(self) -> bytes:
        """Return one line of JSON."""
        fields: dict[str, Any] = {"time": self.time, "device": self.device}
        if self.link is not None:
            fields |= {"link": self.link}
        fields |= {"what": self.what, "uuid": self.uuid}
        if self.handle is not None:
            fields |= {"handle": self.handle}
        kind, measured, error, guess = self.decoded
        if measured is not None:
            fields |= {"measurement": kind, "fields": measured}
        else:
            fields |= {"hex": self.value.hex()}
            if error is not None:
                fields |= {"error": error}
            if guess is not None:
                fields |= {"guess": guess}
        return orjson.dumps(fields)

    def as_text(self) -> str:
        """Return one line for people."""
        kind, measured, error, guess = self.decoded
        if measured is not None:
            meaning = f"{kind}: {_shown(measured)}"
        elif error is not None:
            meaning = f"{self.value.hex()} (not decoded: {error})"
        elif guess is not None:
            meaning = f"{self.value.hex()} (perhaps {guess['kind']}: {_shown(guess['fields'])})"
        else:
            meaning = self.value.hex()
        name = self.uuid or f"handle {self.handle}"
        return f"{self.time}  {self.device:17}  {self.what:13}  {name:8.36}  {meaning}"


def _shown(fields: Mapping[str, Any]) -> str:
    text = " ".join(f"{key}={value}" for key, value in fields.items())
    return text if len(text) <= _FIELDS_SHOWN else f"{text[:_FIELDS_SHOWN]}…"


class Times:
    """Writes times as text. Most values are of the same second as the one before."""

    def __init__(self) -> None:
        """Start without a second."""
        self._second = -1
        self._text = ""

    def text(self, micros: int) -> str:
        """Return a time in microseconds since 1970 as ISO 8601 in UTC."""
        second, rest = divmod(micros, 1_000_000)
        if second != self._second:
            self._second = second
            self._text = utc_text(second * 1_000_000_000)[: -len("000000Z")]
        return f"{self._text}{rest:06d}Z"


Render = Callable[[str, bytes], str | None]
"""Returns the line of JSON for a time and a value, or None: it takes more than its decoder."""


def renderer(stream: Stream, decode: Decode | None) -> Render:
    """Return what makes lines of JSON for one characteristic, as ``Row.as_json`` would.

    A log has up to millions of values and few characteristics: what is the same for all of them
    is written once.

    Args:
        stream: the characteristic.
        decode: its decoder; None if its layout is not known.
    """
    row = Row("", stream.device, stream.link, what_of(stream), stream.uuid, stream.handle, b"", _NO)
    # Without the time at the beginning and the hex digits at the end.
    common = row.as_json().decode().removeprefix('{"time":""').removesuffix('"hex":""}')

    def undecoded(time: str, value: bytes) -> str:
        return f'{{"time":"{time}"{common}"hex":"{value.hex()}"}}'

    if decode is None:
        return undecoded

    def decoded(time: str, value: bytes) -> str | None:
        try:
            measurement = decode(value)
        except DecodeError:
            return None
        fields = orjson.dumps(measurement.fields()).decode()
        kind = measurement.kind
        return f'{{"time":"{time}"{common}"measurement":"{kind}","fields":{fields}}}'

    return decoded


def what_of(stream: Stream) -> str:
    """Return how the values of a characteristic are sent."""
    return "indication" if stream.confirmed else "notification"


_NO = Decoded()
