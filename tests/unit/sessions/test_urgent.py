"""What cannot wait: stops, releases, the end of a lease; and what must not come late (D7)."""

import asyncio
from typing import Any

import pytest
from bumble.att import ATT_Error

from healthd.central.faults import LinkLost
from healthd.simulator.fitness.treadmill import Treadmill
from healthd.verbs import Release, SetTargetPower, Start
from tests.support.stage import cancel
from tests.unit.sessions.gym import (
    CONTROL,
    FLAT,
    LEASE_S,
    POWER,
    RESISTANCE,
    ROAD,
    SPEED,
    STOP,
    Gym,
    Play,
    now,
    play,
    power,
    resistance,
    speed,
    stop,
)

__all__ = ["play"]

GO = Start(peripheral="machine")
STOPPED = b"\x08\x01"


def release() -> Release:
    return Release(peripheral="machine")


def old(seconds: float) -> SetTargetPower:
    request = power()
    request.note_age(seconds)
    return request


def test_a_request_that_expires_before_its_turn_is_refused(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.slow(2, POWER)
        one = gym.asking(power())
        await gym.written(2)
        brief = resistance()
        brief.note_expiry(now() + 1)
        assert "has expired while it waited" in await gym.refused(brief)
        await one
        assert not [command for command in gym.commands if command[0] == RESISTANCE]

    play(body)


def stall(seconds: float) -> None:
    """Let time pass in which the event loop does not run."""
    loop: Any = asyncio.get_running_loop()
    loop.selector.now += seconds


def test_a_stop_does_not_wait_for_an_answer(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.machine.control.oddities[POWER] = None
        asking = gym.asking(power())
        await gym.written(2)
        began = now()
        await gym.ask(stop())
        assert now() - began < 1
        assert gym.commands[2:] == [STOPPED, FLAT, b"\x01"]
        assert str(asking.exception()) == "machine: cancelled by a request to stop"

    play(body)


@pytest.mark.parametrize("answer", [None, 5], ids=["silent", "refused"])
def test_a_machine_without_control_is_stopped_nevertheless(play: Play, answer: int | None) -> None:
    async def body(gym: Gym) -> None:
        gym.machine.control.oddities |= {CONTROL: answer, STOP: 1}
        began = now()
        await gym.ask(stop())
        assert now() - began < 3
        assert gym.commands[:2] == [b"\x00", STOPPED]
        assert gym.changes[0] == "stopped"

    play(body)


def test_a_stop_that_is_not_answered_is_an_error_and_a_release(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        gym.machine.control.oddities[STOP] = None
        assert "the machine did not answer: 0801: no answer" in await gym.refused(stop())
        assert (gym.bike.target_w, gym.bike.control.permitted) == (None, False)

    play(body)


def test_a_release_gives_up_control_and_says_whether_it_was_held(play: Play) -> None:
    async def body(gym: Gym) -> None:
        assert await gym.ask(release()) == {"released": False}
        assert gym.commands == []
        await gym.ask(power())
        gym.forget()
        waiting = gym.asking(release()), gym.asking(release())
        assert await asyncio.gather(*waiting) == [{"released": True}] * 2
        # Nothing is stopped that the end of the lease would not stop.
        assert gym.commands == [FLAT, b"\x01"]
        assert gym.reports == [("released", None, "request")]
        await cancel(gym.running)
        assert await gym.ask(release()) == {"released": False}

    play(body)


def test_a_stop_does_not_wait_for_a_release(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        gym.machine.control.oddities[ROAD] = None
        releasing = gym.asking(release())
        await gym.written(3)
        assert await gym.ask(stop()) == {}
        assert STOPPED in gym.commands[3:4]
        assert await releasing == {}

    play(body)


def test_the_reset_is_written_within_a_second_of_the_lease(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        began = now()
        gym.machine.control.oddities[ROAD] = None
        await gym.wait_for("released")
        assert gym.commands[-1] == b"\x01"
        assert LEASE_S <= now() - began < LEASE_S + 1

    play(body)


def test_a_request_is_too_old_when_it_comes_in(play: Play) -> None:
    async def body(gym: Gym) -> None:
        assert "6.0 s old, expected less than 5 s" in await gym.refused(old(6))
        assert gym.commands == []
        # A stop has no age.
        request = stop()
        request.note_age(600)
        assert await gym.ask(request) == {}

    play(body)


def test_a_request_becomes_too_old_before_it_is_written(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.slow(2, CONTROL)
        assert "expected less than 5 s" in await gym.refused(old(4))
        assert gym.commands == [b"\x00"]
        assert gym.reports[-1] == ("refused", "set_target_power", "too_old")

    play(body)


def test_a_request_from_before_a_stop_does_not_move_the_machine(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(stop())
        gym.forget()
        assert "made before a request to stop that came first" in await gym.refused(old(3))
        assert gym.commands == []

    play(body)


def test_after_a_stall_the_machine_is_released_and_what_waited_is_refused(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power(100))
        gym.forget()
        gym.machine.control.oddities[POWER] = None
        tasks = [gym.asking(power(200)), gym.asking(resistance()), gym.asking(GO)]
        await gym.written(1)
        stall(LEASE_S + 10)
        await asyncio.wait(tasks)
        await gym.wait_for("released")
        assert gym.commands == [bytes.fromhex("05c800"), FLAT, b"\x01"]
        assert all(isinstance(task.exception(), Exception) for task in tasks)
        assert gym.bike.target_w is None

    play(body)


def test_a_short_stall_refuses_what_waited(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.slow(0.3, POWER)
        one, other = gym.asking(power()), gym.asking(resistance())
        await gym.written(2)
        stall(3)
        await asyncio.wait([one, other])
        assert "stood still while the request waited" in str(other.exception())
        assert not [command for command in gym.commands if command[0] == 4]

    play(body)


def test_a_start_after_a_lost_link_forgets_the_target_of_before(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        await gym.peripheral.drop()
        with pytest.raises(LinkLost):
            await gym.running
        assert gym.bike.target_w == 300
        gym.forget()
        again = asyncio.create_task(gym.session.run(lambda: None))
        await gym.watcher.more("2ad2", 1)
        # Nothing is set by the new link itself.
        assert gym.commands == []
        await gym.ask(GO)
        assert gym.commands == [b"\x00", b"\x01", b"\x00", b"\x07"]
        assert gym.bike.target_w is None
        await cancel(again)

    play(body)


@pytest.mark.parametrize(
    ("result", "said"), [(4, "stopped again"), (5, "stopped again")], ids=["failed", "no control"]
)
def test_a_belt_that_does_not_start_slowly_is_stopped(play: Play, result: int, said: str) -> None:
    async def body(gym: Gym) -> None:
        gym.machine.control.oddities[SPEED] = result
        assert said in await gym.refused(GO)
        assert not gym.machine.workout.running

    play(body, Treadmill)


@pytest.mark.parametrize("busy", [1, 9], ids=["at first", "always"])
def test_a_belt_that_refuses_to_be_written_starts_slowly_or_is_stopped(
    play: Play, busy: int
) -> None:
    async def body(gym: Gym) -> None:
        def refuse(request: bytes) -> None:
            gym.commands.append(request)
            if request[0] == SPEED and gym.commands.count(request) <= busy:
                raise ATT_Error(0xFE)

        gym.machine.control.record = refuse
        if busy > 1:
            assert "stopped again" in await gym.refused(GO)
        else:
            await gym.ask(GO)
        assert gym.machine.workout.running is (busy == 1)

    play(body, Treadmill)


def test_a_belt_that_counts_down_starts_slowly(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.machine.control.oddities[SPEED] = 4
        asking = gym.asking(GO)
        await gym.written(5)
        gym.machine.control.oddities.clear()
        await asking
        assert isinstance(gym.machine, Treadmill)
        assert gym.machine.target_mps == pytest.approx(80 / 360)
        await gym.ask(speed(2))

    play(body, Treadmill)
