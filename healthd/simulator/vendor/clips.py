"""Oximeters that are clipped to a finger, each with the protocol of its maker."""

import random
import struct
from collections.abc import Iterable

from healthd.simulator.attributes import notifying, service, writeable
from healthd.simulator.feed import paced
from healthd.simulator.part import Part
from healthd.simulator.wander import Wander

_START = bytes.fromhex("9b011c")
_ATTACHED, _PASSED = 1 << 4, 1 << 2
# How many values a Contec sends after each request; real ones send for less than a minute.
_PER_REQUEST = 20


class Finger:
    """A finger in a clip."""

    def __init__(self, rng: random.Random) -> None:
        """Start with usual values.

        Args:
            rng: The random generator.
        """
        self._saturation = Wander(rng, 97.0, 0.7)
        self._pulse = Wander(rng, 66.0, 3.0)
        self._amplitude = Wander(rng, 5.0, 0.8)
        self._count = 0

    def step(self, elapsed: float) -> tuple[int, int, float]:
        """Return the next SpO2 (%), pulse rate (1/min) and perfusion index (%)."""
        saturation = min(100, round(self._saturation.step(elapsed)))
        return saturation, round(self._pulse.step(elapsed)), self._amplitude.step(elapsed)

    def jumper(self, elapsed: float) -> Iterable[bytes]:
        """Generate a piece of the pulse wave, and a result."""
        saturation, pulse, amplitude = self.step(elapsed)
        yield bytes([0x80, *range(50, 60)])
        yield bytes([0x81, pulse, saturation, round(amplitude * 10)])

    def nonin(self, elapsed: float) -> Iterable[bytes]:
        """Generate a measurement."""
        saturation, pulse, amplitude = self.step(elapsed)
        self._count = (self._count + 1) % 0x10000
        index = round(amplitude * 100)
        head = struct.pack(">BBBHH", 10, _ATTACHED | _PASSED, 33, index, self._count)
        yield head + struct.pack(">BH", saturation, pulse)

    def contec(self, elapsed: float) -> Iterable[bytes]:
        """Generate a piece of the pulse wave, and a result."""
        saturation, pulse, _ = self.step(elapsed)
        yield _summed(0xEB, 0x00, 0x03, 0x48, 0x09)
        yield _summed(0xEB, 0x01, 0x06, pulse, saturation, 0x7F, 0x00)


def _summed(*body: int) -> bytes:
    return bytes([*body, sum(body) & 0x7F])


def jumper(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a Jumper JPD-500F: a result per ``period`` seconds."""
    values = notifying("CDEACB81-5235-4C07-8846-93A37EE6B86D")
    made = service("CDEACB80-5235-4C07-8846-93A37EE6B86D", [values])
    return (Part(made, {values: paced(Finger(rng).jumper, period)}, advertised=True),)


def nonin(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a Nonin 3230: a measurement per ``period`` seconds."""
    values = notifying("0AAD7EA0-0D60-11E2-8E3C-0002A5D5C51B")
    made = service("46A970E0-0D5F-11E2-8B5E-0002A5D5C51B", [values])
    return (Part(made, {values: paced(Finger(rng).nonin, period)}, advertised=True),)


def contec(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a Contec CMS50D-BT: results for a while after each request."""
    finger = Finger(rng)
    left = 0

    def written(request: bytes) -> None:
        nonlocal left
        if request == _START:
            left = _PER_REQUEST

    def results(elapsed: float) -> Iterable[bytes]:
        nonlocal left
        if left > 0:
            left -= 1
            yield from finger.contec(elapsed)

    values = notifying(0xFF02)
    made = service(0xFF12, [writeable(0xFF01, written, acknowledges=False), values])
    return (Part(made, {values: paced(results, period)}, advertised=True),)
