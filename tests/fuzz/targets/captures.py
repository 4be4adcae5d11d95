"""Files of radio traffic: any bytes give lines and at most one BadCapture, and can be printed."""

import struct
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Literal
from unittest.mock import patch

import orjson

from healthd.capture.reading import read
from healthd.cli import decode_capture
from healthd.profiles.registry import load
from healthd.traffic.codec import BadCapture, decode, encode
from healthd.traffic.lines import Line, Missing, Start
from tests.fuzz import target
from tests.support.capture_lines import session
from tests.support.radio_log import BTSNOOP_TYPES, btsnoop, packetlogger, pcap, pcapng
from tests.support.strap_log import strap_air_log, strap_log

_UART, _MONITOR = BTSNOOP_TYPES[1:]
_HEAD = b"btsnoop\0" + struct.pack(">II", 1, _UART)
_RECORD = struct.Struct(">IIIIQ")
_LONGEST = 70_000


class Target(target.Target):
    """The input is a file."""

    words = (
        b"btsnoop\0\0\0\0\1\0\0\3\xea",
        b"\x04\x3e\x13\x01\0",
        b"\x04\x05\x04\0",
        b"\x04\x3e\x1a\x0d\x01",
        b"\x09\x00\x05\x00\x04\x00\x1b\x03\x00",
        b"\x00\x28",
        b"\x03\x28",
        b"\x02\x29",
        b"\x37\x2a",
        b"\x1d\x03\x00",
        b"\x23\x03\x00\x02\x00",
        b"\xd6\xbe\x89\x8e",
        b"\x4d\x3c\x2b\x1a",
        b'{"what":"notification","t":1,',
        b'"uuid":"2a37"',
    )

    def __init__(self) -> None:
        """Make a folder."""
        self._folder = target.folder()
        self._file = Path(self._folder.name) / "capture"
        # A command loads the decoders once; here it runs thousands of times.
        self._loaded = patch.object(decode_capture, "load", return_value=load())
        self._loaded.start()

    def seeds(self) -> Iterable[bytes]:
        """Yield the log of a strap in each container, captures of the air, and one of healthd."""
        packets = strap_log().packets
        for link_type in BTSNOOP_TYPES:
            yield btsnoop(packets, link_type)
        yield pcap(packets, order=">", nanos=True)
        yield pcapng(packets)
        yield packetlogger(packets)
        yield from strap_air_log().files()
        yield b"".join(encode(line) + b"\n" for line in session())

    def fuzz(self, data: bytes) -> None:
        """Read, compare with the same packets in another container, and print."""
        lines, is_whole = self._read(data)
        assert not lines or isinstance(lines[0], Start)
        for line in lines:
            assert decode(encode(line), 1) == line
        if data.startswith(_HEAD):
            others, other_is_whole = self._read(_in_monitor(data))
            assert is_whole == other_is_whole
            assert _without_places(lines) == _without_places(others)
        self._print(data, "table" if len(data) % 4 == 0 else "jsonl", is_whole)

    def _read(self, data: bytes) -> tuple[list[Line], bool]:
        """Return the lines of a file, and whether it was read to its end."""
        self._file.write_bytes(data)
        lines: list[Line] = []
        try:
            for line in read(self._file):
                lines.append(line)
        except BadCapture as error:
            assert error.place and error.problem
            return lines, False
        return lines, True

    def _print(self, data: bytes, style: Literal["jsonl", "table"], is_whole: bool) -> None:
        self._file.write_bytes(data)
        out, problems = BytesIO(), StringIO()
        with redirect_stdout(TextIOWrapper(out, "utf-8")) as text, redirect_stderr(problems):
            assert decode_capture.main(self._file, "", {}, style) == (0 if is_whole else 1)
            text.flush()
            printed = out.getvalue().decode()
        shown = printed.split("\n")[:-1] + problems.getvalue().split("\n")[:-1]
        assert all(line.isprintable() for line in shown), shown
        if style == "jsonl":
            for row in printed.splitlines():
                assert orjson.loads(row)["what"]

    def __exit__(self, *exception: object) -> None:
        """Remove the folder."""
        self._loaded.stop()
        self._folder.cleanup()


def _in_monitor(data: bytes) -> bytes:
    """Return a log of UART packets as btmon writes it; the quick way of reading is not for it."""
    out, at = b"btsnoop\0" + struct.pack(">II", 1, _MONITOR), len(_HEAD)
    while at + _RECORD.size <= len(data):
        original, length, flags, dropped, time = _RECORD.unpack_from(data, at)
        start = at + _RECORD.size
        packet = data[start : start + length]
        if len(packet) < length or length > min(original, _LONGEST):
            break  # an error in both
        received = flags & 1
        codes = {1: 2, 2: 4 + received, 4: 3}
        code = codes.get(packet[0], 0) if packet else 0
        if packet:
            original, packet = original - 1, packet[1:]
        out += _RECORD.pack(original, len(packet), code, dropped, time) + packet
        at = start + length
    return out + data[at:]


def _without_places(lines: list[Line]) -> list[Line]:
    """Return the lines after the start; reasons without the places in the file, which differ."""
    return [
        line.model_copy(update={"reason": line.reason.partition(": ")[2]})
        if isinstance(line, Missing)
        else line
        for line in lines[1:]
    ]
