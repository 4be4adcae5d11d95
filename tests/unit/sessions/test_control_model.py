"""Controllers, machine, clock, link and broker in any order: what reaches the machine is allowed.

The code under test is the product's `Remote`, `Trainer` and `ControlPoints`; the machine, the link
and the clock are models, and the machine judges what it gets.
"""

import asyncio
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from healthd.central.faults import LinkFault, LinkLost
from healthd.profiles import registry
from healthd.profiles.fitness_machine.limits import Limits
from healthd.profiles.fitness_machine.machine import Range
from healthd.sessions.control_point import ControlPoints
from healthd.sessions.hold import Rules
from healthd.sessions.remote import Remote
from healthd.verbs import (
    OfPeripheral,
    Release,
    RequestRefused,
    SetSimulation,
    SetTargetInclination,
    SetTargetPower,
    SetTargetResistance,
    SetTargetSpeed,
    Start,
    Stop,
)
from tests.support.effort import effort
from tests.support.virtual_time import VirtualTime
from tests.unit.sessions.honest_machine import (
    CONTROL,
    INCLINE,
    LEVEL,
    POWER,
    RESET,
    ROAD,
    SPEED,
    START,
    STOP,
    Allowed,
    Body,
    FakeLink,
    HonestMachine,
    too_much,
)

REGISTRY = registry.load()
LEASE_S = 4.0
# The promises of docs/control.md.
OLDEST_S, GRACE_S, STOP_S = 5.0, 1.0, 2.5
# A stall that must be noticed, whatever the age of a request.
STALL_S = 3.0
VERBS = {
    SPEED: SetTargetSpeed,
    INCLINE: SetTargetInclination,
    LEVEL: SetTargetResistance,
    POWER: SetTargetPower,
    ROAD: SetSimulation,
    START: Start,
}

BODIES = [
    Body(belt=False, spans={LEVEL: (0, 1000, 1), POWER: (0, 1000, 5)}),
    Body(belt=False, spans={LEVEL: (1, 0, 0), POWER: (0, 300, 4000)}),
    Body(belt=False),
    Body(belt=True, spans={SPEED: (80, 2000, 10), INCLINE: (-30, 150, 5)}),
    Body(belt=True, spans={SPEED: (50, 1200, 10)}, factor=1.609344),
    Body(belt=True, factor=0.5),
]
SPANS = {
    "power_w": [None, (0.0, 248.0), (50.0, 400.0)],
    "resistance_level": [None, (0.0, 20.05)],
    "speed_mps": [None, (0.0, 2.7777), (0.3, 1.0)],
    "inclination_pct": [None, (-1.0, 4.27)],
    "grade_pct": [(-15.0, 15.0), (-3.333, 3.333)],
}
allowed = st.builds(Allowed, **{key: st.sampled_from(spans) for key, spans in SPANS.items()})


def near(spans: list[Any]) -> st.SearchStrategy[float]:
    """Values around all limits, and some within."""
    ends = [1.0, *(end for span in spans if span for end in span)]
    offsets = (0.0, 0.0, -0.0001, 0.0001, -0.5, 0.5, 3.0, 300.0)
    return st.sampled_from([round(end + offset, 4) for end in ends for offset in offsets])


M = {"peripheral": st.just("machine")}
powers = near(SPANS["power_w"]).map(int)
roads = st.builds(
    SetSimulation,
    # Never the flat road of a release, which is written with the same bytes.
    grade_pct=st.sampled_from([0.01, 3.333, -3.333, 15.0, 3.0]),
    wind_speed_mps=st.sampled_from([0.0, 5.0, -8.0, 32.767, -32.767]),
    crr=st.sampled_from([0.004, 0.0, 0.0255]),
    cw_kg_per_m=st.sampled_from([0.51, 0.0, 2.55]),
    **M,
)
moves: st.SearchStrategy[OfPeripheral] = st.one_of(
    st.builds(SetTargetPower, power_w=powers, **M),
    st.builds(SetTargetResistance, resistance_level=near(SPANS["resistance_level"]), **M),
    st.builds(SetTargetSpeed, speed_mps=near(SPANS["speed_mps"]), **M),
    st.builds(SetTargetInclination, inclination_pct=near(SPANS["inclination_pct"]), **M),
    roads,
    st.builds(Start, **M),
)
# What a bike and a belt obey whatever the limits are, if they allow it at all.
usual = st.tuples(
    st.builds(SetTargetPower, power_w=st.integers(60, 240), **M)
    | st.builds(SetSimulation, grade_pct=st.sampled_from([0.5, -1.0]), **M)
    | st.builds(Start, **M),
    st.builds(SetTargetSpeed, speed_mps=st.sampled_from([0.5, 0.8]), **M)
    | st.builds(SetTargetInclination, inclination_pct=st.sampled_from([1.0, 0.5]), **M)
    | st.builds(Start, **M),
)
ends: st.SearchStrategy[OfPeripheral] = st.builds(Stop, **M) | st.builds(Release, **M)
# How old a request is when it comes in: most are new.
ages = st.sampled_from([0.0, 0.0, 0.0, 1.0, 4.9, 6.0])


@dataclass
class Asked:
    """A request on its way: when it was made, and when it came in.

    Attributes:
        order: its place in the order in which requests came in.
        since: of a stop, when the first of those came that were carried out at that moment.
    """

    request: OfPeripheral
    made: float
    came: float
    order: int
    since: float
    task: "asyncio.Task[Mapping[str, Any]]"


class Oracle:
    """Judges what the machine gets."""

    def __init__(self, time: VirtualTime, machine: HonestMachine) -> None:
        self.time = time
        self.machine = machine
        self.allowed = Allowed()
        self.asked: list[Asked] = []
        self.held = self.released = False
        self.until = self.linked_at = self.woke_at = self.woke_from_long = 0.0
        self.stop_written = self.moved = -100.0
        self.stop_order = -1
        self.starting: float | None = None
        self.slowed = False
        self.wrong: list[str] = []
        self.written: list[str] = []
        machine.judge, machine.on_answer = self.judge, self.answered

    def judge(self, request: bytes) -> None:
        now, opcode = self.time.now, request[0]
        what = f"{request.hex()} at {now:.3f}"
        self.written.append(what)
        if wrong := too_much(self.machine.body, self.allowed, request):
            self.wrong.append(f"{what}: {wrong}")
        if opcode == STOP:
            self.stop_written = now
        if opcode == RESET and self.held:
            self.held = False
            if now > self.latest_release + 1e-6:
                self.wrong.append(f"{what}: released too late, {self.latest_release:.3f}")
        if opcode in VERBS and request != b"\x11\x00\x00\x00\x00\x28\x33":
            self.judge_move(request, what)
        if opcode == CONTROL and self.held and now > self.until + 1e-6:
            self.wrong.append(f"{what}: before the release of an expired lease")

    def judge_move(self, request: bytes, what: str) -> None:
        now, opcode = self.time.now, request[0]
        if opcode == SPEED and self.starting is not None:
            self.slowed = True
            return  # The low speed of a belt that starts.
        self.moved = now
        if self.held and now > self.until + 1e-6:
            self.wrong.append(f"{what}: after the end of the lease")
        fitting = [one for one in self.asked if isinstance(one.request, VERBS[opcode])]
        newest = max(fitting, key=lambda one: one.made, default=None)
        if newest is None:
            self.wrong.append(f"{what}: no one asked for it")
        elif now - newest.made > OLDEST_S + 1e-6:
            self.wrong.append(f"{what}: {now - newest.made} s old")
        elif max(one.came for one in fitting) < max(self.linked_at, self.woke_from_long):
            self.wrong.append(f"{what}: asked on an earlier link, or before a stall")
        elif max(one.order for one in fitting) < self.stop_order:
            self.wrong.append(f"{what}: asked before a stop")
        elif any(self.is_waiting(one) for one in self.asked):
            self.wrong.append(f"{what}: while a stop waits")

    def is_waiting(self, asked: Asked) -> bool:
        """Return whether this is a stop that has come in on this link and is not written yet."""
        came = isinstance(asked.request, Stop) and asked.order <= self.stop_order
        waits = came and asked.came >= self.linked_at and not asked.task.done()
        return waits and self.stop_written < asked.since

    @property
    def latest_release(self) -> float:
        return max(self.until, self.woke_at) + GRACE_S

    def answered(self, request: bytes, result: int) -> None:
        opcode, now = request[0], self.time.now
        if result == 5:
            self.held = False
        if opcode == START:
            self.starting = now if result == 1 and self.machine.body.belt else None
            self.slowed = False
        if result != 1 or not self.machine.permitted:
            return
        if opcode == CONTROL:
            self.held = True
        is_release = opcode == STOP or request == b"\x11\x00\x00\x00\x00\x28\x33"
        if self.held and not is_release:
            self.until = now + LEASE_S
        if opcode == SPEED:
            self.starting = None

    def check(self) -> None:
        """Judge what has not happened by now."""
        now = self.time.now
        if self.held and now > self.latest_release + 1e-6:
            self.wrong.append(f"at {now:.3f}: not released, {self.latest_release:.3f}")
        for one in self.asked:
            waited = now - max(one.came, self.woke_at)
            waits = isinstance(one.request, Stop) and one.came >= self.linked_at
            is_late = waits and not one.task.done() and waited > STOP_S + 1e-6
            if is_late and self.stop_written < max(one.since, self.moved):
                self.wrong.append(f"at {now:.3f}: a stop of {one.came:.3f} was not written")
        if self.starting is not None and not self.held:
            self.starting = None
        late = self.starting is not None and now > max(self.starting, self.woke_at) + 0.5
        if late and not self.slowed:
            self.wrong.append(f"at {now:.3f}: a belt starts, and is not set to a low speed")
        assert not self.wrong, (self.wrong, self.written[-20:])


class Control(RuleBasedStateMachine):
    """One peripheral of a gateway, and everything around it."""

    def __init__(self) -> None:
        super().__init__()
        self.time = VirtualTime()
        self.link: FakeLink | None = None
        self.serving: asyncio.Task[None] | None = None
        self.events: list[str] = []

    @initialize(body=st.sampled_from(BODIES), limits=allowed)
    def begin(self, body: Body, limits: Allowed) -> None:
        self.machine = HonestMachine(body)
        self.oracle = Oracle(self.time, self.machine)
        self.make(limits)
        self.connect()

    def make(self, limits: Allowed) -> None:
        """Make the gateway's part, with these settings."""
        self.oracle.allowed = limits
        spans = {key: span and Range(*span) for key, span in vars(limits).items()}
        rules = Rules(Limits(**spans), LEASE_S, self.machine.body.factor)
        self.remote = Remote("machine", rules, lambda event: self.events.append(event.change))

    def pass_s(self, seconds: float) -> None:
        self.time.run(asyncio.sleep(seconds))

    def connect(self) -> None:
        assert self.link is None
        self.oracle.linked_at = self.time.now
        self.link = link = FakeLink(self.machine, self.ended)

        async def explain(_: object, fault: LinkFault) -> LinkFault:
            return fault

        async def serve() -> None:
            points = ControlPoints(link, REGISTRY, lambda _characteristic, _value: None)
            with suppress(asyncio.CancelledError):
                await self.remote.serve(points, self.machine.body.facts, explain)
            link.drop(LinkLost())
            self.link = self.serving = None
            self.oracle.held = False
            self.oracle.starting = None

        async def start() -> None:
            self.serving = asyncio.create_task(serve())
            await asyncio.sleep(0)

        self.time.run(start())

    def ended(self, _: LinkFault) -> None:
        """The session ends the use of a link that is lost or given up."""
        if self.link is not None and not self.link.up:
            self.oracle.held = False
        if self.serving is not None and not self.serving.cancelling():
            self.serving.cancel()

    @contextmanager
    def asking(self, *requests: tuple[OfPeripheral, float]) -> Generator[None]:
        """Let requests come in, and what happens in the block come right after them."""

        async def ask() -> None:
            now = self.time.now
            for request, age in requests:
                request.note_age(age)
                self.come_in(request, now - age)
            await asyncio.sleep(0)

        self.time.run(ask())
        yield

    def come_in(self, request: OfPeripheral, made: float) -> None:
        now, asked = self.time.now, self.oracle.asked
        stops = [one for one in asked if isinstance(one.request, Stop) and not one.task.done()]
        since = min([now, *(one.since for one in stops)])
        order = len(asked)

        async def ask() -> Mapping[str, Any]:
            # A stop counts from the moment when it comes in, not when its task is made.
            if isinstance(request, Stop) and self.link is not None:
                self.oracle.stop_order = order
            return await self.remote.ask(request)

        asked.append(Asked(request, made, now, order, since, asyncio.create_task(ask())))

    @precondition(lambda self: self.link is None)
    @rule()
    def the_link_is_back(self) -> None:
        self.connect()

    @precondition(lambda self: self.link is not None)
    @rule()
    def the_link_is_lost(self) -> None:
        assert self.link is not None
        link = self.link

        async def drop() -> None:
            link.drop(LinkLost())
            await asyncio.sleep(0.1)

        self.time.run(drop())

    @rule(writes=st.integers(0, 4))
    def the_link_will_be_lost(self, writes: int) -> None:
        self.machine.drop_after = writes

    @rule(request=moves, age=ages, wait_s=st.sampled_from([0.0, 0.02, 0.5]))
    def a_request_comes(self, request: OfPeripheral, age: float, wait_s: float) -> None:
        with self.asking((request, age)):
            self.pass_s(wait_s)

    @rule(requests=usual, age=ages, wait_s=st.sampled_from([0.0, 0.02, 0.5]))
    def a_usual_request_comes(
        self, requests: tuple[OfPeripheral, OfPeripheral], age: float, wait_s: float
    ) -> None:
        with self.asking((requests[self.machine.body.belt], age)):
            self.pass_s(wait_s)

    @precondition(lambda self: self.oracle.held)
    @rule(requests=usual, end=st.none() | ends, wait_s=st.sampled_from([0.0, 1.0, 3.0]))
    def the_machine_falls_silent(
        self,
        requests: tuple[OfPeripheral, OfPeripheral],
        end: OfPeripheral | None,
        wait_s: float,
    ) -> None:
        self.machine.mood = dict.fromkeys((START, POWER, SPEED, INCLINE, ROAD))
        with self.asking((requests[self.machine.body.belt], 0.0)):
            self.pass_s(wait_s)
        if end is not None:
            with self.asking((end, 0.0)):
                pass

    @rule(burst=st.lists(st.tuples(moves | ends, ages), min_size=2, max_size=8))
    def requests_come(self, burst: list[tuple[OfPeripheral, float]]) -> None:
        with self.asking(*burst):
            pass

    @rule(request=ends)
    def a_controller_wants_an_end(self, request: OfPeripheral) -> None:
        with self.asking((request, 0.0)):
            pass

    @precondition(lambda self: self.link is not None and self.oracle.asked)
    @rule(data=st.data())
    def the_broker_repeats_a_request(self, data: st.DataObject) -> None:
        asked = data.draw(st.sampled_from(self.oracle.asked[-5:]))
        with self.asking((asked.request, self.time.now - asked.made)):
            pass

    @rule(seconds=st.sampled_from([0.05, 0.4, 1.0, 2.0, 4.0, 6.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.pass_s(seconds)

    @precondition(lambda self: self.oracle.held and self.oracle.until > self.time.now)
    @rule(requests=usual, off=st.sampled_from([-0.06, -0.01, 0.0, 0.01]))
    def a_request_comes_when_the_lease_ends(
        self, requests: tuple[OfPeripheral, OfPeripheral], off: float
    ) -> None:
        self.pass_s(max(0.0, self.oracle.until - self.time.now + off))
        with self.asking((requests[self.machine.body.belt], 0.0)):
            pass

    @precondition(lambda self: self.oracle.held and self.oracle.until > self.time.now)
    @rule(requests=usual, off=st.sampled_from([-0.01, 0.01, 0.5, 2.0]), turns=st.integers(0, 4))
    def the_gateway_stands_still_when_the_lease_ends(
        self, requests: tuple[OfPeripheral, OfPeripheral], off: float, turns: int
    ) -> None:
        self.pass_s(max(0.0, self.oracle.until - self.time.now - 1.0))
        with self.asking((requests[self.machine.body.belt], 0.0)):
            for _ in range(turns):  # Of the event loop: the request is about to be written.
                self.pass_s(0.0)
            self.time.stall(max(0.0, self.oracle.until - self.time.now + off))
            self.oracle.woke_at = self.time.now

    @rule(
        seconds=st.sampled_from([1.0, 3.5, 4.5, 40.0]),
        before=st.lists(st.tuples(moves, ages), max_size=3),
        after=st.lists(st.tuples(moves | ends, ages), max_size=2),
    )
    def the_gateway_stands_still(
        self,
        seconds: float,
        before: list[tuple[OfPeripheral, float]],
        after: list[tuple[OfPeripheral, float]],
    ) -> None:
        with self.asking(*before):
            self.time.stall(seconds)
            self.oracle.woke_at = self.time.now
            if seconds >= STALL_S:
                self.oracle.woke_from_long = self.time.now
        with self.asking(*after):
            self.pass_s(0.5)

    @rule(
        opcode=st.sampled_from([CONTROL, RESET, STOP, START, POWER, SPEED, ROAD, LEVEL]),
        result=st.sampled_from([None, None, 2, 3, 4, 5]),
    )
    def the_machine_has_a_mood(self, opcode: int, result: int | None) -> None:
        self.machine.mood[opcode] = result

    @rule(delay_s=st.sampled_from([0.05, 0.05, 0.7, 3.0, 7.0]))
    def the_machine_is_well_again(self, delay_s: float) -> None:
        self.machine.mood.clear()
        self.machine.delay_s = delay_s

    @precondition(lambda self: self.link is not None)
    @rule(status=st.sampled_from([b"\xff", b"\x02\x01"]))
    def a_key_of_the_machine_is_pressed(self, status: bytes) -> None:
        if status == b"\xff":
            self.machine.permitted = self.oracle.held = False
        else:
            self.machine.running = False
        self.remote.on_status(status)

    @rule(limits=allowed)
    def the_settings_are_reloaded(self, limits: Allowed) -> None:
        if self.serving is not None:
            began = self.time.now
            serving = self.serving
            self.ended(LinkLost())

            async def wait() -> None:
                await asyncio.wait({serving})

            self.time.run(wait())
            assert self.time.now - began < 3.5
        self.make(limits)

    @invariant()
    def nothing_is_wrong(self) -> None:
        if hasattr(self, "oracle"):
            self.oracle.check()

    def teardown(self) -> None:
        try:
            if hasattr(self, "oracle"):
                self.pass_s(40)
                self.oracle.check()
                self.all_are_answered()
        finally:
            if self.serving is not None:
                self.ended(LinkLost())
                self.pass_s(5)
            self.time.end()

    def all_are_answered(self) -> None:
        for asked in self.oracle.asked:
            assert asked.task.done(), asked
            error = asked.task.exception()
            assert error is None or isinstance(error, RequestRefused), error


TestControl = Control.TestCase
TestControl.settings = settings(
    max_examples=effort(60, 10_000),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
