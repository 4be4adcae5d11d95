"""``healthd decode --capture``: decode all values of a file of radio traffic."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from healthd.capture.att.dialogue import Event
from healthd.capture.decoding import Decoded, Decoding
from healthd.capture.guesses import may_be_guessed
from healthd.capture.reading import ReadOptions, events
from healthd.capture.value import Stream, Value
from healthd.cli import console
from healthd.cli.decoded_rows import Render, Row, Times, renderer, what_of
from healthd.cli.tables import progress
from healthd.profiles.registry import load
from healthd.profiles.uuids import canonical_uuid
from healthd.traffic.codec import BadCapture
from healthd.traffic.lines import Advertised, Missing, Notified, Read, Written

_EXIT_FAILED = 1

# Lines are printed in chunks of this size, because each print is a call of the system.
_CHUNK = 500


class _Counts:
    """How many values were decoded, for the summary."""

    def __init__(self) -> None:
        self.values: Counter[str] = Counter()
        self.missing: list[str] = []

    def count(self, decoded: Decoded) -> None:
        if decoded.fields is not None:
            self.values["decoded"] += 1
        elif decoded.error is not None:
            self.values["not decoded"] += 1
        else:
            self.values["unknown"] += 1

    def summary(self) -> str:
        parts = ", ".join(
            f"{self.values[name]:,} {name}" for name in ("decoded", "not decoded", "unknown")
        )
        return f"values: {parts}; missing places: {len(self.missing):,}"


def main(
    file: Path, device: str, uuids: Mapping[int, str], style: Literal["jsonl", "table"] | None
) -> int:
    """Print each value of a file, and a summary on standard error.

    Args:
        file: a capture of healthd, or a log of another program.
        device: print only the values of the device with this address or name (a shell pattern);
            empty for all.
        uuids: canonical UUIDs by handle, for a log that began after the discovery.
        style: how to print; None: a table on a terminal, else JSON.

    Returns:
        The exit code: 0, or 1 if the file cannot be read, or not to its end.
    """
    as_table = style == "table" or (style is None and sys.stdout.isatty())
    counts = _Counts()
    try:
        with progress("decoding", file.stat().st_size) as on_progress:
            found = events(file, ReadOptions(uuids), on_progress)
            _print(found, _Lines(device, counts, as_table=as_table), as_table=as_table)
    except BadCapture as error:
        console.complain(counts.summary(), f"{file}: {error}")
        return _EXIT_FAILED
    except OSError as error:
        console.complain(f"{file}: {error.strerror or error}")
        return _EXIT_FAILED
    for reason, number in Counter(counts.missing).most_common(_MOST_REASONS):
        console.complain(f"missing: {reason}" + (f" ({number} times)" if number > 1 else ""))
    console.complain(counts.summary())
    return 0


# Reasons that name their packets are all different; the first ones show what is wrong.
_MOST_REASONS = 10


def parse_uuids(texts: list[str]) -> dict[int, str]:
    """Return the UUIDs of ``HANDLE=UUID`` by handle.

    Raises:
        ValueError: a text has another form; the message says which.
    """
    found: dict[int, str] = {}
    for text in texts:
        handle, _, uuid = text.partition("=")
        try:
            number = int(handle, 0)
            if not 1 <= number <= 0xFFFF:
                raise ValueError
            found[number] = canonical_uuid(uuid)
        except ValueError as error:
            raise ValueError(f"found {text!r}, expected HANDLE=UUID, as 0x0010=2a37") from error
    return found


class _Lines:
    """Turns what a file says into lines to print."""

    def __init__(self, device: str, counts: _Counts, *, as_table: bool) -> None:
        self._decoding = Decoding(load())
        self._device = device.lower()
        self._counts = counts
        self._as_table = as_table
        self._times = Times()
        # None: the device is not wanted. Renewed whenever more is known of a device.
        self._renderers: dict[Stream, Render | None] = {}

    def of(self, event: Event) -> Iterable[str]:
        """Return the lines of an event."""
        if isinstance(event, Value):
            return self._of_value(event)
        self._renderers.clear()
        if isinstance(event, Missing):
            self._counts.missing.append(event.reason)
            return ()
        self._decoding.note(event)
        if isinstance(event, Advertised | Notified | Read | Written) and self._wants(event.device):
            return map(self._text, self._rows(event))
        return ()

    def _of_value(self, value: Value) -> Iterable[str]:
        micros, data, stream = value
        try:
            render = self._renderers[stream]
        except KeyError:
            render = self._renderers[stream] = self._renderer(stream)
        if render is None:
            return ()
        text = render(self._times.text(micros), data)
        if text is None:
            return map(self._text, self._notified(value))
        return (text,)

    def _renderer(self, stream: Stream) -> Render | None:
        if not self._wants(stream.device):
            return None
        decoding, uuid = self._decoding, stream.uuid
        decode = None if uuid is None else decoding.decoder(stream.device, uuid)
        if self._as_table or (uuid is not None and decode is None and decoding.is_framed(uuid)):
            return _not_alone
        render = renderer(stream, decode)
        counted = "unknown" if decode is None else "decoded"
        counts = self._counts.values

        def count(time: str, value: bytes) -> str | None:
            if decode is None and may_be_guessed(value):
                return None
            text = render(time, value)
            if text is not None:
                counts[counted] += 1
            return text

        return count

    def _notified(self, value: Value) -> Iterator[Row]:
        micros, data, stream = value
        time, what = self._times.text(micros), what_of(stream)
        device, link, uuid, handle = stream.device, stream.link, stream.uuid, stream.handle
        for decoded in self._decoding.notified(device, link, uuid, data):
            yield Row(time, device, link, what, uuid, handle, data, decoded)

    def _rows(self, line: Advertised | Notified | Read | Written) -> Iterator[Row]:
        time = self._times.text(round(line.time.timestamp() * 1e6))
        if isinstance(line, Advertised):
            for key, value, decoded in self._decoding.advertised(line):
                yield Row(time, line.device, None, line.what, key, None, value, decoded)
            return
        is_indication = isinstance(line, Notified) and line.confirmed
        what, value = "indication" if is_indication else line.what, line.value or b""
        for decoded in self._decoding.values(line):
            yield Row(time, line.device, line.link, what, line.uuid, line.handle, value, decoded)

    def _text(self, row: Row) -> str:
        self._counts.count(row.decoded)
        return row.as_text() if self._as_table else row.as_json().decode()

    def _wants(self, device: str) -> bool:
        wanted = self._device
        return (
            not wanted
            or wanted == device.lower()
            or fnmatch(self._decoding.name(device).lower(), wanted)
        )


def _not_alone(_time: str, _value: bytes) -> None:
    """Leave a value to the slow way: see ``Render``."""


def _print(found: Iterator[Event], lines: _Lines, *, as_table: bool) -> None:
    chunk: list[str] = []
    of = lines.of

    def say() -> None:
        if as_table:
            console.say(*chunk)
        elif chunk:
            console.say_json_lines(chunk)
        chunk.clear()

    try:
        for event in found:
            chunk += of(event)
            if len(chunk) >= _CHUNK:
                say()
    finally:
        say()
