"""What other programs publish, as `healthd watch` shows it: as a table, as lines, and as JSON."""

from collections.abc import Iterable
from contextlib import redirect_stdout
from io import BytesIO, StringIO, TextIOWrapper
from unicodedata import category

import orjson
from rich.console import Console

from healthd.cli.live.table import LiveTable
from healthd.cli.live.view import JsonLines, Lines
from healthd.mqtt.arrivals import Message
from tests.fuzz import target
from tests.fuzz.pieces import Pieces, chunk

_TOPICS = (
    "healthd/g/status",
    "healthd/g/event/gap",
    "healthd/g/device/strap/status",
    "healthd/g/device/strap/info",
    "healthd/g/device/strap/heart_rate",
    "healthd/g/device/strap/heart_rate/history",
    "healthd/g/device/strap/ecg",
    "healthd/g/device/scale/weight",
)


class Target(target.Target):
    """Messages: topic, whether it is retained, payload."""

    words = (
        *(
            b'"id"',
            b'"time"',
            b'"clock":"synced"',
            b'"seq"',
            b'"heart_rate_bpm"',
            b'"sample_rate_hz"',
        ),
        *(
            b'"state":"streaming"',
            b'"reason"',
            b'"fetch":{"next_due":',
            b'"2026-11-24T02:03:31.123456Z"',
        ),
        *(
            b"null",
            b"true",
            b"[]",
            b"{}",
            b"online",
            b"\x1b[31m",
            b"\xe2\x80\xae",
            b"\xe2\x80\x8b",
            b"\\u001b",
        ),
    )

    def seeds(self) -> Iterable[bytes]:
        """Yield a message of each kind, and a few together."""
        when = b'"time":"2026-11-24T02:03:31.1Z","clock":"synced"'
        sample = b'{"id":"a-1",' + when + b',"seq":1,"heart_rate_bpm":72}'
        frame = b'{"id":"a-2",' + when + b',"seq":2,"sample_rate_hz":130,"ecg_uv":[1,-2,3]}'
        info = b'{"state":"waiting","reason":"x","fetch":{"next_due":"2026-11-24T02:03:31Z"}}'
        gap = b'{"id":"a-3","peripheral":"strap","stream":"heart_rate","reason":"evicted"}'
        parts = [b"\0\1" + chunk(b"online"), b"\1\0" + chunk(gap), b"\2\1" + chunk(b"offline")]
        parts += [
            b"\3\1" + chunk(info),
            b"\4\0" + chunk(sample),
            b"\5\0" + chunk(sample),
            b"\6\0" + chunk(frame),
        ]
        yield from parts
        yield b"".join(parts)

    def fuzz(self, data: bytes) -> None:
        """Show all messages in each way."""
        pieces = Pieces(data)
        table = LiveTable("title", "caption", "healthd", {"weight"})
        table.set_broker_fault(None)
        as_lines, as_json = Lines(), JsonLines("healthd")
        with redirect_stdout(TextIOWrapper(BytesIO())) as written:
            while not pieces.is_empty:
                number, flags = pieces.number(), pieces.number()
                topic = (
                    _TOPICS[number % len(_TOPICS)] if number < 200 else f"healthd/g/{pieces.text()}"
                )
                message = Message(topic, pieces.chunk(), retained=bool(flags & 1))
                table.show(message)
                as_lines.show(message)
                as_json.show(message)
        written.seek(0)
        lines = written.read().splitlines(keepends=True)
        for as_text, as_object in zip(lines[::2], lines[1::2], strict=True):
            _check(as_text)
            _check(as_object)
            orjson.loads(as_object)
        out = StringIO()
        Console(file=out, width=100, height=20, color_system=None).print(table)
        assert "caption" in out.getvalue()
        for line in out.getvalue().split("\n"):
            _check(line)


def _check(line: str) -> None:
    """Check that a line has no character that a terminal obeys or does not show."""
    found = {category(character) for character in line.removesuffix("\n")}
    assert not found & {"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"}, ascii(line)
