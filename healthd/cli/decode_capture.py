"""``healthd decode --capture``: decode all values of a file of radio traffic."""

import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from healthd.capture.att.dialogue import Event
from healthd.capture.decoding import Decoded, Decoding
from healthd.capture.reading import ReadOptions, events
from healthd.capture.value import Value
from healthd.cli import console
from healthd.profiles.registry import load
from healthd.profiles.uuids import canonical_uuid
from healthd.samples import utc_text
from healthd.traffic.codec import BadCapture
from healthd.traffic.lines import Advertised, Line, Missing, Notified, Read, Written

_EXIT_FAILED = 1

# Lines are printed in chunks of this size, because each print is a call of the system.
_CHUNK = 500

_FIELDS_SHOWN = 160


class _Row(NamedTuple):
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


class Progress(Protocol):
    """Shows how much of the file was read."""

    def __call__(self, read: int, /) -> None:
        """Show that this many bytes were read."""
        ...


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
        with _progress(file) as on_progress:
            found = events(file, ReadOptions(uuids), on_progress)
            _print(_rows(found, device, counts), as_table)
    except BadCapture as error:
        console.complain(f"{file}: {error}", counts.summary())
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


def _rows(found: Iterator[Event], device: str, counts: _Counts) -> Iterator[_Row]:
    decoding = Decoding(load())
    is_wanted = _filter(device, decoding)
    for event in found:
        if isinstance(event, Missing):
            counts.missing.append(event.reason)
        elif isinstance(event, Value | Notified | Read | Written):
            if isinstance(event, Read):
                decoding.note(event)
            if is_wanted(event.device):
                for row in _of_value(decoding, event):
                    counts.count(row.decoded)
                    yield row
        else:
            decoding.note(event)
            if isinstance(event, Advertised) and is_wanted(event.device):
                for row in _of_advertisement(decoding, event):
                    counts.count(row.decoded)
                    yield row


def _filter(device: str, decoding: Decoding) -> Callable[[str], bool]:
    if not device:
        return lambda _: True
    pattern = device.lower()
    return lambda address: (
        pattern == address.lower() or fnmatch(decoding.name(address).lower(), pattern)
    )


def _of_value(decoding: Decoding, event: Value | Notified | Read | Written) -> Iterator[_Row]:
    what = _what(event)
    time = _time(event)
    for decoded in decoding.values(event):
        value = event.value or b""
        yield _Row(time, event.device, event.link, what, event.uuid, event.handle, value, decoded)


def _what(event: Value | Notified | Read | Written) -> str:
    if isinstance(event, Read | Written):
        return event.what
    return "indication" if event.confirmed else "notification"


def _of_advertisement(decoding: Decoding, line: Advertised) -> Iterator[_Row]:
    for key, value, decoded in decoding.advertised(line):
        yield _Row(_time(line), line.device, None, line.what, key, None, value, decoded)


def _time(event: Line | Value) -> str:
    if isinstance(event, Value):
        return utc_text(event.micros * 1000)
    return utc_text(round(event.time.timestamp() * 1e6) * 1000)


def _print(rows: Iterator[_Row], as_table: bool) -> None:
    chunk: list[str] = []
    say = console.say if as_table else console.say_data
    try:
        for row in rows:
            chunk.append(row.as_text() if as_table else row.as_json().decode())
            if len(chunk) == _CHUNK:
                say(*chunk)
                chunk.clear()
    finally:
        say(*chunk)


@contextmanager
def _progress(file: Path) -> Generator[Progress]:
    """Show a progress bar on standard error, if that is a terminal and standard output is not."""
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("decoding", total=file.stat().st_size)
        yield lambda read: bar.update(task, completed=read)
