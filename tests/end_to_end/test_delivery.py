"""Straps -> daemon -> broker -> independent subscriber: every sample, in order, across faults."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from healthd.simulator.broker import EmbeddedBroker
from tests.end_to_end.ward import Strap, Ward
from tests.support.gate import Gate

# A default run is short and its straps send faster; a soak's send as real ones do.
SHORT_S, SHORT_PERIOD_S, SOAK_PERIOD_S = 6.0, 0.05, 1.0


STATUS = "healthd/gateway/status"


async def test_every_fault_is_seen_and_recovered_from(
    broker: EmbeddedBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    measured: Callable[[str], None],
) -> None:
    ward = Ward(
        tmp_path,
        broker.port,
        monkeypatch,
        straps=5,
        period_s=SHORT_PERIOD_S,
        silence={3: "1s"},
    )
    async with ward:
        dropping, vanishing, silent, late, undisturbed = ward.straps.values()
        for strap in (dropping, vanishing, silent, undisturbed):
            await strap.peripheral.appear()
        await ward.streaming(dropping, vanishing, silent, undisturbed)
        await asyncio.gather(
            a_drop(ward, dropping),
            going_out_of_range(ward, vanishing),
            falling_silent(ward, silent),
            appearing_late(ward, late),
        )
        assert undisturbed.link_ends == []
        assert undisturbed.lost_on_air() == []
        await ward.received_more(undisturbed, 5)
        await ward.stop()
        ward.check()
        measured(ward.summary())


async def a_drop(ward: Ward, strap: Strap) -> None:
    since = len(ward.subscriber.messages)
    await strap.peripheral.drop()
    await ward.recovers(strap)
    await ward.told(strap, since, b"offline", state="waiting", reason="link_lost")
    await ward.told(strap, since, b"online", state="streaming")
    assert len(strap.link_ends) == 1


async def going_out_of_range(ward: Ward, strap: Strap) -> None:
    since = len(ward.subscriber.messages)
    await strap.peripheral.vanish()
    await ward.told(strap, since, b"offline", state="searching")
    assert strap.peripheral.unlinked.is_set()
    away = len(strap.received)
    since = len(ward.subscriber.messages)
    await strap.peripheral.appear()
    assert len(strap.received) == away
    await ward.recovers(strap)
    await ward.told(strap, since, b"online", state="streaming")


async def falling_silent(ward: Ward, strap: Strap) -> None:
    since = len(ward.subscriber.messages)
    sent = len(strap.sent)
    strap.peripheral.go_silent()
    await ward.told(strap, since, b"offline", state="waiting", reason="stalled")
    # The link was up all the time, and nothing came over it.
    assert len(strap.sent) == sent
    since = len(ward.subscriber.messages)
    strap.peripheral.resume()
    await ward.recovers(strap)
    await ward.told(strap, since, b"online", state="streaming")
    assert strap.link_ends


async def appearing_late(ward: Ward, strap: Strap) -> None:
    await ward.told(strap, 0, b"offline", state="searching")
    assert strap.sent == []
    since = len(ward.subscriber.messages)
    await strap.peripheral.appear()
    await ward.recovers(strap)
    await ward.told(strap, since, b"online", state="streaming")


@pytest.mark.timeout(90)
async def test_a_broker_that_is_away_costs_no_sample(
    broker: EmbeddedBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    measured: Callable[[str], None],
) -> None:
    async with Gate(broker.port) as gate:
        await gate.open()
        ward = Ward(
            tmp_path,
            broker.port,
            monkeypatch,
            straps=3,
            period_s=SHORT_PERIOD_S,
            daemon_port=gate.port,
        )
        async with ward:
            straps = list(ward.straps.values())
            await ward.appear()
            await ward.streaming(*straps)
            for values_meanwhile in (5, 80):  # a moment, and longer than memory alone keeps
                before = len(ward.subscriber.messages)
                if values_meanwhile == 5:
                    # Acknowledgements are lost under way, and then samples too; in the end more
                    # wait than may be with the broker at once.
                    gate.hold(answers_alone=True)
                    await ward.received_more(straps[0], 2)
                    gate.hold()
                    await ward.received_more(straps[0], 12)
                await gate.cut()
                await ward.subscriber.until_payload(STATUS, b"offline", since=before)
                seen = len(ward.subscriber.messages)
                await ward.received_more(straps[0], values_meanwhile)
                assert len(ward.subscriber.messages) == seen
                await gate.open()
                # The pause between its tries grows with each.
                await ward.subscriber.until_payload(STATUS, b"online", since=seen, at_most=40)
                await ward.caught_up()
            assert all(ward.delivered(strap).history for strap in straps)
            await ward.stop()
            ward.check()
            measured(ward.summary())
            # Those whose acknowledgements were lost were delivered again, under their old ids.
            assert sum(ward.delivered(strap).duplicates for strap in straps) >= 1


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
    ward = Ward(tmp_path, broker.port, monkeypatch, straps=5, period_s=period_s)
    async with ward:
        straps = list(ward.straps.values())
        await ward.appear()
        await ward.streaming(*straps)
        started = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks:
            for number, strap in enumerate(straps):
                # No two at once: each strap's turn comes once in either half.
                turns = [lasting_s * (half + number / len(straps)) / 2 for half in (0, 1)]
                tasks.create_task(drops(ward, strap, [started + turn for turn in turns]))
            tasks.create_task(until(started + lasting_s))
        await ward.stop()
        ward.check()
        measured(ward.summary())
        assert [len(strap.link_ends) for strap in straps] == [3] * len(straps)  # and the stop
        assert [len(strap.recoveries_s) for strap in straps] == [2] * len(straps)
        for strap in straps:
            # Nobody fell silent for a time either: at least half of what such a strap can send.
            assert len(strap.received) > lasting_s / period_s / 2


async def drops(ward: Ward, strap: Strap, times: list[float]) -> None:
    for at in times:
        await until(at)
        since = len(ward.subscriber.messages)
        await strap.peripheral.drop()
        await ward.recovers(strap)
        await ward.told(strap, since, b"offline", reason="link_lost")
        await ward.told(strap, since, b"online", state="streaming")


async def until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))
