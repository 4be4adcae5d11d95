"""Straps -> daemon -> broker -> independent subscriber: every sample, in order, across faults."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from healthd.simulator.broker import EmbeddedBroker
from tests.end_to_end.strap_rig import Strap, StrapRig
from tests.support.gate import Gate

# In a default run, straps send faster than in reality; in a soak they send like real ones.
SHORT_S, SHORT_PERIOD_S, SOAK_PERIOD_S = 6.0, 0.05, 1.0


STATUS = "healthd/gateway/status"


async def test_every_fault_is_reported_and_recovered_from(
    broker: EmbeddedBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    measured: Callable[[str], None],
) -> None:
    rig = StrapRig(
        tmp_path,
        broker.port,
        monkeypatch,
        straps=5,
        period_s=SHORT_PERIOD_S,
        silence={3: "1s"},
    )
    async with rig:
        dropping, vanishing, silent, late, undisturbed = rig.straps.values()
        for strap in (dropping, vanishing, silent, undisturbed):
            await strap.peripheral.appear()
        await rig.until_streaming(dropping, vanishing, silent, undisturbed)
        await asyncio.gather(
            check_drop(rig, dropping),
            check_out_of_range(rig, vanishing),
            check_silence(rig, silent),
            check_late_appearance(rig, late),
        )
        assert undisturbed.link_ends == []
        assert undisturbed.lost_on_air() == []
        await rig.until_received(undisturbed, 5)
        await rig.stop()
        rig.check()
        measured(rig.summary())


async def check_drop(rig: StrapRig, strap: Strap) -> None:
    since = len(rig.subscriber.messages)
    await strap.peripheral.drop()
    await rig.until_recovered(strap)
    await rig.until_published(strap, since, b"offline", state="waiting", reason="link_lost")
    await rig.until_published(strap, since, b"online", state="streaming")
    assert len(strap.link_ends) == 1


async def check_out_of_range(rig: StrapRig, strap: Strap) -> None:
    since = len(rig.subscriber.messages)
    await strap.peripheral.vanish()
    await rig.until_published(strap, since, b"offline", state="searching")
    assert strap.peripheral.unlinked.is_set()
    away = len(strap.received)
    since = len(rig.subscriber.messages)
    await strap.peripheral.appear()
    assert len(strap.received) == away
    await rig.until_recovered(strap)
    await rig.until_published(strap, since, b"online", state="streaming")


async def check_silence(rig: StrapRig, strap: Strap) -> None:
    since = len(rig.subscriber.messages)
    sent = len(strap.sent)
    strap.peripheral.go_silent()
    await rig.until_published(strap, since, b"offline", state="waiting", reason="stalled")
    # The link was up all the time, and nothing was sent over it.
    assert len(strap.sent) == sent
    since = len(rig.subscriber.messages)
    strap.peripheral.resume()
    await rig.until_recovered(strap)
    await rig.until_published(strap, since, b"online", state="streaming")
    assert strap.link_ends


async def check_late_appearance(rig: StrapRig, strap: Strap) -> None:
    await rig.until_published(strap, 0, b"offline", state="searching")
    assert strap.sent == []
    since = len(rig.subscriber.messages)
    await strap.peripheral.appear()
    await rig.until_recovered(strap)
    await rig.until_published(strap, since, b"online", state="streaming")


@pytest.mark.timeout(90)
async def test_an_absent_broker_loses_no_sample(
    broker: EmbeddedBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    measured: Callable[[str], None],
) -> None:
    async with Gate(broker.port) as gate:
        await gate.open()
        rig = StrapRig(
            tmp_path,
            broker.port,
            monkeypatch,
            straps=3,
            period_s=SHORT_PERIOD_S,
            daemon_port=gate.port,
        )
        async with rig:
            straps = list(rig.straps.values())
            await rig.appear()
            await rig.until_streaming(*straps)
            for values_meanwhile in (5, 80):  # a moment, and longer than memory alone keeps
                before = len(rig.subscriber.messages)
                if values_meanwhile == 5:
                    # Acknowledgements are lost, and then samples too; in the end more samples wait
                    # than may be unacknowledged at once.
                    gate.hold(answers_alone=True)
                    await rig.until_received(straps[0], 2)
                    gate.hold()
                    await rig.until_received(straps[0], 12)
                await gate.cut()
                await rig.subscriber.until_payload(STATUS, b"offline", since=before)
                seen = len(rig.subscriber.messages)
                await rig.until_received(straps[0], values_meanwhile)
                assert len(rig.subscriber.messages) == seen
                await gate.open()
                # The pause between two tries grows.
                await rig.subscriber.until_payload(STATUS, b"online", since=seen, at_most=40)
                await rig.until_delivered()
            assert all(rig.delivered(strap).history for strap in straps)
            await rig.stop()
            rig.check()
            measured(rig.summary())
            # Samples without an acknowledgement were delivered again, with their old ids.
            assert sum(rig.delivered(strap).duplicates for strap in straps) >= 1


@pytest.mark.untraced
async def test_soak(
    broker: EmbeddedBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    measured: Callable[[str], None],
    soak_seconds: float | None,
) -> None:
    lasting_s = soak_seconds or SHORT_S
    period_s = SOAK_PERIOD_S if soak_seconds else SHORT_PERIOD_S
    rig = StrapRig(tmp_path, broker.port, monkeypatch, straps=5, period_s=period_s)
    async with rig:
        straps = list(rig.straps.values())
        await rig.appear()
        await rig.until_streaming(*straps)
        started = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks:
            for number, strap in enumerate(straps):
                # Never two at once: each strap drops once in each half.
                turns = [lasting_s * (half + number / len(straps)) / 2 for half in (0, 1)]
                tasks.create_task(drops(rig, strap, [started + turn for turn in turns]))
            tasks.create_task(until(started + lasting_s))
        await rig.stop()
        rig.check()
        measured(rig.summary())
        assert [len(strap.link_ends) for strap in straps] == [3] * len(straps)  # and the stop
        assert [len(strap.recoveries_s) for strap in straps] == [2] * len(straps)
        for strap in straps:
            # No strap was silent for long: at least half of what it can send has arrived.
            assert len(strap.received) > lasting_s / period_s / 2


async def drops(rig: StrapRig, strap: Strap, times: list[float]) -> None:
    for at in times:
        await until(at)
        since = len(rig.subscriber.messages)
        await strap.peripheral.drop()
        await rig.until_recovered(strap)
        await rig.until_published(strap, since, b"offline", reason="link_lost")
        await rig.until_published(strap, since, b"online", state="streaming")


async def until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))
