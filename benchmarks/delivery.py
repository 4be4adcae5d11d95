"""From the notification callback to PUBACK and to a subscriber: CPU, latency, rate."""

from collections.abc import Sequence

from benchmarks.figures import Budget, Effort, Figure
from benchmarks.orders import Answer
from benchmarks.stage import Measured, Stage

STRAPS = 8
# A strap that also sends RR intervals; usually it is one notification a second.
HZ = 4.0

# Long enough to include the outbox's half-second rounds in proportion.
BURST = 20_000
PACE_S = 15.0

_PATIENCE_S = 20.0


async def published(
    stage: Stage, process: Measured, do: str, **how: float
) -> tuple[Answer, Answer]:
    """Give an order; return its cost and what arrived: everything, once and in order."""
    await stage.tap.order("forget")
    spent = await process.order(do, **how)
    seen = await stage.tap.order("await", count=spent["count"], seconds=_PATIENCE_S)
    if seen["count"] != spent["count"] or not seen["whole"]:
        raise AssertionError(f"{spent['count']} sent, {seen['count']} arrived: {seen['whole']=}")
    return spent, seen


def cost_us(spent: Answer) -> float:
    """Return the CPU time of a sample in microseconds."""
    return spent["cpu_s"] / spent["count"] * 1e6


async def cpu(effort: Effort) -> list[Figure]:
    """Measure CPU per sample, as fast as possible and at the pace of real straps."""
    burst = Figure(
        "CPU per sample, callback to PUBACK, flat out", "µs", budget=Budget(1.5, of_ratio=True)
    )
    burst.note = "the floor is bare paho as in its documentation, with loop_start"
    lean = Figure("the same against paho in one thread", "µs", burst.product)
    lean.note = "the floor is select and loop_read: the least that is possible with paho"
    paced = Figure(f"CPU per sample, {STRAPS} straps × {HZ:g} Hz", "µs")
    paced.note = (
        "each sample wakes an idle process; the floor is paho in one thread, here and below"
    )
    async with Stage() as stage:
        product = await stage.product(STRAPS)
        bare = await stage.floor(STRAPS)
        threaded = await stage.floor(STRAPS, "--thread")
        for _ in range(effort.rounds):
            takers = ((product, burst.product), (threaded, burst.floor), (bare, lean.floor))
            for process, values in takers:
                spent, _ = await published(stage, process, "burst", count=effort.count(BURST))
                values.append(cost_us(spent))
            for process, values in ((product, paced.product), (bare, paced.floor)):
                seconds = effort.seconds(PACE_S)
                spent, _ = await published(stage, process, "pace", hz=HZ, seconds=seconds)
                values.append(cost_us(spent))
    return [burst, lean, paced]


async def latency(effort: Effort) -> list[Figure]:
    """Measure latency from the callback to a subscriber, at 8 and at 32 straps."""
    figures: list[Figure] = []
    for straps in (8, 32):
        title = f"latency callback to subscriber, {straps} straps × {HZ:g} Hz"
        budget = Budget(2.0, of_ratio=True) if straps == 32 else None
        middle = Figure(f"{title}, p50", "ms")
        late = Figure(f"{title}, p99", "ms", budget=budget)
        latest = Figure(f"{title}, max", "ms")
        async with Stage() as stage:
            product, floor = await stage.product(straps), await stage.floor(straps)
            for _ in range(effort.rounds):
                for process, side in ((product, "product"), (floor, "floor")):
                    seconds = effort.seconds(PACE_S)
                    _, seen = await published(stage, process, "pace", hz=HZ, seconds=seconds)
                    ms: Sequence[float] = seen["live_ms"]
                    getattr(middle, side).append(ms[len(ms) // 2])
                    getattr(late, side).append(ms[int(len(ms) * 0.99)])
                    getattr(latest, side).append(ms[-1])
        figures += [middle, late, latest]
    return figures


async def sustained(effort: Effort) -> list[Figure]:
    """Measure how many samples one core delivers; every id must arrive at the subscriber."""
    figure = Figure(
        "sustained without loss, one core", "samples/s", budget=Budget(10_000, at_least=True)
    )
    async with Stage() as stage:
        product, floor = await stage.product(32), await stage.floor(32)
        for _ in range(effort.rounds):
            for process, rates in ((product, figure.product), (floor, figure.floor)):
                count = effort.count(5 * BURST)
                spent, seen = await published(stage, process, "burst", count=count)
                rates.append(spent["count"] / spent["wall_s"])
                if seen["history"]:
                    figure.note = f"{seen['history']} of {count} came late"
    return [figure]


async def growth(effort: Effort) -> list[Figure]:
    """Measure CPU per sample with more peripherals; the floor is the same with one."""
    figures: list[Figure] = []
    for straps in (8, 64):
        title = f"CPU per sample with {straps} straps, by that with one"
        figure = Figure(title, "µs", budget=Budget(1.1, of_ratio=True))
        async with Stage() as stage:
            many, one = await stage.product(straps), await stage.product(1)
            for _ in range(effort.rounds):
                for process, values in ((many, figure.product), (one, figure.floor)):
                    spent, _ = await published(stage, process, "burst", count=effort.count(BURST))
                    values.append(cost_us(spent))
        figures.append(figure)
    return figures
