"""Machines that take a target resistance in one width only, whatever they say; over real GATT."""

import asyncio

import pytest

from healthd.central.faults import LinkLost
from tests.support.stage import cancel
from tests.unit.sessions.gym import LEASE_S, Gym, Play, play, resistance

__all__ = ["play"]

# The size of a request with one byte for the resistance, with its opcode.
NARROW = 2


def test_a_machine_that_takes_one_byte_is_asked_in_two_widths_once(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.accept_resistance_of(NARROW)
        answer = await gym.ask(resistance(9.3))
        assert answer == {"resistance_level": 9.3, "lease_s": LEASE_S}
        await gym.ask(resistance(10))
        assert gym.commands == [
            b"\x00",
            bytes.fromhex("045d00"),
            bytes.fromhex("045d"),
            bytes.fromhex("0464"),
        ]
        assert gym.changes == ["granted", "set", "set"]

    play(body)


def test_the_width_is_remembered_on_the_next_link(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.accept_resistance_of(NARROW)
        await gym.ask(resistance(9.3))
        await gym.peripheral.drop()
        with pytest.raises(LinkLost):
            await gym.running
        gym.forget()
        again = asyncio.create_task(gym.session.run(lambda: None))
        await gym.watcher.more("2ad2", 1)
        await gym.ask(resistance(9.3))
        assert gym.commands == [b"\x00", bytes.fromhex("045d")]
        await cancel(again)

    play(body)


def test_a_value_that_is_refused_in_both_widths_says_nothing_about_the_machine(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.accept_resistance_of(None)
        refusal = await gym.refused(resistance(9.3))
        assert "the machine answered invalid_parameter to set_target_resistance" in refusal
        gym.accept_resistance_of(NARROW)
        await gym.ask(resistance(9.3))
        assert [command.hex() for command in gym.commands[1:]] == ["045d00", "045d"] * 2
        assert gym.changes == ["granted", "refused", "set"]

    play(body)


def test_a_machine_that_has_accepted_two_bytes_is_not_asked_in_one(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(resistance(9.3))
        gym.accept_resistance_of(None)
        await gym.refused(resistance(10))
        assert [command.hex() for command in gym.commands[1:]] == ["045d00", "046400"]

    play(body)


def test_a_level_that_does_not_fit_into_one_byte_is_not_written_there(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.accept_resistance_of(NARROW)
        await gym.refused(resistance(25.6))
        assert [command.hex() for command in gym.commands[1:]] == ["040001"]

    play(body)
