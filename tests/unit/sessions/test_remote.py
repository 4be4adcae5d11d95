"""Requests from several clients at a time, and requests that fail; over real GATT."""

import asyncio
import struct

import pytest
from bumble.att import ATT_Error

from healthd.sessions.control_point import Busy
from healthd.simulator.attributes import notifying, service, writeable
from healthd.simulator.feed import paced
from healthd.simulator.part import Part
from healthd.simulator.strap import heart_rate_part
from healthd.verbs import RequestRefused, ResetEnergyExpended, Start
from tests.support.stage import BOUND_S, cancel
from tests.unit.sessions.gym import (
    CONTROL,
    FLAT,
    POWER,
    Gym,
    Play,
    now,
    play,
    power,
    resistance,
    stop,
    streaming,
)

__all__ = ["play"]

POWER_300 = bytes.fromhex("052c01")
ENERGY = ResetEnergyExpended(peripheral="machine")


def test_procedures_do_not_overlap_and_get_their_own_answers(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.machine.control.oddities[POWER] = None
        one, other = gym.asking(power()), gym.asking(resistance())
        await gym.written(2)
        await asyncio.sleep(3)
        # The second request waits; answers to other opcodes do not end the first one.
        gym.answer(4)
        gym.answer(CONTROL)
        await asyncio.sleep(1)
        assert gym.commands == [b"\x00", bytes.fromhex("052c01")]
        assert not one.done()
        gym.answer(POWER)
        assert (await one)["power_w"] == 300
        assert (await other)["resistance_level"] == 50
        assert gym.commands[2:] == [bytes.fromhex("04f401")]
        assert gym.changes == ["granted", "set", "set"]

    play(body)


def test_a_refused_request_does_not_affect_the_others(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.slow(1, POWER)
        tasks = [
            gym.asking(request)
            for _ in range(3)
            for request in (power(), power(5000), resistance(5000), resistance())
        ]
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(one, RequestRefused) for one in done] == [False, True, True, False] * 3
        assert gym.changes == ["granted", *["set", "refused", "refused", "set"] * 3]

    play(body)


def test_a_request_whose_turn_does_not_come_is_refused(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.slow(4, CONTROL, POWER)
        one = gym.asking(power())
        await gym.written(1)
        began = now()
        # A machine is not moved later than that: who asked may have left it.
        assert "took more than 5 s; try again" in await gym.refused(resistance())
        assert now() - began == pytest.approx(5)
        await one
        await asyncio.sleep(1)
        assert gym.commands == [b"\x00", bytes.fromhex("052c01")]
        assert gym.reports == [
            ("granted", "set_target_power", None),
            ("refused", "set_target_resistance", "busy"),
            ("set", "set_target_power", None),
        ]

    play(body)


def test_a_cancelled_request_is_skipped_unless_it_has_begun(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.slow(2, POWER)
        one, other = gym.asking(power()), gym.asking(resistance())
        await gym.written(2)
        await cancel(other)
        await cancel(one)
        await gym.wait_for("set")
        assert gym.bike.control.permitted
        gym.forget()
        # The machine is held, and released in time.
        await gym.wait_for("released")
        assert gym.changes == ["released"]
        assert not [command for command in gym.commands if command[0] == 4]

    play(body)


def test_a_stop_cancels_the_waiting_requests(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.slow(2, POWER)
        one = gym.asking(power())
        await gym.written(2)
        waiting = [gym.asking(Start(peripheral="machine")), gym.asking(resistance())]
        await asyncio.sleep(0)
        stopping = [gym.asking(stop()), gym.asking(stop())]
        await asyncio.wait([one, *waiting, *stopping])
        assert [str(task.exception()) for task in waiting] == [
            "machine: cancelled by a request to stop"
        ] * 2
        # The machine has not answered yet, and is stopped nevertheless, once for both.
        assert str(one.exception()) == "machine: cancelled by a request to stop"
        assert [task.exception() for task in stopping] == [None] * 2
        assert gym.commands == [b"\x00", POWER_300, b"\x08\x01", FLAT, b"\x01"]
        assert not [command for command in gym.commands if command[0] in (4, 7)]
        assert (gym.bike.workout.running, gym.bike.control.permitted) == (False, False)

    play(body)


def test_a_request_waits_for_the_control_point(play: Play) -> None:
    async def body(gym: Gym) -> None:
        point = gym.points.of("2ad9")
        async with point.turn():
            with pytest.raises(Busy):
                async with point.turn(1):
                    raise AssertionError("two callers have the turn")
            assert "in use for 5 s" in await gym.refused(power())
            asking = gym.asking(power())
            await asyncio.sleep(3)
            assert gym.commands == []
        assert (await asking)["power_w"] == 300

    play(body)


def test_a_bug_ends_the_session_and_the_request(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a bug")

    async def body(gym: Gym) -> None:
        monkeypatch.setattr("healthd.sessions.trainer.command", broken)
        assert await gym.refused(power())
        with pytest.raises(KeyError):
            await gym.running
        assert gym.changes == ["refused"]

    play(body)


class Counting:
    """A heart that counts one kilojoule with each packet."""

    energy_kj = 100

    def payload(self, elapsed: float) -> bytes:
        self.energy_kj += 1
        return struct.pack("<BBH", 0b01000, 60, self.energy_kj)

    def reset_energy(self) -> None:
        self.energy_kj = 0


async def test_the_energy_counter_of_a_strap_is_reset() -> None:
    async with asyncio.timeout(BOUND_S), streaming([heart_rate_part(Counting(), 0.05)]) as found:
        stage, _, session, _ = found

        def counted() -> list[int]:
            values = [value for _, uuid, value in stage.watcher.values if uuid == "2a37"]
            return [struct.unpack_from("<H", value, 2)[0] for value in values]

        assert counted()[-1] > 100
        assert await session.remote.ask(ENERGY) == {}
        await stage.watcher.until(lambda: counted()[-1] < 100)
        assert stage.watcher.control == [
            {"peripheral": "machine", "change": "reset", "verb": "reset_energy_expended"}
        ]
        with pytest.raises(RequestRefused, match="no fitness machine control point"):
            await session.remote.ask(power())
        assert stage.watcher.control[-1]["reason"] == "not_supported"


def strap(*, resets: bool) -> Part:
    """Make a strap without an energy counter: without a control point, or with one that refuses."""

    def refuse(_: bytes) -> None:
        raise ATT_Error(0x80)

    rate = notifying(0x2A37)
    control = [writeable(0x2A39, refuse)] if resets else []
    payloads = {rate: paced(lambda _: [b"\x00\x40"], 0.05)}
    return Part(service(0x180D, [rate, *control]), payloads, advertised=True)


@pytest.mark.parametrize(
    ("resets", "text", "reason"),
    [(False, "no heart rate control point", "not_supported"), (True, "0x80", "gatt_error")],
)
async def test_a_strap_without_an_energy_counter_refuses(
    resets: bool, text: str, reason: str
) -> None:
    async with asyncio.timeout(BOUND_S), streaming([strap(resets=resets)]) as found:
        stage, _, session, running = found
        with pytest.raises(RequestRefused, match=text):
            await session.remote.ask(ENERGY)
        (event,) = stage.watcher.control
        assert (event["change"], event["reason"]) == ("refused", reason)
        assert not running.done()
