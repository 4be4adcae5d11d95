"""What can go wrong: one function each. It brings the fault about, sees it, and ends it.

When a function returns the cause is gone and a gateway runs; whether everything flows again and
nothing is lost, is for the caller to ask.
"""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable

from tests.chaos.broker import GATEWAY_PASSWORD
from tests.chaos.ledger import GATEWAY
from tests.chaos.plan import STRAPS
from tests.chaos.rig import Rig
from tests.chaos.twin import Twin

Fault = Callable[[Rig, random.Random], Awaitable[None]]

# As healthd has it; what lasts longer than this is a stall.
_ACK_TIMEOUT_S = 10.0


async def wait(seconds: float) -> None:
    """A fault lasts."""
    await asyncio.sleep(seconds)


# The daemon.


async def kill(rig: Rig, rng: random.Random) -> None:
    """kill -9 in full flow."""
    await wait(rng.uniform(0, 1))
    await rig.kill_gateway()
    await rig.gateway.start()


async def kill_in_outage(rig: Rig, rng: random.Random) -> None:
    """kill -9 while the broker is away: some samples are on disk, the newest are not."""
    await rig.proxy.refuse()
    await wait(rng.uniform(0.5, 5))
    await rig.kill_gateway()
    await rig.gateway.start()
    await rig.proxy.listen()


async def kill_twice(rig: Rig, rng: random.Random) -> None:
    """kill -9, and again when the next one has just begun."""
    await rig.proxy.refuse()
    await wait(rng.uniform(0.5, 3))
    await rig.kill_gateway()
    await rig.gateway.start()
    await rig.gateway.logged("started", since=rig.gateway.started_at)
    await wait(rng.uniform(0, 2))
    await rig.kill_gateway()
    await rig.gateway.start()
    await rig.proxy.listen()


async def stop(rig: Rig, rng: random.Random) -> None:
    """SIGTERM in full flow."""
    await wait(rng.uniform(0, 1))
    await rig.gateway.stop()
    await rig.gateway.start()


async def stop_in_outage(rig: Rig, rng: random.Random) -> None:
    """SIGTERM while the broker is away."""
    await rig.proxy.refuse()
    await wait(rng.uniform(0.5, 4))
    await rig.gateway.stop()
    await rig.gateway.start()
    await rig.proxy.listen()


async def freeze_gateway(rig: Rig, rng: random.Random) -> None:
    """SIGSTOP of the daemon: it wakes up late."""
    rig.gateway.signal(signal.SIGSTOP)
    known = len(rig.ledger.accepted)
    await wait(rng.uniform(1, 4))
    assert len(rig.ledger.accepted) - known < 100, "it still takes samples"
    rig.gateway.signal(signal.SIGCONT)


# The network.


async def cut(rig: Rig, rng: random.Random) -> None:
    """The connection is reset."""
    await wait(rng.uniform(0, 1))
    known = len(rig.gateway.log)
    assert rig.proxy.cut() == 2, "one connection, two sides"
    await rig.gateway.logged("retrying", since=known, service="mqtt")


async def refuse(rig: Rig, rng: random.Random) -> None:
    """Nobody listens at the broker's port."""
    known = len(rig.gateway.log)
    await rig.proxy.refuse()
    await wait(rng.uniform(1, 4))
    assert rig.gateway.seen(known, "retrying", service="mqtt")
    await rig.proxy.listen()


async def black_hole(rig: Rig, rng: random.Random) -> None:
    """Everything stands, nothing passes, for longer than an acknowledgement may take."""
    known = len(rig.gateway.log)
    rig.proxy.hold()
    passed = rig.proxy.passed
    await wait(_ACK_TIMEOUT_S + rng.uniform(0.5, 2))
    await rig.gateway.logged("retrying", since=known, reason="broker_stalled")
    assert rig.proxy.passed == passed, "something passed"
    rig.proxy.release()


async def hiccup(rig: Rig, rng: random.Random) -> None:
    """Nothing passes for less than that: some samples go to disk, and then are acknowledged."""
    rig.proxy.hold()
    passed = rig.proxy.passed
    await wait(rng.uniform(2, 5))
    assert rig.proxy.passed == passed, "something passed"
    rig.proxy.release()


async def latency(rig: Rig, rng: random.Random) -> None:
    """Half a second in each direction."""
    rig.proxy.delay_s = 0.5
    since = time.monotonic_ns()
    await wait(rng.uniform(2, 4))
    late = [one for one in rig.ledger.deliveries[-200:] if one.mono_ns > since + 10**9]
    assert late, "nothing arrived at all"
    fast = [o for o in late if o.mono_ns - rig.ledger.taken_at.get(o.key, 0) < 0.45e9]
    assert not fast, fast
    rig.proxy.delay_s = 0.0


async def one_byte(rig: Rig, rng: random.Random) -> None:
    """Every byte comes alone."""
    rig.proxy.one_byte = True
    passed = rig.proxy.passed
    await wait(rng.uniform(1, 3))
    assert rig.proxy.passed > passed, "nothing passed"
    rig.proxy.one_byte = False


# The broker.


async def kill_broker(rig: Rig, rng: random.Random) -> None:
    """kill -9 of the broker, and a new one."""
    known = len(rig.gateway.log)
    await rig.broker.kill()
    rig.ledger.broker_killed()
    rig.listener.forget_subscription()
    await rig.gateway.logged("retrying", since=known, service="mqtt")
    await wait(rng.uniform(0, 2))
    # The gateway may come back once there is a subscriber: what nobody subscribes to is gone.
    await rig.proxy.refuse()
    await rig.broker.start()
    await rig.listener.subscribed()
    await rig.proxy.listen()


async def freeze_broker(rig: Rig, rng: random.Random) -> None:
    """SIGSTOP of the broker, for longer than an acknowledgement may take."""
    known = len(rig.gateway.log)
    rig.broker.freeze()
    deliveries = len(rig.ledger.deliveries)
    await wait(_ACK_TIMEOUT_S + rng.uniform(0.5, 2))
    assert len(rig.ledger.deliveries) - deliveries < 200, "it still delivers"
    await rig.gateway.logged("retrying", since=known, reason="broker_stalled")
    rig.broker.thaw()


async def wrong_password(rig: Rig, rng: random.Random) -> None:
    """The broker does not know the password any more, and later does."""
    known = len(rig.gateway.log)
    await rig.broker.change_password("changed")
    rig.proxy.cut()
    await rig.gateway.logged("retrying", since=known, reason="credentials_refused")
    await wait(rng.uniform(0, 3))
    await rig.broker.change_password(GATEWAY_PASSWORD)


async def deny_topic(rig: Rig, rng: random.Random) -> None:
    """The broker refuses one stream's topics; the others flow."""
    strap = rng.choice(STRAPS)
    topic = f"healthd/{GATEWAY}/device/{strap}/heart_rate"
    events = len(rig.ledger.events)
    await rig.broker.deny(topic, f"{topic}/history")
    await rig.event("outbox", since=events, change="parked")
    known = len(rig.ledger.deliveries)
    await wait(rng.uniform(0.5, 2))
    flow = {one.key.peripheral for one in rig.ledger.deliveries[known:] if not one.history}
    assert flow & set(STRAPS) == set(STRAPS) - {strap}, flow
    await rig.broker.deny()
    await rig.event("outbox", since=events, change="unparked", detail=topic)


async def twin(rig: Rig, rng: random.Random) -> None:
    """Another client takes the gateway's id, again and again."""
    known = len(rig.gateway.log)
    async with Twin(rig.broker.port, rig.proxy.client_id):
        await rig.gateway.logged("retrying", since=known, at_most=40, reason="taken_over")


# The radio.


async def drop_link(rig: Rig, rng: random.Random) -> None:
    """A strap's link ends."""
    strap = rng.choice(STRAPS)
    gaps = len(rig.ledger.gaps)
    rig.gateway.tell(f"drop {strap}")
    await rig.event("gap", since=gaps, reason="link_lost", peripheral=strap)


async def silence(rig: Rig, rng: random.Random) -> None:
    """A strap stays linked and says nothing for longer than it may."""
    strap = rng.choice(STRAPS)
    events = len(rig.ledger.events)
    rig.gateway.tell(f"silence {strap}")
    await wait(2.5)
    rig.gateway.tell(f"resume {strap}")
    await rig.event("gap", since=events, reason="stalled", peripheral=strap)
