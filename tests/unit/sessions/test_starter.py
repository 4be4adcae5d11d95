"""A machine that is started because of the settings: what is written, and what is reported."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from healthd.central.faults import LinkFault, LinkLost, refused
from healthd.central.link import Link
from healthd.events import ControlEvent
from healthd.profiles import registry
from healthd.profiles.fitness_machine.machine import Machine
from healthd.sessions.control_point import ControlPoints
from healthd.sessions.outcomes import Outcomes
from healthd.sessions.starter import Starter
from tests.support import virtual_time

ROWER, TREADMILL = Machine(frozenset({"2ad1"})), Machine(frozenset({"2acd"}))
Answer = Callable[[bytes], bytes | LinkFault | None]


class Wire:
    """The link to a machine.

    Attributes:
        writes: what was written to its control point, in hex.
    """

    def __init__(self, answer: Answer, *, has_point: bool = True) -> None:
        self.writes: list[str] = []
        self._answer = answer
        self._has_point = has_point

    def can_write(self, uuid: str) -> bool:
        return self._has_point and uuid == "2ad9"

    async def subscribe(self, _uuid: str, on_value: Callable[[bytes], None]) -> None:
        self._indicate = on_value

    async def write(self, _uuid: str, value: bytes) -> None:
        self.writes.append(value.hex())
        answer = self._answer(value)
        if isinstance(answer, LinkFault):
            raise answer
        if answer is not None:
            self._indicate(answer)


class Start:
    """One start, and everything that was reported about it."""

    def __init__(self, wire: Wire, machine: Machine = ROWER, *, busy: bool = False) -> None:
        self.events: list[dict[str, Any]] = []
        self._wire, self._machine, self._busy = wire, machine, busy

        def report(event: ControlEvent) -> None:
            self.events.append(event.fields())

        self._starter = Starter("rower", Outcomes("rower", report))

    async def run(self, address: str = "A", link_s: float = 1.0) -> list[str]:
        """Start the machine, on a link that ends some time later; return the reasons in the log."""
        points = ControlPoints(cast(Link, self._wire), registry.load(), lambda _, __: None)
        if self._busy:
            turn = points.of("2ad9").turn()
            await turn.__aenter__()
        with capture_logs() as log:
            await self._starter.start(points, self._machine, address)
            await asyncio.sleep(link_s)
            self._starter.end()
        return [line["reason"] for line in log if line["event"] == "not started"]

    @property
    def reports(self) -> list[tuple[str, str, str]]:
        keys = ("change", "verb", "reason")
        return [tuple(event[key] for key in keys) for event in self.events]  # pyright: ignore[reportReturnType]


def accept(request: bytes) -> bytes:
    """Answer as the Fitness Machine Service 1.0 says, 4.16.2.22: 0x80, opcode, 1 for success."""
    return bytes([0x80, request[0], 1])


async def test_control_is_requested_and_then_the_machine_is_started() -> None:
    wire = Wire(accept)
    starting = Start(wire)
    assert await starting.run() == []
    assert wire.writes == ["00", "07"]
    assert starting.reports == [("started", "start", "settings")]


async def test_a_machine_that_refuses_control_is_started_nevertheless() -> None:
    # Result 4: operation failed.
    wire = Wire(lambda request: accept(request) if request[0] else b"\x80\x00\x04")
    starting = Start(wire)
    assert await starting.run() == []
    assert wire.writes == ["00", "07"]
    assert starting.reports == [("started", "start", "settings")]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        # Results 2 and 5 of a procedure.
        (b"\x80\x07\x02", "opcode_not_supported"),
        (b"\x80\x07\x05", "control_not_permitted"),
        (None, "silent"),
        (refused("org.bluez.Error.NotPermitted", "Not paired"), "not_paired"),
    ],
)
def test_a_machine_that_does_not_start_is_reported(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | LinkFault | None, reason: str
) -> None:
    async def body() -> None:
        starting = Start(Wire(lambda request: answer if request[0] else accept(request)))
        assert await starting.run() == [reason]
        assert starting.reports == [("refused", "start", reason)]

    virtual_time.run(body, monkeypatch)


def test_a_control_point_that_is_in_use_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        wire = Wire(accept)
        starting = Start(wire, busy=True)
        assert await starting.run() == ["busy"]
        assert wire.writes == []

    virtual_time.run(body, monkeypatch)


async def test_a_link_that_ends_is_no_refusal() -> None:
    starting = Start(Wire(lambda _: LinkLost()))
    assert await starting.run(link_s=0.0) == []
    assert starting.events == []


@pytest.mark.parametrize("answer", [LinkLost(), b"\x80\x07\x01"], ids=["hangs up", "obeys first"])
def test_a_machine_that_hangs_up_twice_is_left_alone_for_an_hour(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | LinkFault
) -> None:
    async def body() -> None:
        wire = Wire(lambda request: answer if request[0] else accept(request))
        starting = Start(wire)
        assert await starting.run(link_s=0.1) == await starting.run(link_s=0.1) == []
        assert await starting.run() == ["link_lost"]
        assert starting.reports[-1] == ("refused", "start", "link_lost")
        # It is said once.
        assert await starting.run() == []
        assert len(wire.writes) == 4
        await asyncio.sleep(3600)
        await starting.run(link_s=0.1)
        assert len(wire.writes) == 6
        await starting.run()
        assert len(wire.writes) == 6
        # Another machine is not meant.
        await starting.run("B")
        assert len(wire.writes) == 8

    virtual_time.run(body, monkeypatch)


def test_a_machine_that_stays_linked_after_a_chance_loss_is_started_on_each_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        starting = Start(Wire(accept))
        for _ in range(3):
            await starting.run(link_s=0.1)
            await starting.run(link_s=60.0)
        assert starting.reports == [("started", "start", "settings")] * 6

    virtual_time.run(body, monkeypatch)


async def test_a_treadmill_is_not_even_asked_for_control() -> None:
    wire = Wire(accept)
    starting = Start(wire, TREADMILL)
    assert await starting.run() == ["not_allowed"]
    assert wire.writes == []
    assert starting.reports == [("refused", "start", "not_allowed")]


async def test_a_device_without_a_control_point_is_named_in_the_log() -> None:
    wire = Wire(accept, has_point=False)
    starting = Start(wire)
    assert await starting.run() == ["not_supported"]
    assert (wire.writes, starting.events) == ([], [])
