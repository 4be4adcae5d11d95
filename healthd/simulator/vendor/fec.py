"""A bike trainer of Tacx without FTMS: FE-C over Bluetooth, pages of ANT+ in frames."""

import random
import struct
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import reduce

from healthd.simulator.attributes import notifying, service, writeable
from healthd.simulator.feed import Feed, Ticker
from healthd.simulator.fitness.bike import Bike
from healthd.simulator.part import Part

SERVICE = "6e40fec1-b5a3-f393-e0a9-e50e24dcca9e"
DATA = "6e40fec2-b5a3-f393-e0a9-e50e24dcca9e"
CONTROL = "6e40fec3-b5a3-f393-e0a9-e50e24dcca9e"

_HEADER_BROADCAST, _HEADER_ACKNOWLEDGED = bytes.fromhex("a4094e05"), bytes.fromhex("a4094f05")
_TRAINER = 25
_READY, _IN_USE = 2, 3
_TACX, _NEO, _SERIAL = 89, 2875, 190_512
_MAX_RESISTANCE_N = 200
_RESISTANCE, _POWER, _WIND, _TRACK = 0x30, 0x31, 0x32, 0x33
_REQUEST, _STATUS, _CAPABILITIES = 0x46, 0x47, 0x36
_PASS, _REJECTED = 0, 3
_NOT_SUPPORTED = 2
# Page 54: basic resistance, target power, simulation.
_BASIC, _ERG, _SIMULATION = 1, 2, 4
_MODES = {_RESISTANCE: _BASIC, _POWER: _ERG, _WIND: _SIMULATION, _TRACK: _SIMULATION}
# The rotation: pages 16 and 25 in turns, and one of the others after each 64 pages.
_PAGES_TO_OTHER = 64
_MAX_POWER_W = 1500


def framed(page: bytes, header: bytes = _HEADER_BROADCAST) -> bytes:
    """Return the frame of a page."""
    message = header + page
    return message + bytes([reduce(lambda one, other: one ^ other, message)])


class FecTrainer:
    """A trainer and its rider.

    Attributes:
        bike: The brake and the rider.
        modes: Bits of page 54: what it can do.
        answers: Whether it sends page 71 when it is asked for.
        echoes: Whether page 71 repeats the data of the command.
        spoils: How many of the next frames get a wrong checksum.
        statuses: Results to give, by page of a command, instead of obeying.
        record: Called with every frame that is written.
        grade_pct: The grade of the simulated road.
    """

    def __init__(self, rng: random.Random, modes: int = _BASIC | _ERG | _SIMULATION) -> None:
        """Start as a free ride.

        Args:
            rng: The random generator.
            modes: Bits of page 54: what it can do.
        """
        self.bike = Bike(rng)
        self.modes = modes
        self.answers = self.echoes = True
        self.spoils = 0
        self.statuses: dict[int, int] = {}
        self.record: Callable[[bytes], None] = lambda _: None
        self.feed = Feed()
        self._last = bytes([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])
        self._sequence = 0
        self._events = self._accumulated = 0
        self._sent = 0

    @property
    def target_w(self) -> float | None:
        """The power that the brake holds; None if it simulates the road."""
        return self.bike.target_w

    def pages(self, elapsed: float) -> Iterator[bytes]:
        """Generate the next frame.

        Args:
            elapsed: Seconds since the frame before.
        """
        # Advances the ride; the packet itself is FTMS.
        for _packet in self.bike.packets(elapsed):
            pass
        self._sent += 1
        if self._sent % _PAGES_TO_OTHER == 0:
            others = (self._manufacturer(), self._product(), self._capabilities(), self._settings())
            yield self._framed(others[self._sent // _PAGES_TO_OTHER % len(others)])
        elif self._sent % 2:
            yield self._framed(self._general())
        else:
            yield self._framed(self._specific())

    def _framed(self, page: bytes) -> bytes:
        frame = framed(page)
        if self.spoils:
            self.spoils -= 1
            return frame[:-1] + bytes([frame[-1] ^ 0xFF])
        return frame

    @property
    def _state(self) -> int:
        return (_IN_USE if self.bike.workout.running else _READY) << 4

    def _general(self) -> bytes:
        workout = self.bike.workout
        speed = self.bike.road.speed_mps(workout.power_w) if workout.running else 0.0
        return struct.pack(
            "<BBBBHBB",
            0x10,
            _TRAINER,
            int(workout.elapsed_s * 4) % 256,
            int(workout.distance_m) % 256,
            round(speed * 1000),
            # It has no receiver for a strap.
            0xFF,
            self._state | 0x04,
        )

    def _specific(self) -> bytes:
        power = round(self.bike.workout.power_w)
        self._events = (self._events + 1) % 256
        self._accumulated = (self._accumulated + power) % 65_536
        cadence = round(self.bike.cadence_rpm) if self.bike.workout.running else 0
        return struct.pack(
            "<BBBHHB", 0x19, self._events, cadence, self._accumulated, power, self._state
        )

    def _settings(self) -> bytes:
        grade = round(self.bike.road.grade_pct * 100)
        return struct.pack("<BBBBhBB", 0x11, 0xFF, 0xFF, 210, grade, 0xFF, self._state)

    def _capabilities(self) -> bytes:
        return struct.pack("<BHHHB", _CAPABILITIES, 0xFFFF, 0xFFFF, _MAX_RESISTANCE_N, self.modes)

    def _manufacturer(self) -> bytes:
        return struct.pack("<BBBBHH", 0x50, 0xFF, 0xFF, 1, _TACX, _NEO)

    def _product(self) -> bytes:
        return struct.pack("<BBBBI", 0x51, 0xFF, 0xFF, 15, _SERIAL)

    def write(self, frame: bytes) -> None:
        """Obey a frame; like a real trainer it does not check the sum."""
        self.record(frame)
        if len(frame) != len(framed(bytes(8))) or frame[:4] not in (
            _HEADER_ACKNOWLEDGED,
            _HEADER_BROADCAST,
        ):
            return
        page = frame[4:12]
        if page[0] == _REQUEST:
            self._send_requested(page[6])
        elif page[0] in _MODES:
            status = self._obey(page)
            self._sequence = (self._sequence + 1) % 255
            data = page[4:] if self.echoes else bytes([0xFF, 0xFF, 0xFF, 0xFF])
            self._last = bytes([page[0], self._sequence, status]) + data

    def _send_requested(self, number: int) -> None:
        if number == _CAPABILITIES:
            self.feed.put(self._framed(self._capabilities()))
        elif number == _STATUS and self.answers:
            self.feed.put(self._framed(bytes([_STATUS]) + self._last))

    def _obey(self, page: bytes) -> int:
        number = page[0]
        if number in self.statuses:
            return self.statuses[number]
        if not self.modes & _MODES[number]:
            return _NOT_SUPPORTED
        if number == _POWER:
            watts = struct.unpack_from("<H", page, 6)[0] / 4
            if watts > _MAX_POWER_W:
                return _REJECTED
            self.bike.target_w = watts
        elif number == _RESISTANCE:
            self.bike.target_w = 60.0 + 2.0 * page[7]
        elif number == _WIND:
            self.bike.road.drag_kg_per_m = page[5] / 100
            self.bike.road.wind_mps = (page[6] - 127) / 3.6
            self.bike.target_w = None
        else:
            self.bike.road.grade_pct = struct.unpack_from("<H", page, 5)[0] / 100 - 200
            self.bike.road.rolling = page[7] * 5e-5
            self.bike.target_w = None
        return _PASS

    def payloads(self, period: float) -> Callable[[], AsyncGenerator[bytes, None]]:
        """Return the source of its frames: one every ``period`` seconds, and those asked for."""

        async def rotation() -> AsyncGenerator[bytes, None]:
            ticker = Ticker(period)
            while True:
                for frame in self.pages(await ticker.tick()):
                    yield frame

        return self.feed.merged_with(rotation)


def trainer_part(trainer: FecTrainer, period: float) -> Part:
    """Return the service of this trainer, with one frame every ``period`` seconds."""
    data = notifying(DATA)
    control = writeable(CONTROL, trainer.write)
    return Part(
        service(SERVICE, [data, control]), {data: trainer.payloads(period)}, advertised=True
    )


def fec(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a trainer that speaks FE-C, with one frame every ``period`` seconds."""
    return (trainer_part(FecTrainer(rng), period),)
