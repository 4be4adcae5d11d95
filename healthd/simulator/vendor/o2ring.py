"""A ring of Wellue and Viatom: answers requests, and stores each night as a file."""

import json
import random
import struct
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from healthd.simulator.attributes import notifying, service, writeable
from healthd.simulator.feed import Feed
from healthd.simulator.part import Part
from healthd.simulator.wander import Wander

SERVICE = "14839AC4-7D7E-415C-9A42-167340CF2339"
NOTIFY = "0734594A-A8E7-4B1A-A6B1-CD5243059A57"
WRITE = "8B00ACE7-EB0B-49B0-BBE9-9AEE0A26E1A3"

OPEN, READ, CLOSE, INFO, SENSORS, REAL_TIME = 0x03, 0x04, 0x05, 0x14, 0x17, 0x1B

_REQUEST, _ANSWER = 0xAA, 0x55
_DONE, _REFUSED = 0, 1
_HEAD = struct.Struct("<BBBHH")
# The value of a packet with the smallest MTU. The ring sends no longer ones.
_PIECE = 20
# The size of a block of a file: no source names the real one.
_BLOCK = 512
_NIGHTS, _NIGHT_RECORDS, _NIGHT_STEP_S = 2, 30, 4
# Samples of the pulse wave in an answer.
_WAVE = 8

Value = tuple[int, int, int]
"""SpO2 in %, pulse rate in 1/min, and movement; 255 and 65535 if there is no value."""


def crc(data: bytes) -> int:
    """Return the CRC-8 of these bytes: polynomial 0x07, initial value 0."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ (0x07 if value & 0x80 else 0)) & 0xFF
    return value


def frame(sync: int, code: int, block: int, data: bytes) -> bytes:
    """Return a whole frame."""
    body = _HEAD.pack(sync, code, code ^ 0xFF, block, len(data)) + data
    return body + bytes([crc(body)])


def stored_night(start: datetime, values: Iterable[Value], step_s: int = _NIGHT_STEP_S) -> bytes:
    """Return the file of a night: header and records.

    Args:
        start: When the first value was measured.
        values: The values.
        step_s: Seconds from one to the next.
    """
    records = b"".join(struct.pack("<BHBB", *value, 0) for value in values)
    moment = (start.month, start.day, start.hour, start.minute, start.second)
    duration_s = len(records) // 5 * step_s
    header = struct.pack("<BBH5BIHH", 3, 0, start.year, *moment, 40 + len(records), duration_s, 0)
    return header.ljust(40, b"\0") + records


class Ring:
    """What a ring answers, without a radio.

    Attributes:
        nights: The stored files by name.
        commands: The requests that its firmware knows.
        worn: Whether it is worn.
        calibrates: Whether it is still looking for the pulse.
        charging: 0 if it is not charged, 1 while it is, 2 when it is full.
        wrong_checksums: How many of the next answers have a wrong checksum.
        unread_blocks: How many more blocks it sends before it answers nothing; None: all.
        closes_for_live: Whether a request for live values closes the open file.
        asked: The requests so far: command and block.
    """

    def __init__(self, rng: random.Random, nights: Mapping[str, bytes]) -> None:
        """Put the ring on.

        Args:
            rng: The random generator of the live values.
            nights: The stored files by name.
        """
        self.nights = dict(nights)
        self.commands = {OPEN, READ, CLOSE, INFO, SENSORS, REAL_TIME}
        self.worn, self.calibrates = True, False
        self.charging = self.wrong_checksums = 0
        self.unread_blocks: int | None = None
        self.closes_for_live = False
        self.asked: list[tuple[int, int]] = []
        self._battery = 80
        self._open: bytes | None = None
        self._rng = rng
        self._saturation = Wander(rng, 96.0, 1.0)
        self._pulse = Wander(rng, 58.0, 4.0)

    def answer(self, request: bytes) -> bytes:
        """Return the answer to a whole request; empty if there is none."""
        sync, command, check, block, length = _HEAD.unpack_from(request)
        valid = sync == _REQUEST and command ^ check == 0xFF and request[-1] == crc(request[:-1])
        if not valid or len(request) != _HEAD.size + length + 1:
            return b""
        self.asked.append((command, block))
        if command not in self.commands:
            return b""
        if command == READ and self.unread_blocks is not None:
            if self.unread_blocks <= 0:
                return b""
            self.unread_blocks -= 1
        data = self._execute(command, block, request[_HEAD.size : -1])
        status = _REFUSED if data is None else _DONE
        sent = frame(_ANSWER, status, block, data or b"")
        if self.wrong_checksums > 0:
            self.wrong_checksums -= 1
            return sent[:-1] + bytes([sent[-1] ^ 0xFF])
        return sent

    def _execute(self, command: int, block: int, data: bytes) -> bytes | None:
        """Return the data of the answer; None if the request is refused."""
        if command in (SENSORS, REAL_TIME):
            if self.closes_for_live:
                self._open = None
            return self._sensors() if command == SENSORS else self._real_time()
        if command == INFO:
            return self._information()
        if command == OPEN:
            self._open = self.nights.get(data.rstrip(b"\0").decode())
            return None if self._open is None else struct.pack("<I", len(self._open))
        if command == READ:
            return None if self._open is None else self._open[block * _BLOCK :][:_BLOCK]
        self._open = None
        return b""

    def _information(self) -> bytes:
        fields = {
            "Region": "CE",
            "Model": "1652",
            "SN": "SIM0000001",
            "SoftwareVer": "1.5.0",
            "CurBAT": f"{self._battery}%",
            "CurBatState": str(self.charging),
            "CurOxiThr": "88",
            "CurMode": "0",
            "FileList": "".join(f"{name}," for name in self.nights),
        }
        return json.dumps(fields).encode() + b"\0"

    def _values(self) -> tuple[int, int, int]:
        """Return SpO2, pulse, and ten times the perfusion index."""
        if not self.worn:
            return 0xFF, 0xFFFF, 0
        if self.calibrates:
            return 0, 0, 0
        return (
            min(99, round(self._saturation.step(2.0))),
            round(self._pulse.step(2.0)),
            self._rng.randint(20, 60),
        )

    def _real_time(self) -> bytes:
        saturation, pulse, perfusion = self._values()
        state = (self._battery, self.charging, perfusion, int(self.worn))
        wave = bytes(self._rng.randrange(60, 140) for _ in range(_WAVE))
        return struct.pack("<BH4B3xH", saturation, pulse, *state, len(wave)) + wave

    def _sensors(self) -> bytes:
        saturation, pulse, perfusion = self._values()
        movement = self._rng.randrange(10)
        state = (self._battery, self.charging, movement, perfusion, int(self.worn))
        return struct.pack("<BH4x5Bx", saturation, pulse, *state)


def made_nights(rng: random.Random, until: datetime) -> dict[str, bytes]:
    """Return short nights, the last one of which has just ended."""
    nights: dict[str, bytes] = {}
    for past in range(_NIGHTS, 0, -1):
        lasts = timedelta(seconds=_NIGHT_RECORDS * _NIGHT_STEP_S)
        start = (until - timedelta(days=past - 1) - lasts).replace(microsecond=0)
        values = [
            (rng.randint(88, 99), rng.randint(48, 70), rng.randrange(20))
            for _ in range(_NIGHT_RECORDS)
        ]
        # It is taken off for the last records.
        values[-2:] = [(0xFF, 0xFFFF, 0)] * 2
        nights[f"{start:%Y%m%d%H%M%S}"] = stored_night(start, values)
    return nights


def ring_part(ring: Ring) -> Part:
    """Return the service of a ring: requests are written in pieces, and answers notified."""
    begun = bytearray()
    feed = Feed(begun.clear)

    def written(piece: bytes) -> None:
        if not begun and piece[:1] != bytes([_REQUEST]):
            return
        begun.extend(piece)
        if len(begun) < _HEAD.size:
            return
        length = _HEAD.unpack_from(begun)[-1]
        if len(begun) <= _HEAD.size + length:
            return
        answer = ring.answer(bytes(begun))
        begun.clear()
        for at in range(0, len(answer), _PIECE):
            feed.put(answer[at : at + _PIECE])

    notify = notifying(NOTIFY)
    write = writeable(WRITE, written, acknowledges=False)
    return Part(service(SERVICE, [notify, write]), {notify: feed.payloads}, advertised=True)


def o2ring(rng: random.Random, _period: float) -> tuple[Part, ...]:
    """Return the parts of a ring, which is asked for all that it measures."""
    now = datetime.now()  # noqa: DTZ005 - the device knows no time zone
    return (ring_part(Ring(rng, made_nights(rng, now))),)
