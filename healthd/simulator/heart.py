"""Sources of Heart Rate Measurement (0x2A37) payloads: synthetic or captured."""

import math
import random
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Protocol

# Flags of the payload: Heart Rate Service 1.0, section 3.1.1.1.
_CONTACT_SUPPORTED_AND_DETECTED = 0b00110
_ENERGY_PRESENT = 0b01000
_RR_PRESENT = 0b10000
# RR intervals are counted in 1/1024 s.
_TICKS_PER_S = 1024
# Eight intervals, the rate and the energy fit into the 20 bytes that every link can carry.
_MAX_RR_IN_PACKET = 8
# Older beats that could not be sent are dropped; a real strap has a small memory too.
_MAX_RR_WAITING = 32
# The service asks for energy "typically once every ten measurements".
_PACKETS_PER_ENERGY = 10
# The counter stays at its largest value until it is reset.
_MAX_ENERGY_KJ = 0xFFFF
# Limits of the rate. Including the sinus arrhythmia there are at most three beats per second.
_SLOWEST_BPM, _FASTEST_BPM = 45.0, 150.0
# The reported rate is the mean of some seconds, not the last interval, as in a real strap.
_BEATS_IN_SHOWN_RATE = 8
# Breathing at rest, 15 times a minute, changes the interval by a few per cent.
_BREATHS_PER_S, _ARRHYTHMIA = 0.25, 0.04
# Metabolic power at rest, and the increase per bpm above 60: 150 bpm is then brisk exercise.
_RESTING_KW, _KW_PER_BPM = 0.08, 0.0065


class HeartSource(Protocol):
    """A source of payloads of 0x2A37."""

    def payload(self, elapsed: float) -> bytes:
        """Return the next payload, `elapsed` seconds after the previous one."""
        ...

    def reset_energy(self) -> None:
        """Set the energy counter to zero."""
        ...


class SyntheticHeart:
    """A simulated heart whose rate varies randomly and with breathing.

    The interval of every beat is sent once, in order, so the sum of the intervals follows the
    elapsed time.
    """

    def __init__(self, rng: random.Random, *, mean_bpm: float = 72.0) -> None:
        """Start with the first beat at time zero.

        Args:
            rng: The random generator; the same seed creates the same heart.
            mean_bpm: The mean heart rate.
        """
        self._rng = rng
        self._mean_bpm = mean_bpm
        self._bpm = mean_bpm
        self._now = 0.0
        self._next_beat = 0
        self._interval = 0
        self._waiting: deque[int] = deque(maxlen=_MAX_RR_WAITING)
        self._recent: deque[int] = deque(maxlen=_BEATS_IN_SHOWN_RATE)
        self._packets = 0
        self._energy_kj = 0.0
        self._schedule_beat()

    def payload(self, elapsed: float) -> bytes:
        """See `HeartSource`."""
        self._advance(elapsed)
        self._packets += 1
        flags = _CONTACT_SUPPORTED_AND_DETECTED
        body = bytes([self._shown_bpm()])
        if self._packets % _PACKETS_PER_ENERGY == 0:
            flags |= _ENERGY_PRESENT
            body += struct.pack("<H", min(int(self._energy_kj), _MAX_ENERGY_KJ))
        intervals = [
            self._waiting.popleft() for _ in range(min(len(self._waiting), _MAX_RR_IN_PACKET))
        ]
        if intervals:
            flags |= _RR_PRESENT
            body += struct.pack(f"<{len(intervals)}H", *intervals)
        return bytes([flags]) + body

    def reset_energy(self) -> None:
        """See `HeartSource`."""
        self._energy_kj = 0.0

    def _advance(self, elapsed: float) -> None:
        self._now += elapsed * _TICKS_PER_S
        self._energy_kj += elapsed * (_RESTING_KW + _KW_PER_BPM * max(0.0, self._bpm - 60.0))
        while self._next_beat <= self._now:
            self._waiting.append(self._interval)
            self._recent.append(self._interval)
            self._schedule_beat()

    def _schedule_beat(self) -> None:
        # A random walk that returns to the mean, like the rate of a resting heart.
        self._bpm += 0.02 * (self._mean_bpm - self._bpm) + self._rng.gauss(0.0, 0.6)
        self._bpm = min(max(self._bpm, _SLOWEST_BPM), _FASTEST_BPM)
        phase = 2 * math.pi * _BREATHS_PER_S * self._next_beat / _TICKS_PER_S
        breath = 1.0 + _ARRHYTHMIA * math.sin(phase)
        self._interval = round(_TICKS_PER_S * 60.0 / self._bpm * breath)
        self._next_beat += self._interval

    def _shown_bpm(self) -> int:
        if not self._recent:
            return round(self._bpm)
        return round(60.0 * _TICKS_PER_S * len(self._recent) / sum(self._recent))


@dataclass(frozen=True, slots=True)
class Capture:
    """A payload captured from a real device."""

    device: str
    payload: bytes


CAPTURES = tuple(
    Capture(device, bytes.fromhex(payload))
    for device, payload in (
        ("Polar H10", "104372038a03"),
        ("Polar H10", "10449203"),
        ("Polar H10", "103c8c04"),
        ("Polar H10", "0040"),
        ("Polar H7", "105100031203"),
        ("Polar H7", "10513203"),
        ("a strap that cuts off the last RR byte", "103dcf03ef"),
    )
)


class ReplayedHeart:
    """A source that repeats captured payloads in a loop."""

    def __init__(self, captures: Sequence[Capture] = CAPTURES) -> None:
        """Start with the first capture."""
        self._captures = cycle(captures)

    def payload(self, elapsed: float) -> bytes:
        """See `HeartSource`; the elapsed time is ignored."""
        return next(self._captures).payload

    def reset_energy(self) -> None:
        """Do nothing: captured payloads do not change."""
