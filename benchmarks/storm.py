"""A reconnect storm: what healthd costs while the broker restarts again and again."""

import asyncio

from benchmarks.figures import Budget, Effort, Figure
from benchmarks.proc import cpu_s
from benchmarks.stage import Stage
from tests.support.mosquitto import Mosquitto
from tests.support.subscriber import Received, Subscriber

_STRAPS = 8
_HZ = 4.0

_RESTARTS = 10
_EVERY_S = 3.0

# As long as a broker with a small database takes to start again.
_DOWN_S = 0.5

# After the last start: longer than the interval of the documented loop. Samples go on for as long.
_PATIENCE_S = 20.0
_LEAST_PATIENCE_S = 7.0


async def storm(effort: Effort) -> list[Figure]:
    """Measure CPU in a storm, and how soon live samples flow after its last start."""
    cost = Figure(
        f"CPU while the broker restarts {_RESTARTS} times in {_RESTARTS * _EVERY_S:.0f} s",
        "s",
        budget=Budget(2, of_ratio=True),
    )
    cost.note = f"the floor is healthd with the same {_STRAPS} straps and a broker that stays"
    plain = Figure("the same against plain aiomqtt", "s", cost.product)
    plain.note = "the floor, here and in the next row, has the reconnect loop of its documentation"
    back = Figure("last start of the broker to the first live sample", "s", budget=Budget(3))
    loop = asyncio.get_running_loop()
    async with Stage(tap=False) as stage:
        product = await stage.product(_STRAPS)
        aiomqtt = await stage.plain(_STRAPS)
        for _ in range(effort.rounds):
            restarts = max(round(_RESTARTS * effort.scale), 2)
            length_s = restarts * _EVERY_S
            patience_s = max(effort.seconds(_PATIENCE_S), _LEAST_PATIENCE_S)
            pace = {"hz": _HZ, "seconds": 2 * length_s + patience_s, "wait": False}
            async with asyncio.TaskGroup() as tasks:
                for process in (product, aiomqtt):
                    tasks.create_task(process.order("pace", **pace))
                before = cpu_s(product.pid)
                await asyncio.sleep(length_s)
                steady_s = cpu_s(product.pid) - before
                before, before_plain = cpu_s(product.pid), cpu_s(aiomqtt.pid)
                over_s = loop.time() + length_s
                began_s = await _restart_often(stage.broker, restarts)
                async with Subscriber(stage.broker.port, "healthd/+/device/+/heart_rate") as seen:
                    back.product.append(await _first(seen, "bench", patience_s) - began_s)
                    await asyncio.sleep(over_s - loop.time())
                    cost.product.append(cpu_s(product.pid) - before)
                    cost.floor.append(steady_s)
                    plain.floor.append(cpu_s(aiomqtt.pid) - before_plain)
                    back.floor.append(await _first(seen, "plain", patience_s) - began_s)
    return [cost, plain, back]


async def _restart_often(broker: Mosquitto, times: int) -> float:
    """Restart the broker this often; return when it began to listen for the last time."""
    loop = asyncio.get_running_loop()
    start_s, last_s = loop.time(), 0.0
    for number in range(times):
        await asyncio.sleep(start_s + number * _EVERY_S - loop.time())
        await broker.stop()
        await asyncio.sleep(_DOWN_S)
        await broker.start()
        last_s = loop.time()
    return last_s


async def _first(seen: Subscriber, gateway: str, patience_s: float) -> float:
    """Return when the first live sample of this gateway came; now if it does not come in time."""

    def find(messages: list[Received]) -> float | None:
        topic = f"healthd/{gateway}-"
        return next((one.at for one in messages if one.topic.startswith(topic)), None)

    try:
        return await seen.until(find, at_most=patience_s)
    except AssertionError:
        return asyncio.get_running_loop().time()
