"""healthd compared with a short script that does the same: CPU, memory, and how soon samples flow.

Both run in the same boot, in turns, on the same adapter, straps and broker, so their ratio means
something although an emulated machine is slow.
"""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from healthd.simulator.part import Sent
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import HeartSource, strap_parts
from tests.system.guest import vm
from tests.system.guest.case import Case
from tests.system.guest.straps import Strap
from tests.system.guest.vm import Failed
from tests.system.guest.world import SERVICE, World

_SCRIPT = Path(__file__).with_name("script.py")
_SCRIPT_UNIT = "script.service"
_PORT = "1883"
_PYTHON = "/opt/healthd/bin/python"
_OTHERS = ("bluetooth.service", "dbus.service", "mosquitto.service")
_ALL = 8
_SLOW_S, _FAST_S = 1.0, 0.25
# After the first samples: what is read only once has been read by then.
_SETTLED_S = 6.0
_MEASURED_S = 15.0
# Between two disconnects. Straps lose their links after minutes; of a link that ends within seconds
# healthd finds out whether one of its requests is to blame.
_PAUSE_S = 10.0
_DROPS = 3
# Both subjects, with 8 straps and with one, take less than half of it when emulated.
_ROUND_S = 900.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Pace:
    """How often all straps of a comparison send; it may change while they do.

    Attributes:
        period: seconds between two samples of a strap.
    """

    period: float = _SLOW_S

    def build(
        self,
        name: str,
        address: str,
        heart: HeartSource,
        *,
        period: float,
        record: Callable[[Sent], None],
    ) -> VirtualPeripheral:
        """Make a chest strap that keeps this pace; its first sample follows after one period."""

        async def payloads() -> AsyncGenerator[bytes, None]:
            while True:
                await asyncio.sleep(self.period)
                yield heart.payload(self.period)

        rate, *others = strap_parts(heart, period)
        (measurement,) = rate.payloads
        paced = replace(rate, payloads={measurement: payloads})
        return VirtualPeripheral(name, address, (paced, *others), record=record)


@dataclass(frozen=True, slots=True)
class Subject:
    """A program that is compared.

    Attributes:
        name: as in the table.
        unit: its unit in systemd.
        start: starts it for these straps.
    """

    name: str
    unit: str
    start: Callable[[World, list[Strap]], Awaitable[None]]


async def _start_healthd(world: World, straps: list[Strap]) -> None:
    world.configure(straps, more=f"[bluetooth]\nslots = {_ALL}")
    await world.start()


async def _start_script(_world: World, straps: list[Strap]) -> None:
    addresses = [strap.address for strap in straps]
    options = ("--quiet", "--collect", f"--unit={_SCRIPT_UNIT}")
    await vm.run("systemd-run", *options, _PYTHON, str(_SCRIPT), _PORT, *addresses)


HEALTHD = Subject("healthd", SERVICE, _start_healthd)
SCRIPT = Subject("script", _SCRIPT_UNIT, _start_script)


@dataclass
class Figures:
    """What was measured, by row and subject."""

    rows: defaultdict[str, defaultdict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, row: str, subject: Subject, value: float) -> None:
        """Note a value."""
        self.rows[row][subject.name].append(value)

    def table(self) -> list[str]:
        """Return a line for each row: the medians, their ratio, and the ranges of the values."""
        lines: list[str] = []
        for row, values in self.rows.items():
            ours, theirs = values[HEALTHD.name], values[SCRIPT.name]
            if not (ours and theirs):
                continue
            ratio = median(ours) / median(theirs)
            lines.append(f"{row:<50} {_shown(ours)}  script {_shown(theirs)}  {ratio:.2f} ×")
        return lines


def _shown(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} – {max(values):.2f}, {len(values)} times)"


def comparison_case(rounds: int) -> Case:
    """The comparison as a case; see `compare`."""

    async def body(world: World) -> None:
        await compare(world, rounds)

    promise = "healthd costs no more than a script, and streams sooner."
    return Case("comparison", body, promise, bound_s=(rounds + 1) * _ROUND_S, compares=True)


async def compare(world: World, rounds: int) -> None:
    """Measure both in turns, and note the table in the report.

    Args:
        world: a fresh one.
        rounds: how often each of them is measured.
    """
    pace = Pace()
    straps = [
        await world.strap(f"strap-{number}", in_range=False, build=pace.build)
        for number in range(1, _ALL + 1)
    ]
    figures, failures = Figures(), list[str]()
    for number in range(rounds + 1):
        # The first starts read everything from the disk: they are not measured.
        into = figures if number else Figures()
        for subject in (HEALTHD, SCRIPT) if number % 2 == 0 else (SCRIPT, HEALTHD):
            for count, measure in ((1, _one), (_ALL, _eight)):
                try:
                    await measure(world, subject, straps[:count], pace, into)
                except Failed as finding:
                    # On a busy machine, and with a script, not every start goes well.
                    failures.append(f"{subject.name}, {count} straps, round {number}: {finding}")
                await _stop(world, subject, straps[:count])
        # After each round, in case that a later one fails.
        world.notes[:] = [*figures.table(), *failures]
    # What was sent while a subject was being stopped does not count as lost.
    world.straps.clear()


async def _one(
    world: World, subject: Subject, straps: list[Strap], pace: Pace, figures: Figures
) -> None:
    """Measure a subject with one strap: its start, its CPU, and what follows a disconnect."""
    start_s = await _start(world, subject, straps, pace)
    figures.add("start to the first sample, 1 strap [s]", subject, start_s)
    await asyncio.sleep(_SETTLED_S)
    await _measure_cpu(world, subject, "1 strap × 1 Hz", figures)
    for _ in range(_DROPS):
        await _measure_drop(world, subject, straps, pace, figures)


async def _eight(
    world: World, subject: Subject, straps: list[Strap], pace: Pace, figures: Figures
) -> None:
    """Measure a subject with all straps: its start, its CPU at two paces, and its memory."""
    start_s = await _start(world, subject, straps, pace)
    figures.add("start until all of 8 straps stream [s]", subject, start_s)
    await asyncio.sleep(_SETTLED_S)
    await _measure_cpu(world, subject, "8 straps × 1 Hz", figures)
    pace.period = _FAST_S
    await asyncio.sleep(_SLOW_S)
    await _measure_cpu(world, subject, "8 straps × 4 Hz", figures)
    figures.add("resident memory, 8 straps [MiB]", subject, await _resident_mib(subject))
    pace.period = _SLOW_S
    await _measure_drop(world, subject, straps, pace, figures)


async def _start(world: World, subject: Subject, straps: list[Strap], pace: Pace) -> float:
    """Start a subject; return the seconds from its process to the last strap's first sample."""
    pace.period = _SLOW_S
    for strap in straps:
        await strap.peripheral.appear()
    asked_at = time.monotonic()
    await subject.start(world, straps)
    await world.streaming(*straps, since=asked_at)
    began_at = _process_began_at(await vm.main_pid(subject.unit))
    return max(_first_at(strap, asked_at) for strap in straps) - began_at


async def _stop(world: World, subject: Subject, straps: list[Strap]) -> None:
    """Stop a subject, and make BlueZ forget the straps."""
    # A script that has ended by itself is unknown by now.
    await vm.run("systemctl", "stop", subject.unit, may_fail=True)
    for strap in straps:
        await strap.peripheral.vanish()
    await world.radio.unplug()
    await vm.run("systemctl", "stop", "bluetooth")
    await world.plug()


async def _measure_drop(
    world: World, subject: Subject, straps: list[Strap], pace: Pace, figures: Figures
) -> None:
    """Let straps disconnect at once; measure until each of them has sent a sample again."""
    await asyncio.sleep(_PAUSE_S)
    await asyncio.gather(*(strap.peripheral.drop() for strap in straps))
    # The end as the adapter saw it: on a busy machine that is later than the call, and a sample may
    # still have been sent in between.
    ended_at = {strap.id: world.radio.end_times(strap.address)[-1] for strap in straps}
    for strap in straps:
        await world.streaming(strap, since=ended_at[strap.id])
    what = "the disconnect" if len(straps) == 1 else f"all of {len(straps)} disconnect"
    next_s = [_first_at(strap, ended_at[strap.id]) - ended_at[strap.id] for strap in straps]
    figures.add(f"{what} to the next sample, 1 Hz [s]", subject, max(next_s))
    subscribed_s = [
        _sent_after(strap, ended_at[strap.id]) - pace.period - ended_at[strap.id]
        for strap in straps
    ]
    figures.add(f"{what} to the subscription [s]", subject, max(subscribed_s))


async def _measure_cpu(world: World, subject: Subject, what: str, figures: Figures) -> None:
    pid = await vm.main_pid(subject.unit)
    others = [await vm.main_pid(unit) for unit in _OTHERS]
    began_at, cpu_s = time.monotonic(), _cpu_s(pid)
    switches, others_cpu_s = _switches(pid), sum(map(_cpu_s, others))
    arrived = sum(len(strap.arrived) for strap in world.straps.values())
    await asyncio.sleep(_MEASURED_S)
    passed_s = time.monotonic() - began_at
    samples = sum(len(strap.arrived) for strap in world.straps.values()) - arrived
    figures.add(f"CPU, {what} [ms/s]", subject, (_cpu_s(pid) - cpu_s) / passed_s * 1000)
    rest_s = sum(map(_cpu_s, others)) - others_cpu_s
    figures.add(f"of BlueZ, D-Bus and broker, {what} [ms/s]", subject, rest_s / passed_s * 1000)
    figures.add(
        f"context switches per sample, {what}",
        subject,
        (_switches(pid) - switches) / max(1, samples),
    )


def _sent_after(strap: Strap, moment: float) -> float:
    """Return when the strap sent the first sample after the moment that has arrived."""
    first = strap.first_after(moment)
    assert first is not None, "the caller has waited for it"
    return strap.sent[first[0]]


def _first_at(strap: Strap, moment: float) -> float:
    """Return when the first sample that was sent after the moment arrived."""
    first = strap.first_after(moment)
    assert first is not None, "the caller has waited for it"
    return first[1]


def _stat(pid: int) -> list[str]:
    """Return /proc/PID/stat from the third field on: the second may contain spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()


def _cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _process_began_at(pid: int) -> float:
    """Return when the process was made, on the monotonic clock: the machine never sleeps."""
    return int(_stat(pid)[19]) / _TICKS_PER_S


async def _resident_mib(subject: Subject) -> float:
    return int(_stat(await vm.main_pid(subject.unit))[21]) * _PAGE_BYTES / 2**20


def _switches(pid: int) -> int:
    """Return how often all threads of the process have given up the processor by themselves."""
    count = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        count += int(fields["voluntary_ctxt_switches"])
    return count
