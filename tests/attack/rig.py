"""A run: broker, subscriber, requests, and a daemon with straps and hostile peripherals."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from healthd.verbs import REQUESTS
from tests.attack.hostile import HOSTILE
from tests.attack.listener import Arrival, Listener
from tests.attack.requester import Requester
from tests.attack.walk import Held
from tests.chaos.process import GatewayProcess
from tests.end_to_end.simulated_gateway import address, toml
from tests.support.gate import Gate
from tests.support.mosquitto import Mosquitto
from tests.support.polling import until

ROOT = Path(__file__).parents[2]
REQUESTS_PER_S = 100.0
_BROKER = "allow_anonymous true\nlog_type none\nlog_type notice\nlog_type information\n"
# The time until all links are made.
_LINKS_S = 60.0
_SETTLE_S = 15.0
# The time for a full outbox, on a busy machine.
_DELIVER_S = 120.0
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


@dataclass
class Outcome:
    """What was seen.

    Attributes:
        sent: the time of each measurement of the straps, by number.
        received: how each one arrived.
        gaps: the gap events.
        unnamed: numbers of samples, by stream, that neither arrived nor are in a gap.
        pss: memory of the process in bytes, proportional share, over time.
        late_s: by how much the event loop was late, each time, without waits for a processor.
        cpu_s: CPU time of the process.
        held: what each attribute held at most.
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
    held: dict[str, Held]
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
    """Run the daemon and what happens around it, for as long as the attack lasts.

    Args:
        folder: an empty one, for the files of the run.
        attack: what happens.
    """
    run_ = _Run(folder, attack)
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(Mosquitto(folder, _BROKER))
        listener = await stack.enter_async_context(Listener(broker.port))
        gate = await stack.enter_async_context(Gate(broker.port))
        await gate.open()
        gateway = run_.process(gate.port)
        await gateway.start()
        stack.push_async_callback(_kill, gateway)
        linked = await _until(lambda: len(listener.numbers) == attack.straps, _LINKS_S)
        assert linked, gateway.log[-20:]
        async with AsyncExitStack() as during:
            gateway.send_command("attack")
            _start(during, _measure_memory(gateway, run_.pss), _walk(gateway, attack.seconds))
            sending = set(attack.hostile) - {"mute", "spam"}
            here = await _until(lambda: sending <= listener.sending, _LINKS_S)
            assert here, (sending - listener.sending, gateway.log[-20:])
            if attack.requests:
                requester = Requester(broker.port, attack.requests, run_.peripherals)
                await during.enter_async_context(requester)
            if attack.outages:
                _start(during, _outages(gate, attack.seconds))
            await asyncio.sleep(attack.seconds)
        with suppress(OSError):
            await gate.open()
        gateway.send_command("hush")
        if not await _until(lambda: run_.has_arrived(listener), _SETTLE_S):
            # What was lost is named at intervals, and what is left of that at the stop.
            await gateway.stop()
            gateway.arguments += ["--rate", "0"]
            await gateway.start()
            await _until(lambda: run_.has_arrived(listener), _DELIVER_S)
        walks = run_.walks
        gateway.send_command("walk")
        await _until(lambda: run_.walks > walks, _SETTLE_S)
        await gateway.stop()
    return run_.outcome(listener, gateway)


class _Run:
    """The files of a run."""

    def __init__(self, folder: Path, attack: Attack) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._attack = attack
        self._straps = [f"strap-{number}" for number in range(1, attack.straps + 1)]
        self._sent, self._measured = folder / "sent", folder / "measured"
        self._sent.touch()
        self._measured.touch()
        self.pss: list[int] = []
        self.peripherals = [*self._straps, *(one.id for one in HOSTILE)]

    def process(self, port: int) -> GatewayProcess:
        """Return the daemon with a broker at this port; it is not started yet."""
        attack = self._attack
        entries = [{"id": id_, "address": address(n)} for n, id_ in enumerate(self._straps, 1)]
        entries += [
            {"id": one.id, "address": address(100 + number), **one.settings}
            for number, one in enumerate(HOSTILE)
        ]
        sections: dict[str, dict[str, Any]] = {
            "gateway": {"id": "gateway"},
            "mqtt": {"brokers": [f"127.0.0.1:{port}"], "requests": sorted(REQUESTS)},
            "bluetooth": {"slots": 32},
            "outbox": {"directory": str(self._folder / "outbox"), "max_size": "8MB"},
        }
        for name, keys in attack.settings.items():
            sections[name] = {**sections.get(name, {}), **keys}
        config, runtime = self._folder / "healthd.toml", self._folder / "runtime"
        config.write_text(toml(sections, entries))
        runtime.mkdir()
        arguments = ["--config", str(config), "--sent", str(self._sent)]
        arguments += ["--measured", str(self._measured), "--hostile", *attack.hostile]
        environ = {"RUNTIME_DIRECTORY": str(runtime), "BOOT_ID": "boot-1", "TZ": "UTC"}
        return GatewayProcess(arguments, environ, "tests.attack.gateway")

    def has_arrived(self, listener: Listener) -> bool:
        """Return whether nothing is missing."""
        return not listener.unnamed() and all(
            numbers.keys() <= listener.numbers[strap].keys() for strap, numbers in self.sent.items()
        )

    @property
    def sent(self) -> dict[str, dict[int, float]]:
        """When each measurement of the straps was sent, by its number."""
        sent: defaultdict[str, dict[int, float]] = defaultdict(dict)
        for line in self._sent.read_text().splitlines():
            strap, number, at = line.split(" ")
            sent[strap][int(number)] = float(at)
        return sent

    @property
    def walks(self) -> int:
        """How often the memory was walked."""
        return sum("held" in line for line in self._lines())

    def _lines(self) -> Iterator[dict[str, Any]]:
        # The last line may be half written.
        for line in self._measured.read_text().split("\n")[:-1]:
            yield orjson.loads(line)

    def outcome(self, listener: Listener, gateway: GatewayProcess) -> Outcome:
        """Return everything that was seen."""
        late_s, cpu_s, held = list[float](), 0.0, dict[str, Held]()
        for line in self._lines():
            late_s += line.get("late_s", ())
            cpu_s = max(cpu_s, line.get("cpu_s", 0.0))
            for label, one in line.get("held", {}).items():
                held[label] = Held(*map(max, held.get(label, (0, 0, 0)), one))
        return Outcome(
            sent=self.sent,
            received=dict(listener.numbers),
            gaps=listener.gaps,
            unnamed=listener.unnamed(),
            pss=self.pss,
            late_s=late_s,
            cpu_s=cpu_s,
            held=held,
            log=gateway.log,
            topics=dict(listener.topics),
            sizes=dict(listener.sizes),
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


def _start(stack: AsyncExitStack, *work: Coroutine[Any, Any, None]) -> None:
    """Run in tasks, until the stack is left."""
    for task in map(asyncio.create_task, work):
        stack.callback(task.cancel)


async def _kill(gateway: GatewayProcess) -> None:
    if gateway.is_running:
        await gateway.kill(may_have_ended=True)


async def _until(condition: Callable[[], bool], at_most: float) -> bool:
    async def ask() -> bool:
        return condition()

    return await until(ask, at_most)


async def _measure_memory(gateway: GatewayProcess, pss: list[int]) -> None:
    while True:
        pss.append(_pss_of(gateway.pid))
        await asyncio.sleep(_MEMORY_S)


def _pss_of(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


async def _walk(gateway: GatewayProcess, seconds: float) -> None:
    while True:
        await asyncio.sleep(min(_WALK_S, seconds / 4))
        gateway.send_command("walk")


async def _outages(gate: Gate, seconds: float) -> None:
    period_s = min(_OUTAGE_PERIOD_S, seconds)
    while True:
        await asyncio.sleep(period_s * (1 - _AWAY) / 2)
        await gate.cut()
        await asyncio.sleep(period_s * _AWAY)
        await gate.open()
        await asyncio.sleep(period_s * (1 - _AWAY) / 2)
