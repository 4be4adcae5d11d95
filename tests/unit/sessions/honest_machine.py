"""A small, honest model of a fitness machine's control point; it judges every byte that it gets.

Written from the Fitness Machine Service, and shares nothing with the code under test: neither its
encoders nor its decoders.
"""

import asyncio
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from healthd.central.faults import SOON, LinkFault, LinkLost
from healthd.central.link import Advertisement, Link

CONTROL, RESET, SPEED, INCLINE, LEVEL, POWER, START, STOP, ROAD = 0, 1, 2, 3, 4, 5, 7, 8, 0x11
TARGETS = {SPEED: "<H", INCLINE: "<h", LEVEL: "<h", POWER: "<h", ROAD: "<hhBB"}
NARROW = 2  # A resistance in one byte, with its opcode.
SIZES = {CONTROL: 1, RESET: 1, SPEED: 3, INCLINE: 3, LEVEL: 3, POWER: 3, START: 1, STOP: 2, ROAD: 7}

# An ordinary road, a rider with a bicycle, and the speeds of docs/control.md.
KG, G, CRR, CW = 85.0, 9.80665, 0.004, 0.51
CLIMB_MPS, FASTEST_MPS = 4.0, 12.5

# At which a belt starts without a target.
_OWN_SPEED_MPS = 1.5

Span = tuple[float, float]


@dataclass(frozen=True)
class Body:
    """What a machine is, and says about itself.

    Attributes:
        belt: whether it is a treadmill.
        spans: its ranges in steps as sent: lowest, highest, increment; by opcode.
        factor: real speed for each unit of speed that it sends.
    """

    belt: bool
    spans: dict[int, tuple[int, int, int]] = field(default_factory=dict[int, tuple[int, int, int]])
    factor: float = 1.0

    @property
    def facts(self) -> dict[str, bytes]:
        bits = 0b11 if self.belt else 1 << 2 | 1 << 3 | 1 << 13
        layouts = {SPEED: "<HHH", INCLINE: "<hhH", LEVEL: "<hhH", POWER: "<hhH"}
        uuids = {SPEED: "2ad4", INCLINE: "2ad5", LEVEL: "2ad6", POWER: "2ad8"}
        ranges = {uuids[op]: struct.pack(layouts[op], *span) for op, span in self.spans.items()}
        return {"2acc": struct.pack("<II", 0, bits), **ranges}


@dataclass
class Allowed:
    """The limits of the settings, by key; None if not set."""

    power_w: Span | None = None
    resistance_level: Span | None = None
    speed_mps: Span | None = None
    inclination_pct: Span | None = None
    grade_pct: Span = (-15.0, 15.0)


def too_much(body: Body, allowed: Allowed, request: bytes) -> str:
    """Say what is wrong with the effect of a request; empty if nothing is."""
    opcode = request[0]
    if opcode == ROAD:
        return "a belt" if body.belt else _road(allowed, request)
    if opcode not in TARGETS:
        return ""
    (raw,) = struct.unpack("<B" if len(request) == NARROW else TARGETS[opcode], request[1:])
    key, unit = {
        SPEED: ("speed_mps", body.factor / 360),
        INCLINE: ("inclination_pct", 0.1),
        LEVEL: ("resistance_level", 0.1),
        POWER: ("power_w", 1.0),
    }[opcode]
    span: Span | None = getattr(allowed, key)
    if opcode in (SPEED, INCLINE) and span is None:
        return f"{key} without limits"
    if body.belt and opcode == POWER:
        return "a belt"
    if opcode == LEVEL and span is None and allowed.power_w is not None:
        return "a resistance, and the power is limited"
    least, most, step = body.spans.get(opcode, (0, 0, 0))
    reported = least < most
    if span is None and not reported:
        return f"{key} without any range"
    if reported and not least <= raw <= most:
        return f"{key} beyond the machine"
    # The machine may round to its own step, up or down.
    step = step if reported and 1 <= step <= most - least else 1
    origin = least if reported else 0
    up = origin + math.ceil((raw - origin) / step) * step
    down = origin + math.floor((raw - origin) / step) * step
    high, low = (min(up, most), max(down, least)) if reported else (up, down)
    if span is not None and not (span[0] - 1e-9 <= low * unit and high * unit <= span[1] + 1e-9):
        return f"{key} {low * unit} to {high * unit}, allowed {span}"
    return ""


def _road(allowed: Allowed, request: bytes) -> str:
    wind, grade, crr, cw = struct.unpack(TARGETS[ROAD], request[1:])
    wind, grade, crr, cw = wind / 1000, grade / 100, crr / 10000, cw / 100
    if request == struct.pack("<BhhBB", ROAD, 0, 0, 40, 51):
        return ""  # The flat road of a release.

    def drag(speed: float) -> float:
        return 0.5 * cw * (speed + wind) * abs(speed + wind)

    for tenths in range(int(FASTEST_MPS * 10) + 1):
        speed = tenths / 10
        extra = KG * G * (crr - CRR) + drag(speed) - 0.5 * CW * speed**2
        like = grade + 100 * extra / (KG * G)
        if not allowed.grade_pct[0] - 1e-5 <= like <= allowed.grade_pct[1] + 1e-5:
            return f"like a grade of {like} %, allowed {allowed.grade_pct}"
    slope = grade / 100
    force = KG * G * (slope + crr) / math.hypot(1, slope) + drag(CLIMB_MPS)
    if allowed.power_w is not None and force * CLIMB_MPS > allowed.power_w[1] + 1e-5:
        return f"takes {force * CLIMB_MPS} W, allowed {allowed.power_w}"
    return ""


class HonestMachine:
    """The machine itself; it outlives links.

    Attributes:
        mood: result by opcode, instead of success; None: it does not answer.
        delay_s: how long it takes to answer.
        permitted: whether the client has control.
        speed_mps: of the belt; it starts with its target, or at a speed of its own.
        judge: called with each request that is written, before it is obeyed or refused as busy.
        on_answer: called with each request and its result when that is answered.
        drop_after: the number of writes after which the link ends; None: never.
    """

    def __init__(self, body: Body) -> None:
        self.body = body
        self.mood: dict[int, int | None] = {}
        self.delay_s = 0.05
        self.permitted = self.running = False
        self.targets: dict[int, bytes] = {}
        self.busy_until = 0.0
        self.judge: Callable[[bytes], None] = lambda _: None
        self.on_answer: Callable[[bytes, int], None] = lambda _request, _result: None
        self.drop_after: int | None = None

    @property
    def speed_mps(self) -> float:
        if not (self.running and self.body.belt):
            return 0.0
        if SPEED not in self.targets:
            return _OWN_SPEED_MPS
        return struct.unpack("<H", self.targets[SPEED][1:])[0] / 360 * self.body.factor

    def obey(self, request: bytes) -> int | None:
        """Obey a request; return the result that is answered, None for no answer."""
        opcode = request[0]
        assert len(request) in {SIZES[opcode], NARROW if opcode == LEVEL else SIZES[opcode]}
        if opcode in self.mood:
            return self.mood[opcode]
        if opcode == CONTROL:
            self.permitted = True
            return 1
        if not self.permitted:
            return 5
        if opcode == RESET:
            self.permitted = self.running = False
            self.targets.clear()
        elif opcode in (START, STOP):
            self.running = opcode == START
        else:
            self.targets[opcode] = request
        return 1


class FakeLink(Link):
    """A link to the machine, without a radio."""

    def __init__(self, machine: HonestMachine, on_end: Callable[[LinkFault], None]) -> None:
        device = None
        found = Advertisement("C0:00:00:00:00:01", "Machine", frozenset(), -50, device)  # pyright: ignore[reportArgumentType]
        self.found = found
        self.machine = machine
        self.up = True
        self._on_end = on_end
        self._indicate: Callable[[bytes], None] = lambda _: None

    @property
    def characteristics(self) -> frozenset[str]:
        return frozenset({"2ad9", "2ada", "2acd" if self.machine.body.belt else "2ad2"})

    def can_write(self, uuid: str, *, response: bool = True) -> bool:
        return uuid == "2ad9"

    async def subscribe(self, uuid: str, on_value: Callable[[bytes], None]) -> None:
        await self._pass()
        self._indicate = on_value

    async def write(self, uuid: str, value: bytes, *, response: bool = True) -> None:
        loop, machine = asyncio.get_running_loop(), self.machine
        if not self.up:
            raise LinkLost
        machine.judge(value)
        if loop.time() < machine.busy_until:
            raise LinkFault("gatt_error", "a procedure is in progress (0xFE)", SOON)
        if machine.drop_after is not None:
            machine.drop_after -= 1
            if machine.drop_after < 0:
                machine.drop_after = None
                self.drop(LinkLost())
                raise LinkLost
        result = machine.obey(value)
        machine.busy_until = loop.time() + machine.delay_s
        if result is not None:
            loop.call_later(machine.delay_s, self._answer, value, result)
        await self._pass()

    def drop(self, fault: LinkFault) -> None:
        if self.up:
            self.up = False
            # Control ends with the link, and the machine is on its own.
            self.machine.permitted = False
            self.machine.busy_until = 0.0
            self._on_end(fault)

    def give_up(self, fault: LinkFault) -> None:
        self._on_end(fault)

    def _answer(self, request: bytes, result: int) -> None:
        if self.up:
            self.machine.on_answer(request, result)
            self._indicate(bytes([0x80, request[0], result]))

    async def _pass(self) -> None:
        await asyncio.sleep(0.01)
        if not self.up:
            raise LinkLost
