"""Faults: each function injects a fault, checks its effect, and ends it.

When a function returns, the cause is gone and a gateway is running. The caller checks whether
samples flow again and whether any were lost.
"""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable

from tests.chaos.broker import GATEWAY_PASSWORD
from tests.chaos.duplicate_client import DuplicateClient
from tests.chaos.ledger import GATEWAY
from tests.chaos.plan import STRAPS
from tests.chaos.rig import Rig

Fault = Callable[[Rig, random.Random], Awaitable[None]]

# healthd's acknowledgement timeout: after this the broker counts as stalled.
_ACK_TIMEOUT_S = 10.0


async def wait(seconds: float) -> None:
    """Keep the fault active for this long."""
    await asyncio.sleep(seconds)


# The daemon.


async def kill(rig: Rig, rng: random.Random) -> None:
    """Kill the daemon (kill -9) while samples flow."""
    await wait(rng.uniform(0, 1))
    await rig.kill_gateway()
    await rig.gateway.start()


async def kill_in_outage(rig: Rig, rng: random.Random) -> None:
    """Kill the daemon while the broker is unreachable: the newest samples are not on disk yet."""
    await rig.proxy.refuse()
    await wait(rng.uniform(0.5, 5))
    await rig.kill_gateway()
    await rig.gateway.start()
    await rig.proxy.listen()


async def kill_twice(rig: Rig, rng: random.Random) -> None:
    """Kill the daemon, and kill the next one just after its start."""
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
    """Stop the daemon (SIGTERM) while samples flow."""
    await wait(rng.uniform(0, 1))
    await rig.gateway.stop()
    await rig.gateway.start()


async def stop_in_outage(rig: Rig, rng: random.Random) -> None:
    """Stop the daemon while the broker is unreachable."""
    await rig.proxy.refuse()
    await wait(rng.uniform(0.5, 4))
    await rig.gateway.stop()
    await rig.gateway.start()
    await rig.proxy.listen()


async def freeze_gateway(rig: Rig, rng: random.Random) -> None:
    """Freeze the daemon (SIGSTOP) for a while."""
    rig.gateway.signal(signal.SIGSTOP)
    known = len(rig.ledger.accepted)
    await wait(rng.uniform(1, 4))
    assert len(rig.ledger.accepted) - known < 100, "it still accepts samples"
    rig.gateway.signal(signal.SIGCONT)


# The network.


async def cut(rig: Rig, rng: random.Random) -> None:
    """Reset the connection."""
    await wait(rng.uniform(0, 1))
    # Not each cut is logged: after two short connections only one that lasts is.
    assert rig.proxy.cut() == 2, "one connection, two sides"


async def refuse(rig: Rig, rng: random.Random) -> None:
    """Refuse connections at the broker's port."""
    await rig.proxy.refuse()
    await wait(rng.uniform(1, 4))
    await rig.proxy.listen()


async def black_hole(rig: Rig, rng: random.Random) -> None:
    """Hold all data for longer than the acknowledgement timeout; connections stay open."""
    known = len(rig.gateway.log)
    rig.proxy.hold()
    passed = rig.proxy.passed
    await wait(_ACK_TIMEOUT_S + rng.uniform(0.5, 2))
    await rig.gateway.logged("retrying", since=known, reason="broker_stalled")
    assert rig.proxy.passed == passed, "data has passed"
    rig.proxy.release()


async def hiccup(rig: Rig, rng: random.Random) -> None:
    """Hold all data for less than that: some samples go to disk, and are acknowledged later."""
    rig.proxy.hold()
    passed = rig.proxy.passed
    await wait(rng.uniform(2, 5))
    assert rig.proxy.passed == passed, "data has passed"
    rig.proxy.release()


async def latency(rig: Rig, rng: random.Random) -> None:
    """Delay all data by half a second in each direction."""
    rig.proxy.delay_s = 0.5
    since = time.monotonic_ns()
    await wait(rng.uniform(2, 4))
    delayed = [d for d in rig.ledger.deliveries[-200:] if d.mono_ns > since + 10**9]
    assert delayed, "nothing has arrived"
    fast = [d for d in delayed if d.mono_ns - rig.ledger.accepted_at.get(d.key, 0) < 0.45e9]
    assert not fast, fast
    rig.proxy.delay_s = 0.0


async def one_byte(rig: Rig, rng: random.Random) -> None:
    """Forward every byte on its own."""
    rig.proxy.one_byte = True
    passed = rig.proxy.passed
    await wait(rng.uniform(1, 3))
    assert rig.proxy.passed > passed, "nothing has passed"
    rig.proxy.one_byte = False


# The broker.


async def kill_broker(rig: Rig, rng: random.Random) -> None:
    """Kill the broker and start a new one."""
    known = len(rig.gateway.log)
    await rig.broker.kill()
    rig.ledger.broker_killed()
    rig.listener.forget_subscription()
    await rig.gateway.logged("retrying", since=known, service="mqtt")
    await wait(rng.uniform(0, 2))
    # The gateway may reconnect only when there is a subscriber again: the broker discards messages
    # without a subscriber.
    await rig.proxy.refuse()
    await rig.broker.start()
    await rig.listener.subscribed()
    await rig.proxy.listen()


async def freeze_broker(rig: Rig, rng: random.Random) -> None:
    """Freeze the broker (SIGSTOP) for longer than the acknowledgement timeout."""
    known = len(rig.gateway.log)
    rig.broker.freeze()
    deliveries = len(rig.ledger.deliveries)
    await wait(_ACK_TIMEOUT_S + rng.uniform(0.5, 2))
    assert len(rig.ledger.deliveries) - deliveries < 200, "it still delivers"
    await rig.gateway.logged("retrying", since=known, reason="broker_stalled")
    rig.broker.thaw()


async def wrong_password(rig: Rig, rng: random.Random) -> None:
    """The broker rejects the gateway's password for a while."""
    known = len(rig.gateway.log)
    await rig.broker.change_password("changed")
    rig.proxy.cut()
    await rig.gateway.logged("retrying", since=known, reason="credentials_refused")
    await wait(rng.uniform(0, 3))
    await rig.broker.change_password(GATEWAY_PASSWORD)


async def deny_topic(rig: Rig, rng: random.Random) -> None:
    """The broker refuses the topics of one stream; the other streams flow."""
    strap = rng.choice(STRAPS)
    topic = f"healthd/{GATEWAY}/device/{strap}/heart_rate"
    events = len(rig.ledger.events)
    await rig.broker.deny(topic, f"{topic}/history")
    await rig.wait_for_event("outbox", since=events, change="parked")
    known = len(rig.ledger.deliveries)
    await wait(rng.uniform(0.5, 2))
    new = rig.ledger.deliveries[known:]
    live = {delivery.key.peripheral for delivery in new if not delivery.history}
    assert live & set(STRAPS) == set(STRAPS) - {strap}, live
    await rig.broker.deny()
    await rig.wait_for_event("outbox", since=events, change="unparked", detail=topic)


async def client_id_takeover(rig: Rig, rng: random.Random) -> None:
    """Another client repeatedly connects with the gateway's client id.

    mosquitto 2.0 gives no reason, so healthd says so only after 40 s.
    """
    known = len(rig.gateway.log)
    async with DuplicateClient(rig.broker.port, rig.proxy.client_id):
        await rig.gateway.logged("retrying", since=known, at_most=90, reason="taken_over")


# The radio.


async def drop_link(rig: Rig, rng: random.Random) -> None:
    """End the link of a strap."""
    strap = rng.choice(STRAPS)
    gaps = len(rig.ledger.gaps)
    rig.gateway.send_command(f"drop {strap}")
    await rig.wait_for_event("gap", since=gaps, reason="link_lost", peripheral=strap)


async def silence(rig: Rig, rng: random.Random) -> None:
    """A strap stays linked but sends nothing for longer than its ``silence`` setting."""
    strap = rng.choice(STRAPS)
    events = len(rig.ledger.events)
    rig.gateway.send_command(f"silence {strap}")
    await wait(2.5)
    rig.gateway.send_command(f"resume {strap}")
    await rig.wait_for_event("gap", since=events, reason="stalled", peripheral=strap)
