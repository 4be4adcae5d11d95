"""Periodic peripherals over real GATT: every outcome of a run, and the time between runs."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import orjson
import pytest
from bumble.att import ATT_INSUFFICIENT_AUTHENTICATION_ERROR, ATT_Error

from healthd.central.faults import LinkFault
from healthd.central.radio import Radio
from healthd.errors import Backoff
from healthd.host.clock import Clock
from healthd.runs import Run
from healthd.schedule import Every, Last, Rearmed, Schedule
from healthd.sessions.fetch import End
from healthd.sessions.periodic import NotFetched, Periodic, Plan
from healthd.sessions.schedule_file import ScheduleFile
from healthd.sessions.session import State
from healthd.settings.model import PeripheralSettings
from healthd.simulator.attributes import indicating, notifying, service, writeable
from healthd.simulator.catalogue import CATALOGUE
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from tests.support.stage import BOUND_S, Stage, address, by_address, cancel

WEIGHT = bytes.fromhex("00 803e")  # 80 kg
UP = [State.SEARCHING, State.CONNECTING, State.PREPARING, State.STREAMING]

Give = Callable[[VirtualPeripheral], AsyncGenerator[bytes, None]]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waiting times that the tests are not about."""
    monkeypatch.setattr("healthd.sessions.collect.QUIET_S", 0.4)
    monkeypatch.setattr("healthd.sessions.collect.SETTLED_S", 0.4)
    monkeypatch.setattr("healthd.sessions.periodic.JITTER_S", 0.0)


def entry(number: int = 1, name: str = "scale") -> PeripheralSettings:
    keys = {"id": name, "address": address(number), "every": "15min"}
    return PeripheralSettings.model_validate(keys)


def scale(give: Give, number: int = 1, name: str = "Scale") -> VirtualPeripheral:
    """Make a scale that sends what ``give`` yields, on every link."""
    weight = indicating(0x2A9D)
    made: list[VirtualPeripheral] = []
    part = Part(service(0x181D, [weight]), {weight: lambda: give(made[0])}, advertised=True)
    made.append(VirtualPeripheral(name, address(number), [part]))
    return made[0]


async def three(_: VirtualPeripheral) -> AsyncGenerator[bytes, None]:
    for _number in range(3):
        yield WEIGHT


async def nothing(_: VirtualPeripheral) -> AsyncGenerator[bytes, None]:
    for never in ():
        yield never


def hanging_up(after: int) -> Give:
    async def give(device: VirtualPeripheral) -> AsyncGenerator[bytes, None]:
        for _ in range(after):
            yield WEIGHT
        await asyncio.sleep(0.1)
        hangs.append(asyncio.create_task(device.drop()))

    hangs: list[asyncio.Task[None]] = []
    return give


class Fetcher:
    """Makes and runs periodic peripherals of one radio."""

    def __init__(self, stage: Stage, radio: Radio, folder: Path) -> None:
        self._stage = stage
        self._radio = radio
        self._run = Run(Clock(), {"BOOT_ID": "boot"})
        self._file = ScheduleFile(folder)

    def start(
        self,
        settings: PeripheralSettings,
        *,
        every_s: float = 60.0,
        window_s: float = 10.0,
        rearm_s: float | None = None,
        mark_healthy: Callable[[], None] = lambda: None,
    ) -> "asyncio.Task[None]":
        periodic = self.make(settings, every_s=every_s, window_s=window_s, rearm_s=rearm_s)
        return asyncio.create_task(periodic.run(mark_healthy))

    def make(
        self,
        settings: PeripheralSettings,
        *,
        every_s: float = 60.0,
        window_s: float = 10.0,
        rearm_s: float | None = None,
    ) -> Periodic:
        def make(last: Last | None) -> Schedule:
            now = self._run.clock.now()
            if rearm_s is not None:
                return Rearmed(rearm_s, last, "boot", now)
            return Every(every_s, last, "boot", now)

        plan = Plan(make, window_s, rearm_s is not None, random.Random(1))
        session = self._stage.session(self._radio, settings)
        watcher = self._stage.watcher
        return Periodic(settings.id, session, plan, self._run, self._file, watcher)


Test = Callable[[Fetcher, Radio], Awaitable[None]]


async def staged(stage: Stage, folder: Path, *entries: PeripheralSettings, test: Test) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(*entries) as radio:
        await test(Fetcher(stage, radio, folder), radio)


async def test_a_device_is_fetched_and_then_disconnected(stage: Stage, tmp_path: Path) -> None:
    async def test(fetcher: Fetcher, radio: Radio) -> None:
        device = await stage.add(scale(three))
        running = fetcher.start(entry())
        (run,) = await stage.watcher.runs(1)
        assert (run.outcome, run.reason, run.samples) == ("new_data", None, 3)
        assert 0.4 <= run.duration_s < 10.0
        assert device.unlinked.is_set()
        assert radio.link_count == 0
        await stage.traffic.until(lambda: not stage.traffic.scanning)
        scans, heard = stage.traffic.scans, dict(stage.traffic.heard)
        await asyncio.sleep(0.3)  # it advertises again, and the scanner is off
        assert (stage.traffic.scans, stage.traffic.heard) == (scans, heard)
        states = [state for _, state, _ in stage.watcher.states]
        assert states == [State.WAITING, *UP, State.WAITING]
        assert stage.watcher.states[0] == stage.watcher.states[-1]
        assert stage.watcher.states[-1] == ("scale", State.WAITING, "scheduled")
        spent = radio.airtime.counters()
        assert 0.4 <= spent["linked_s"]["scale"] <= run.duration_s + 2.0
        assert spent["scan_s"] < run.duration_s
        await cancel(running)
        assert stage.watcher.states[-1][1] is State.DISABLED

    await staged(stage, tmp_path, entry(), test=test)


async def test_a_device_that_disconnects_after_its_values_is_done(
    stage: Stage, tmp_path: Path
) -> None:
    async def test(fetcher: Fetcher, _: Radio) -> None:
        await stage.add(scale(hanging_up(after=2)))
        running = fetcher.start(entry())
        (run,) = await stage.watcher.runs(1)
        assert (run.outcome, run.reason, run.samples) == ("new_data", None, 2)
        assert stage.traffic.clients == 1
        await cancel(running)

    await staged(stage, tmp_path, entry(), test=test)


async def test_a_device_that_disconnects_without_values_is_tried_again(
    stage: Stage, tmp_path: Path
) -> None:
    async def test(fetcher: Fetcher, _: Radio) -> None:
        await stage.add(scale(hanging_up(after=0)))
        running = fetcher.start(entry(), window_s=5.0)
        (run,) = await stage.watcher.runs(1)
        assert (run.outcome, run.reason, run.samples) == ("failed", "link_lost", 0)
        assert stage.traffic.clients > 1
        assert run.duration_s < 7.0
        await cancel(running)

    await staged(stage, tmp_path, entry(), test=test)


async def test_a_device_that_works_at_the_second_try(stage: Stage, tmp_path: Path) -> None:
    tries: list[VirtualPeripheral] = []
    fails = hanging_up(after=0)

    def give(device: VirtualPeripheral) -> AsyncGenerator[bytes, None]:
        tries.append(device)
        return fails(device) if len(tries) == 1 else three(device)

    async def test(fetcher: Fetcher, _: Radio) -> None:
        await stage.add(scale(give))
        running = fetcher.start(entry(), window_s=10)
        (run,) = await stage.watcher.runs(1)
        assert (run.outcome, run.samples, len(tries)) == ("new_data", 3, 2)
        await cancel(running)

    await staged(stage, tmp_path, entry(), test=test)


async def test_a_device_that_never_appears(stage: Stage, tmp_path: Path) -> None:
    async def test(fetcher: Fetcher, radio: Radio) -> None:
        running = fetcher.start(entry(), window_s=0.5)
        (run,) = await stage.watcher.runs(1)
        assert (run.outcome, run.reason, run.samples) == ("timeout", "not_seen", 0)
        await stage.traffic.until(lambda: not stage.traffic.scanning)
        assert 0.3 < radio.airtime.counters()["scan_s"] <= run.duration_s + 0.5
        await cancel(running)

    await staged(stage, tmp_path, entry(), test=test)


async def test_a_device_without_values(stage: Stage, tmp_path: Path) -> None:
    async def test(fetcher: Fetcher, _: Radio) -> None:
        device = await stage.add(scale(nothing))
        running = fetcher.start(entry())
        (run,) = await stage.watcher.runs(1)
        assert (run.outcome, run.reason, run.samples) == ("no_data", None, 0)
        assert device.unlinked.is_set()
        await cancel(running)

    await staged(stage, tmp_path, entry(), test=test)


async def test_an_endless_stream_is_received_for_the_whole_window(
    stage: Stage, tmp_path: Path
) -> None:
    async def test(fetcher: Fetcher, _: Radio) -> None:
        await stage.strap()
        running = fetcher.start(entry(name="strap"), window_s=4.0)
        (run,) = await stage.watcher.runs(1)
        assert (run.outcome, run.reason) == ("new_data", None)
        assert run.samples >= 3
        assert run.duration_s > 3.9
        await cancel(running)

    await staged(stage, tmp_path, entry(name="strap"), test=test)


async def test_a_run_ends_when_all_records_have_arrived(stage: Stage, tmp_path: Path) -> None:
    async def test(fetcher: Fetcher, _: Radio) -> None:
        await stage.add(CATALOGUE["glucose"].make(address(1), random.Random(1)))
        running = fetcher.start(entry(name="meter"), window_s=10)
        (run,) = await stage.watcher.runs(1)
        assert (run.outcome, run.reason) == ("new_data", None)
        assert run.samples > 1
        await cancel(running)

    await staged(stage, tmp_path, entry(name="meter"), test=test)


@pytest.mark.parametrize("how", ["breaks off", "takes too long"])
async def test_an_incomplete_transfer_of_records(
    stage: Stage, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(fetcher: Fetcher, _: Radio) -> None:
        device = await stage.add(CATALOGUE["glucose"].make(address(1), random.Random(1)))
        monkeypatch.setattr(device, "send", silent_after(device, how))
        running = fetcher.start(entry(name="meter"), window_s=4)
        (run,) = await stage.watcher.runs(1)
        expected = ("failed", "link_lost") if how == "breaks off" else ("timeout", "unfinished")
        assert (run.outcome, run.reason) == expected
        assert run.samples > 0
        await cancel(running)

    def silent_after(device: VirtualPeripheral, how: str) -> Callable[..., Awaitable[None]]:
        send, sent, leaves = device.send, [0], list[asyncio.Task[None]]()

        async def limited(characteristic: object, payload: bytes) -> None:
            sent[0] += 1
            if sent[0] == 3 and how == "breaks off":
                # For good: whether the window ends between two tries would be chance.
                leaves.append(asyncio.create_task(device.vanish()))
            if sent[0] < 3:
                await send(characteristic, payload)  # pyright: ignore[reportArgumentType]

        return limited

    await staged(stage, tmp_path, entry(name="meter"), test=test)


@pytest.mark.parametrize(("values", "outcome"), [(0, "failed"), (3, "new_data")])
async def test_a_control_point_that_requires_a_bond(
    stage: Stage, tmp_path: Path, values: int, outcome: str
) -> None:
    refused: list[bytes] = []

    def refuse(request: bytes) -> None:
        refused.append(request)
        raise ATT_Error(ATT_INSUFFICIENT_AUTHENTICATION_ERROR)

    async def give() -> AsyncGenerator[bytes, None]:
        for _ in range(values):
            yield bytes(10)

    async def test(fetcher: Fetcher, _: Radio) -> None:
        result, control = notifying(0x2A18), writeable(0x2A52, refuse, indicates=True)
        part = Part(service(0x1808, [result, control]), {result: give}, advertised=True)
        await stage.add(VirtualPeripheral("Meter", address(1), [part]))
        running = fetcher.start(entry(name="meter"), window_s=10)
        (run,) = await stage.watcher.runs(1)
        assert refused
        expected = None if outcome == "new_data" else "not_paired"
        assert (run.outcome, run.reason, run.samples) == (outcome, expected, values)
        assert (run.error is None) is (outcome == "new_data")
        await cancel(running)

    await staged(stage, tmp_path, entry(name="meter"), test=test)


async def test_runs_are_due_at_multiples_of_the_period(stage: Stage, tmp_path: Path) -> None:
    async def test(fetcher: Fetcher, _: Radio) -> None:
        await stage.add(scale(three))
        running = fetcher.start(entry(), every_s=3.0, window_s=2.5)
        runs = await stage.watcher.runs(3)
        assert [run.outcome for run in runs] == ["new_data"] * 3
        points = [run.due_ns for run in runs]
        assert points[1] - points[0] == pytest.approx(3.0e9, abs=5e7)
        assert points[2] - points[0] == pytest.approx(6.0e9, abs=5e7)
        assert len({run.run for run in runs}) == 3
        reported = [due for _, due in stage.watcher.due]
        assert reported[:3] == pytest.approx(points, abs=1e8)
        await cancel(running)

    await staged(stage, tmp_path, entry(), test=test)


async def test_the_last_fetch_is_known_after_a_restart(stage: Stage, tmp_path: Path) -> None:
    async def test(fetcher: Fetcher, radio: Radio) -> None:
        await stage.add(scale(three))
        settled = asyncio.Event()
        running = fetcher.start(entry(), mark_healthy=settled.set)
        await settled.wait()
        await cancel(running)
        again = Fetcher(stage, radio, tmp_path).start(entry())
        await stage.watcher.until(lambda: len(stage.watcher.due) >= 3)
        due = [wall_ns for _, wall_ns in stage.watcher.due]
        assert due[-1] - due[0] == pytest.approx(60e9, abs=1e8)
        await cancel(again)
        assert len(stage.watcher.fetched) == 1

    await staged(stage, tmp_path, entry(), test=test)


async def test_a_device_is_fetched_when_it_advertises_but_not_twice_in_a_row(
    stage: Stage, tmp_path: Path
) -> None:
    async def test(fetcher: Fetcher, _: Radio) -> None:
        running = fetcher.start(entry(), rearm_s=1.0, window_s=3.0)
        await asyncio.sleep(5.0)  # longer than a run may take
        assert not stage.watcher.fetched
        assert stage.traffic.scanning
        device = await stage.add(scale(three))
        loop = asyncio.get_running_loop()
        (run,) = await stage.watcher.runs(1)
        ended = loop.time()
        assert (run.outcome, run.samples) == ("new_data", 3)
        assert run.duration_s < 5.0, "counted from when it was found"
        await stage.traffic.until(lambda: not stage.traffic.scanning)
        await device.linked.wait()  # it has kept advertising
        assert loop.time() - ended >= 0.95
        await stage.watcher.runs(2)
        await cancel(running)

    await staged(stage, tmp_path, entry(), test=test)


async def test_a_failed_run_is_repeated_without_the_rearm_time(
    stage: Stage, tmp_path: Path
) -> None:
    async def test(fetcher: Fetcher, _: Radio) -> None:
        device = await stage.add(scale(hanging_up(after=0)))
        running = fetcher.start(entry(), rearm_s=3600, window_s=4.0)
        (run,) = await stage.watcher.runs(1)
        assert run.outcome == "failed"
        await device.linked.wait()
        await cancel(running)

    await staged(stage, tmp_path, entry(), test=test)


async def test_a_requested_run_starts_now_and_does_not_shift_the_schedule(
    stage: Stage, tmp_path: Path
) -> None:
    async def test(fetcher: Fetcher, _: Radio) -> None:
        await stage.add(scale(three))
        settled = asyncio.Event()
        periodic = fetcher.make(entry())
        running = asyncio.create_task(periodic.run(settled.set))
        await settled.wait()
        remembered = (tmp_path / "schedule.json").read_bytes()
        asked_ns = time.time_ns()
        one, other = await asyncio.gather(periodic.fetch(), periodic.fetch())
        assert one is other, "requests during a run get the same run"
        assert (one.outcome, one.samples) == ("new_data", 3)
        assert asked_ns <= one.due_ns <= time.time_ns()
        again = await periodic.fetch()
        assert again.run != one.run
        assert [run for _, run in stage.watcher.fetched][1:] == [one, again]
        assert len(stage.watcher.due) == 2, "the next due time has not changed"
        assert (tmp_path / "schedule.json").read_bytes() == remembered
        await cancel(running)

    await staged(stage, tmp_path, entry(), test=test)


async def test_a_request_during_a_scheduled_run_joins_it(stage: Stage, tmp_path: Path) -> None:
    async def test(fetcher: Fetcher, _: Radio) -> None:
        await stage.add(scale(three))
        periodic = fetcher.make(entry())
        running = asyncio.create_task(periodic.run(lambda: None))
        await stage.watcher.streaming()
        asked_ns = time.time_ns()
        fetched = await periodic.fetch()
        assert [run for _, run in stage.watcher.fetched] == [fetched]
        assert fetched.due_ns < asked_ns, "it was due by its schedule"
        await cancel(running)

    await staged(stage, tmp_path, entry(), test=test)


async def test_a_request_starts_the_window_of_a_run_that_waits(
    stage: Stage, tmp_path: Path
) -> None:
    async def test(fetcher: Fetcher, _: Radio) -> None:
        periodic = fetcher.make(entry(), rearm_s=3600, window_s=1.0)
        running = asyncio.create_task(periodic.run(lambda: None))
        await stage.traffic.until(lambda: stage.traffic.scanning)
        asked_ns = time.time_ns()
        fetched = await periodic.fetch()
        assert (fetched.outcome, fetched.reason) == ("timeout", "not_seen")
        assert fetched.due_ns >= asked_ns
        await stage.traffic.until(lambda: stage.traffic.scanning)
        await stage.add(scale(three))
        runs = await stage.watcher.runs(2)
        assert runs[1].outcome == "new_data", "it is still fetched when it advertises"
        await cancel(running)

    await staged(stage, tmp_path, entry(), test=test)


async def test_a_requested_run_starts_the_rearm_time_again(stage: Stage, tmp_path: Path) -> None:
    def ended_ns() -> int:
        return orjson.loads((tmp_path / "schedule.json").read_bytes())["scale"]["mono_ns"]

    async def test(fetcher: Fetcher, _: Radio) -> None:
        await stage.add(scale(three))
        settled = asyncio.Event()
        periodic = fetcher.make(entry(), rearm_s=3600)
        running = asyncio.create_task(periodic.run(settled.set))
        await settled.wait()
        settled.clear()
        before_ns = ended_ns()
        fetched = await periodic.fetch()
        assert fetched.outcome == "new_data", "even during the rearm time"
        await settled.wait()
        assert ended_ns() >= before_ns + fetched.duration_s * 1e9
        await cancel(running)

    await staged(stage, tmp_path, entry(), test=test)


async def test_requests_fail_when_the_session_stops(stage: Stage, tmp_path: Path) -> None:
    async def test(fetcher: Fetcher, _: Radio) -> None:
        device = await stage.add(scale(nothing))
        periodic = fetcher.make(entry())
        with pytest.raises(NotFetched, match="starts or stops"):
            await periodic.fetch()
        running = asyncio.create_task(periodic.run(lambda: None))
        await device.linked.wait()
        asked = [asyncio.create_task(periodic.fetch()) for _ in range(3)]
        await asyncio.sleep(0)
        await cancel(asked.pop())  # a caller that was cancelled meanwhile
        await cancel(running)
        for request in asked:
            with pytest.raises(NotFetched, match="stopped"):
                await request
        with pytest.raises(NotFetched, match="starts or stops"):
            await periodic.fetch()

    await staged(stage, tmp_path, entry(), test=test)


@pytest.mark.parametrize("state", UP)
async def test_cancelled_in_any_state_it_leaves_nothing_behind(
    stage: Stage, tmp_path: Path, state: State
) -> None:
    async def test(fetcher: Fetcher, radio: Radio) -> None:
        device = await stage.add(scale(nothing))
        running = fetcher.start(entry())
        stage.watcher.when[state] = running.cancel
        with pytest.raises(asyncio.CancelledError):
            await running
        await device.unlinked.wait()
        await stage.traffic.until(lambda: not stage.traffic.scanning)
        assert radio.link_count == 0
        assert not stage.watcher.fetched
        assert stage.watcher.states[-1][1] is State.DISABLED

    await staged(stage, tmp_path, entry(), test=test)


FAULT = LinkFault("busy", "busy", Backoff(1, 1))


@pytest.mark.parametrize(
    ("end", "samples", "outcome"),
    [
        (End(True, State.STREAMING, False, False, None, 1), 3, ("new_data", None)),
        (End(True, State.STREAMING, False, False, FAULT, 1), 3, ("new_data", None)),
        (End(True, State.STREAMING, False, False, FAULT, 1), 0, ("no_data", None)),
        (End(True, State.STREAMING, False, False, FAULT, 1, True), 0, ("failed", "busy")),
        (End(True, State.STREAMING, False, False, FAULT, 1, True), 3, ("new_data", None)),
        (End(False, State.STREAMING, False, False, None, 1), 3, ("new_data", None)),
        (End(False, State.STREAMING, False, False, None, 1), 0, ("no_data", None)),
        (End(False, State.STREAMING, False, False, FAULT, 1), 0, ("failed", "busy")),
        (End(False, State.STREAMING, True, False, None, 1), 3, ("timeout", "unfinished")),
        (End(False, State.WAITING, False, False, FAULT, 1), 3, ("failed", "busy")),
        (End(False, State.SEARCHING, False, False, FAULT, 1), 0, ("failed", "busy")),
        (End(False, State.SEARCHING, False, False, None, 1), 0, ("timeout", "not_seen")),
        (End(False, State.SEARCHING, False, True, None, 1), 0, ("timeout", "no_slot")),
        (End(False, State.CONNECTING, False, False, None, 1), 0, ("timeout", "connecting")),
        (End(False, State.PREPARING, False, False, None, 1), 0, ("timeout", "preparing")),
    ],
)
def test_every_end_has_its_outcome(end: End, samples: int, outcome: object) -> None:
    assert end.judged(samples) == outcome


async def test_all_slots_are_taken(stage: Stage, tmp_path: Path) -> None:
    strap = by_address(2, "strap")
    async with asyncio.timeout(BOUND_S), stage.radio(entry(), strap, slots=1) as radio:
        await stage.strap("Strap", 2)
        streaming = asyncio.create_task(stage.session(radio, strap).run(lambda: None))
        await stage.watcher.streaming()
        await stage.add(scale(three))
        running = Fetcher(stage, radio, tmp_path).start(entry(), window_s=3.0)
        (run,) = await stage.watcher.runs(1)
        assert (run.outcome, run.reason) == ("timeout", "no_slot")
        await cancel(running)
        assert not streaming.done(), "its link is too new to be ended"
        await cancel(streaming)


async def test_all_peripherals_get_turns_with_two_slots(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.central.turns.MIN_LINK_S", 0.7)
    straps = [by_address(number, f"strap-{number}") for number in (1, 2, 3)]
    scales = [entry(number, f"scale-{number}") for number in (4, 5)]
    async with asyncio.timeout(50), stage.radio(*straps, *scales, slots=2) as radio:
        fetcher, ended = Fetcher(stage, radio, tmp_path), dict[str, list[str]]()

        async def keep(settings: PeripheralSettings) -> None:
            session = stage.session(radio, settings)
            while True:
                try:
                    await session.run(lambda: None)
                except Exception as fault:
                    ended.setdefault(settings.id, []).append(getattr(fault, "reason", repr(fault)))

        for number in (1, 2, 3):
            await stage.strap(f"Strap {number}", number)
        running = [asyncio.create_task(keep(one)) for one in straps]
        await stage.watcher.streaming(2)
        for number in (4, 5):
            await stage.add(scale(three, number, f"Scale {number}"))
        running += [fetcher.start(one, every_s=6.0, window_s=5.0) for one in scales]
        for one in scales:
            runs = await stage.watcher.runs(3, one.id)
            assert [run.outcome for run in runs] == ["new_data"] * len(runs)
        for task in running:
            await cancel(task)
        beats = {one.id: 0 for one in straps}
        for peripheral, uuid, _ in stage.watcher.values:
            if uuid == "2a37":
                beats[peripheral] += 1
        assert min(beats.values()) >= 20, beats
        assert {reason for reasons in ended.values() for reason in reasons} == {"gave_way"}
        assert ended.keys() == beats.keys(), "each of them lost its slot at some time"
        assert stage.traffic.most_connecting == 1
