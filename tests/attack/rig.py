"""A run: broker, subscriber, requests, and a daemon with straps and hostile peripherals."""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from healthd.verbs import REQUESTS
from tests.attack.hostile import HOSTILE
from tests.attack.listener import Arrival, Listener
from tests.attack.requester import Requester
from tests.chaos.process import GatewayProcess
from tests.end_to_end.simulated_gateway import address, toml
from tests.support.gate import Gate
from tests.support.mosquitto import Mosquitto
from tests.support.polling import until

ROOT = Path(__file__).parents[2]
REQUESTS_PER_S = 100.0
# The time until all links are made.
_LINKS_S = 60.0
_SETTLE_S = 60.0
_MEMORY_S = 0.25
_WALK_S = 10.0
# The broker is away for a quarter of each of these.
_OUTAGE_PERIOD_S = 40.0
_AWAY = 0.25


@dataclass
class Attack:
    """What happens in a run.

    Attributes:
        seconds: how long.
        straps: how many well-behaved straps there are.
        hostile: which hostile peripherals come, `spam` among them.
        requests: hostile requests per second.
        outages: whether the broker is away now and then.
        settings: keys to add to sections of the settings.
    """

    seconds: float
    straps: int = 4
    hostile: Sequence[str] = ()
    requests: float = 0.0
    outages: bool = False
    settings: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    spam_per_s: float = 300.0


@dataclass
class Outcome:
    """What was seen.

    Attributes:
        sent: the time of each measurement of the straps, by number.
        received: how each one arrived.
        gaps: the gap events.
        unnamed: numbers of samples, by stream, that neither arrived nor are in a gap.
        pss: memory of the process in bytes, proportional share, over time.
        late_s: by how much the event loop was late, each time.
        cpu_s: CPU time of the process.
        held: what attributes held at most: items and bytes.
        log: the lines of the log.
        topics: how many messages arrived at each topic.
        sizes: the longest payload at each topic.
    """

    sent: dict[str, dict[int, float]]
    received: dict[str, dict[int, Arrival]]
    gaps: list[dict[str, Any]]
    unnamed: dict[tuple[str, str], list[int]]
    pss: list[int]
    late_s: list[float]
    cpu_s: float
    held: dict[str, tuple[int, int]]
    log: list[dict[str, Any]]
    topics: dict[str, int]
    sizes: dict[str, int]

    @property
    def missing(self) -> dict[str, list[int]]:
        """The numbers that were sent and did not arrive, by strap."""
        return {
            strap: sorted(numbers.keys() - self.received.get(strap, {}).keys())
            for strap, numbers in self.sent.items()
        }

    def delays_s(self) -> list[float]:
        """Return how long each measurement took that arrived live, ascending."""
        return sorted(
            arrival.at - self.sent[strap][number]
            for strap, arrivals in self.received.items()
            for number, arrival in arrivals.items()
            if arrival.live and number in self.sent.get(strap, {})
        )


async def run(folder: Path, attack: Attack) -> Outcome:
    """Run the daemon and what happens around it, for as long as the attack lasts."""
    folder.mkdir()
    straps = [f"strap-{number}" for number in range(1, attack.straps + 1)]
    sent, measured = folder / "sent", folder / "measured"
    sent.touch()
    measured.touch()
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(
            Mosquitto(folder, "allow_anonymous true\nlog_type none\nlog_type notice\nlog_type information\n")
        )
        listener = await stack.enter_async_context(Listener(broker.port))
        gate = await stack.enter_async_context(Gate(broker.port))
        await gate.open()
        gateway = _process(folder, gate.port, straps, attack)
        await gateway.start()
        stack.push_async_callback(_kill, gateway)
        assert await until(_coroutine(lambda: len(listener.numbers) == len(straps)), _LINKS_S), (
            gateway.log[-20:]
        )
        pss: list[int] = []
        async with AsyncExitStack() as during:
            gateway.send_command("attack")
            if attack.requests:
                everything = [*straps, *(one.id for one in HOSTILE)]
                requester = Requester(broker.port, attack.requests, everything)
                await during.enter_async_context(requester)
            began = time.monotonic()
            tasks = [
                asyncio.create_task(_measure_memory(gateway, pss)),
                asyncio.create_task(_walk(gateway)),
            ]
            if attack.outages:
                tasks.append(asyncio.create_task(_outages(gate, attack.seconds)))
            for task in tasks:
                during.callback(task.cancel)
            await asyncio.sleep(began + attack.seconds - time.monotonic())
        with suppress(OSError):
            await gate.open()
        gateway.send_command("hush")

        def all_there() -> bool:
            numbers = _read_sent(sent)
            return all(
                numbers[strap].keys() <= listener.numbers[strap].keys() for strap in numbers
            ) and not listener.unnamed()

        await until(_coroutine(all_there), _SETTLE_S)
        gateway.send_command("walk")
        walks = len(_walks(measured))
        await until(_coroutine(lambda: len(_walks(measured)) > walks), _SETTLE_S)
        await gateway.stop()
        late_s, cpu_s, held = _read_measured(measured)
        return Outcome(
            _read_sent(sent),
            dict(listener.numbers),
            listener.gaps,
            listener.unnamed(),
            pss,
            late_s,
            cpu_s,
            held,
            gateway.log,
            dict(listener.topics),
            dict(listener.sizes),
        )


def memory_high() -> int:
    """Return the unit's MemoryHigh in bytes."""
    unit = (ROOT / "systemd" / "healthd.service").read_text(encoding="utf-8")
    found = re.search(r"^MemoryHigh=(\d+)M$", unit, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 * 1024


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values is."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _process(folder: Path, port: int, straps: Sequence[str], attack: Attack) -> GatewayProcess:
    entries = [{"id": id_, "address": address(n)} for n, id_ in enumerate(straps, start=1)]
    entries += [
        {"id": one.id, "address": address(100 + number), **one.settings}
        for number, one in enumerate(HOSTILE)
    ]
    sections: dict[str, dict[str, Any]] = {
        "gateway": {"id": "gateway"},
        "mqtt": {"brokers": [f"127.0.0.1:{port}"], "requests": sorted(REQUESTS)},
        "bluetooth": {"slots": 32},
        "outbox": {"directory": str(folder / "outbox"), "max_size": "8MB"},
    }
    for name, keys in attack.settings.items():
        sections[name] = {**sections.get(name, {}), **keys}
    config = folder / "healthd.toml"
    config.write_text(toml(sections, entries))
    runtime = folder / "runtime"
    runtime.mkdir()
    arguments = ["--config", str(config), "--sent", str(folder / "sent")]
    arguments += ["--measured", str(folder / "measured"), "--spam", str(attack.spam_per_s)]
    arguments += ["--hostile", *attack.hostile]
    environ = {"RUNTIME_DIRECTORY": str(runtime), "BOOT_ID": "boot-1", "TZ": "UTC"}
    return GatewayProcess(arguments, environ, "tests.attack.gateway")


async def _kill(gateway: GatewayProcess) -> None:
    if gateway.is_running:
        await gateway.kill(may_have_ended=True)


def _coroutine(condition: Any) -> Any:
    async def ask() -> bool:
        return bool(condition())

    return ask


async def _measure_memory(gateway: GatewayProcess, pss: list[int]) -> None:
    file = Path(f"/proc/{gateway.pid}/smaps_rollup")
    while True:
        found = re.search(r"^Pss:\s+(\d+) kB", file.read_text(), re.MULTILINE)
        assert found is not None
        pss.append(int(found[1]) * 1024)
        await asyncio.sleep(_MEMORY_S)


async def _walk(gateway: GatewayProcess) -> None:
    while True:
        await asyncio.sleep(_WALK_S)
        gateway.send_command("walk")


async def _outages(gate: Gate, seconds: float) -> None:
    period_s = min(_OUTAGE_PERIOD_S, seconds)
    while True:
        await asyncio.sleep(period_s * (1 - _AWAY) / 2)
        await gate.cut()
        await asyncio.sleep(period_s * _AWAY)
        await gate.open()
        await asyncio.sleep(period_s * (1 - _AWAY) / 2)


def _read_sent(file: Path) -> dict[str, dict[int, float]]:
    sent: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for line in file.read_text().splitlines():
        strap, number, at = line.split(" ")
        sent[strap][int(number)] = float(at)
    return sent


def _read_measured(file: Path) -> tuple[list[float], float, dict[str, tuple[int, int]]]:
    late_s, cpu_s, held = list[float](), 0.0, dict[str, tuple[int, int]]()
    for line in _lines(file):
        late_s += line.get("late_s", ())
        cpu_s = line.get("cpu_s", cpu_s)
        for label, (items, size) in line.get("held", {}).items():
            most, largest = held.get(label, (0, 0))
            held[label] = (max(most, items), max(largest, size))
    return late_s, cpu_s, held


def _walks(file: Path) -> list[dict[str, Any]]:
    return [line for line in _lines(file) if "held" in line]


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    # The last line may be half written.
    for line in file.read_text().split("\n")[:-1]:
        yield orjson.loads(line)
