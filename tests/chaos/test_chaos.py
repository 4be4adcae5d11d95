"""A short run of every class of fault, with fixed seeds; `-m tests.chaos` is the long one."""

import asyncio

import pytest

from tests.chaos import faults
from tests.chaos.conftest import Start, assert_all_there, at_once, suffer
from tests.chaos.ledger import GATEWAY
from tests.chaos.plan import STRAPS, Plan
from tests.support.mosquitto import needs_mosquitto

pytestmark = [needs_mosquitto, pytest.mark.timeout(120)]

# As many samples as healthd has with the broker at once.
_WINDOW = 20


async def test_kill(start: Start) -> None:
    kills = (faults.kill, faults.kill_in_outage)
    rigs = await at_once(start, (Plan(), kills), (Plan(write="through"), kills))
    for rig in rigs:
        assert rig.ledger.reasons()["unclean_stop"] == 2 * len(STRAPS)
        # The event was put before the first sample of its stream: who reads along is told in time.
        of_run = [one.key for one in rig.ledger.accepted if one.key.run == rig.gateway.run]
        streams = [key.stream for key in of_run if key.stream in ("event/gap", "heart_rate")]
        assert streams[:2] == ["event/gap", "heart_rate"]


async def test_kill_of_one_that_has_just_begun(start: Start) -> None:
    await suffer(await start(Plan()), faults.kill_twice)


async def test_a_clean_stop_loses_nothing(start: Start) -> None:
    stops = (faults.stop, faults.stop_in_outage)
    for rig in await at_once(start, (Plan(), stops), (Plan(write="through"), stops)):
        assert not rig.ledger.crashes, "so nothing was allowed to be missing"
        assert set(rig.ledger.reasons()) == {"stopped"}


async def test_network_and_radio(start: Start) -> None:
    *networks, radio = await at_once(
        start,
        (Plan(), (faults.cut, faults.refuse, faults.hiccup)),
        (Plan(write="through"), (faults.latency, faults.one_byte, faults.freeze_gateway)),
        (Plan(), (faults.drop_link, faults.silence, faults.drop_link)),
        seed=2,
    )
    for rig in networks:
        assert not rig.ledger.gaps, "nothing was missing at any time"
    assert set(radio.ledger.reasons()) == {"link_lost", "stalled"}


async def test_stalls_and_the_quota_of_the_outbox(start: Start) -> None:
    async with asyncio.TaskGroup() as tasks:
        stalls = (Plan(), (faults.black_hole,)), (Plan(write="through"), (faults.freeze_broker,))
        tasks.create_task(at_once(start, *stalls))
        tasks.create_task(_outgrow_the_quota(start))


async def _outgrow_the_quota(start: Start) -> None:
    """What does not fit is lost, oldest first, and named to the last sample."""
    rig = await start(Plan(rate=250, max_size="1MB"))
    await rig.proxy.refuse()
    await rig.gateway.logged("samples lost", at_most=40)
    await faults.wait(1)
    await rig.proxy.listen()
    await rig.flowing()
    verdict = await rig.verdict(30)
    assert verdict.good, str(verdict)
    assert verdict.named > 0
    # What was with the broker when the connection was cut may have arrived, and nobody knows.
    assert verdict.overclaimed <= _WINDOW, str(verdict)


async def test_kill_of_the_broker(start: Start) -> None:
    kill = (faults.kill_broker,)
    await at_once(start, (Plan(), kill), (Plan(persistent=True), kill))


async def test_what_the_broker_will_not_have(start: Start) -> None:
    await at_once(
        start,
        (Plan(), (faults.wrong_password,)),
        (Plan(), (faults.deny_topic,)),
        (Plan(), (faults.twin,)),
    )


async def test_denied_topic_far_away(start: Start) -> None:
    """Refusals that are half a second away meet samples that are parked at once: order is kept."""
    # What the live window carries over such a distance, and no more.
    rig = await start(Plan(rate=8))
    topic = f"healthd/{GATEWAY}/device/strap-1/heart_rate"
    rig.proxy.delay_s = 0.3
    await rig.broker.deny(topic)
    await rig.event("outbox", change="parked")
    await faults.wait(2)
    await rig.broker.deny()
    await rig.event("outbox", change="unparked", detail=topic)
    rig.proxy.delay_s = 0.0
    await rig.flowing()
    await assert_all_there(rig)


async def test_a_broker_that_takes_no_large_messages(start: Start) -> None:
    rig = await start(Plan())
    refused = rig.proxy.refused
    # Between a sample without and one with two RR intervals.
    await rig.broker.limit(180)
    await rig.event("outbox", change="parked")
    await faults.wait(1)
    assert rig.proxy.refused > refused
    await rig.broker.limit(0)
    await rig.event("outbox", change="unparked")
    await rig.flowing()
    await assert_all_there(rig)


async def test_a_quota_of_the_broker_is_its_own_matter(start: Start) -> None:
    """mosquitto acknowledges what it then drops at ``max_queued_messages``: nobody is told.

    So there is nothing that healthd could do; but it must not take it for a refusal either.
    """
    rig = await start(Plan(broker_options="max_queued_messages 1\nmax_inflight_messages 1\n"))
    await rig.flowing()
    assert rig.proxy.refused == 0
    assert not any(event.kind == "outbox" for event in rig.ledger.events)
