"""A short run of each kind of fault with fixed seeds; `python -m tests.chaos` is the long run."""

import asyncio

import pytest

from tests.chaos import faults
from tests.chaos.conftest import Start, assert_nothing_lost, inject, inject_in_parallel
from tests.chaos.ledger import GATEWAY
from tests.chaos.plan import STRAPS, Plan
from tests.support.mosquitto import needs_mosquitto

pytestmark = [needs_mosquitto, pytest.mark.timeout(120)]

# The maximum number of samples that healthd has in flight.
_WINDOW = 20


async def test_kill(start: Start) -> None:
    kills = (faults.kill, faults.kill_in_outage)
    rigs = await inject_in_parallel(start, (Plan(), kills), (Plan(write="through"), kills))
    for rig in rigs:
        # For each kill one of the heart rate and one of the battery.
        assert rig.ledger.reasons()["unclean_stop"] == 2 * len(STRAPS) * 2
        # The gap event comes before the first sample of its stream.
        keys = [sample.key for sample in rig.ledger.accepted if sample.key.run == rig.gateway.run]
        streams = [key.stream for key in keys if key.stream in ("event/gap", "heart_rate")]
        assert streams[0] == "event/gap"


async def test_kill_right_after_the_start(start: Start) -> None:
    await inject(await start(Plan()), faults.kill_twice)


async def test_clean_stop_loses_nothing(start: Start) -> None:
    stops = (faults.stop, faults.stop_in_outage)
    for rig in await inject_in_parallel(start, (Plan(), stops), (Plan(write="through"), stops)):
        assert not rig.ledger.crashes, "a crash would allow samples to be missing"
        assert set(rig.ledger.reasons()) == {"stopped"}


async def test_network_and_radio_faults(start: Start) -> None:
    *networks, radio = await inject_in_parallel(
        start,
        (Plan(), (faults.cut, faults.refuse, faults.hiccup)),
        (Plan(write="through"), (faults.latency, faults.one_byte, faults.freeze_gateway)),
        (Plan(), (faults.drop_link, faults.silence, faults.drop_link)),
        seed=2,
    )
    for rig in networks:
        assert not rig.ledger.gaps, "network faults must cause no gap"
    assert set(radio.ledger.reasons()) == {"link_lost", "stalled"}


async def test_stalls_and_outbox_quota(start: Start) -> None:
    async with asyncio.TaskGroup() as tasks:
        stalls = (Plan(), (faults.black_hole,)), (Plan(write="through"), (faults.freeze_broker,))
        tasks.create_task(inject_in_parallel(start, *stalls))
        tasks.create_task(_exceed_the_quota(start))


async def _exceed_the_quota(start: Start) -> None:
    """Exceed the outbox's quota: the oldest samples are lost, and gap events name all of them."""
    # Below the share of a link, so that nothing is left out.
    rig = await start(Plan(rate=80, max_size="1MB"))
    await rig.proxy.refuse()
    await rig.gateway.logged("samples lost", at_most=90)
    await faults.wait(1)
    await rig.proxy.listen()
    await rig.wait_for_flow()
    verdict = await rig.verdict(30)
    assert verdict.good, str(verdict)
    assert verdict.named > 0
    # Samples in flight when the connection was cut may have arrived; healthd cannot know.
    assert verdict.overclaimed <= _WINDOW, str(verdict)


async def test_kill_of_the_broker(start: Start) -> None:
    kill = (faults.kill_broker,)
    await inject_in_parallel(start, (Plan(), kill), (Plan(persistent=True), kill))


async def test_refusals_of_the_broker(start: Start) -> None:
    await inject_in_parallel(
        start,
        (Plan(), (faults.wrong_password,)),
        (Plan(), (faults.deny_topic,)),
        (Plan(), (faults.client_id_takeover,)),
    )


async def test_denied_topic_with_latency(start: Start) -> None:
    """Samples stay in order even if refusals arrive late, while newer samples are in flight."""
    # The live window can carry this rate with such a latency, but not more.
    rig = await start(Plan(rate=8))
    topic = f"healthd/{GATEWAY}/device/strap-1/heart_rate"
    rig.proxy.delay_s = 0.3
    await rig.broker.deny(topic)
    await rig.wait_for_event("outbox", change="parked")
    await faults.wait(2)
    await rig.broker.deny()
    await rig.wait_for_event("outbox", change="unparked", detail=topic)
    rig.proxy.delay_s = 0.0
    await rig.wait_for_flow()
    await assert_nothing_lost(rig)


async def test_broker_that_refuses_large_messages(start: Start) -> None:
    rig = await start(Plan())
    refused = rig.proxy.refused
    # Between a sample without and one with two RR intervals.
    await rig.broker.limit(180)
    await rig.wait_for_event("outbox", change="parked")
    await faults.wait(1)
    assert rig.proxy.refused > refused
    await rig.broker.limit(0)
    await rig.wait_for_event("outbox", change="unparked")
    await rig.wait_for_flow()
    await assert_nothing_lost(rig)


async def test_messages_dropped_by_a_broker_quota_are_not_refusals(start: Start) -> None:
    """mosquitto acknowledges messages that it then drops because of ``max_queued_messages``.

    healthd cannot detect that, but it must not take it for a refusal either.
    """
    rig = await start(Plan(broker_options="max_queued_messages 1\nmax_inflight_messages 1\n"))
    await rig.wait_for_flow()
    assert rig.proxy.refused == 0
    assert not any(event.kind == "outbox" for event in rig.ledger.events)
