"""A machine that is held by requests, and released without them; over real GATT."""

import asyncio
import struct

import pytest

from healthd.central.faults import GaveWay, LinkLost
from healthd.sessions.faults import ControlFailed
from healthd.simulator.fitness.treadmill import Treadmill
from healthd.verbs import SetSimulation, Start
from tests.support.stage import cancel
from tests.unit.sessions.gym import (
    CONTROL,
    FLAT,
    LEASE_S,
    POWER,
    RESET,
    ROAD,
    START,
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

HILL = SetSimulation(peripheral="machine", grade_pct=4)
GO = Start(peripheral="machine")


def ridden_w(gym: Gym) -> int:
    """Return the power in the latest record of the bike."""
    record = next(value for _, uuid, value in reversed(gym.watcher.values) if uuid == "2ad2")
    return int(struct.unpack_from("<h", record, 11)[0])


def test_only_the_first_request_asks_for_control(play: Play) -> None:
    async def body(gym: Gym) -> None:
        assert await gym.ask(power()) == {"power_w": 300, "lease_s": LEASE_S}
        assert (gym.bike.target_w, gym.bike.control.permitted) == (300, True)
        assert await gym.ask(resistance()) == {"resistance_level": 50, "lease_s": LEASE_S}
        await gym.ask(HILL)
        assert gym.bike.road.grade_pct == 4
        assert gym.commands == [
            b"\x00",
            bytes.fromhex("052c01"),
            bytes.fromhex("04f401"),
            bytes.fromhex("1100009001 2833"),
        ]
        # The status notifications of the machine.
        assert gym.statuses == [
            bytes.fromhex("082c01"),
            bytes.fromhex("07f401"),
            bytes.fromhex("1200009001 2833"),
        ]
        assert gym.watcher.control[1] == {
            "peripheral": "machine",
            "change": "set",
            "verb": "set_target_power",
            "power_w": 300,
        }
        assert gym.changes == ["granted", "set", "set", "set"]

    play(body)


def test_a_bike_is_released_when_the_lease_expires(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power(400))
        asked = now()
        await gym.watcher.until(lambda: ridden_w(gym) > 390)
        assert now() - asked < LEASE_S
        gym.forget()
        await gym.wait_for("released")
        assert now() - asked == pytest.approx(LEASE_S)
        assert gym.reports == [("released", None, "lease")]
        assert (gym.bike.target_w, gym.bike.control.permitted) == (None, False)
        assert gym.commands == [FLAT, b"\x01"]
        await gym.watcher.until(lambda: gym.statuses[-2:] == [b"\x12" + FLAT[1:], b"\x01"])
        await gym.watcher.until(lambda: ridden_w(gym) < 200)

    play(body)


def test_each_request_renews_the_lease(play: Play) -> None:
    async def body(gym: Gym) -> None:
        for watts in range(200, 240):
            await gym.ask(power(watts))
            await asyncio.sleep(LEASE_S - 1)
            assert gym.bike.target_w == watts
        assert gym.changes == ["granted", *["set"] * 40]
        assert gym.bike.control.permitted

    play(body)


@pytest.mark.parametrize("watts", [1001, -1], ids=["too much", "too little"])
def test_a_refused_request_does_not_renew_the_lease(play: Play, watts: int) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        began = now()
        await asyncio.sleep(LEASE_S / 2)
        gym.forget()
        assert "expected 0 to 1000" in await gym.refused(power(watts))
        assert gym.commands == []
        await gym.wait_for("released")
        assert now() - began == pytest.approx(LEASE_S)
        assert gym.reports[0] == ("refused", "set_target_power", "out_of_range")
        assert gym.watcher.control[0]["detail"].startswith(f"power_w is {watts}, expected 0 to")

    play(body)


def test_a_hanging_procedure_does_not_extend_the_lease(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        began = now()
        await asyncio.sleep(LEASE_S - 3)
        gym.forget()
        gym.machine.control.oddities[POWER] = None
        assert "the lease of 30 s expired before the machine answered" in await gym.refused(
            power(200)
        )
        await gym.wait_for("released")
        assert now() - began == pytest.approx(LEASE_S)
        assert gym.reports == [
            ("refused", "set_target_power", "lease"),
            ("released", None, "lease"),
        ]
        assert gym.bike.target_w is None
        # Nothing is wrong with the machine, so its link stays.
        assert not gym.running.done()

    play(body)


def test_a_machine_that_does_not_answer_is_released_and_disconnected(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        gym.forget()
        gym.machine.control.oddities[POWER] = None
        began = now()
        assert "no answer within 10 s" in await gym.refused(power(200))
        assert now() - began == pytest.approx(10)
        with pytest.raises(ControlFailed):
            await gym.running
        assert gym.reports == [
            ("refused", "set_target_power", "silent"),
            ("released", None, "silent"),
        ]
        assert (gym.bike.target_w, gym.bike.control.permitted) == (None, False)

    play(body)


@pytest.mark.parametrize(
    ("result", "word"),
    [
        (2, "opcode_not_supported"),
        (3, "invalid_parameter"),
        (4, "operation_failed"),
        (9, "result_9"),
    ],
)
def test_a_machine_that_refuses_is_still_held(play: Play, result: int, word: str) -> None:
    async def body(gym: Gym) -> None:
        gym.machine.control.oddities[POWER] = result
        said = await gym.refused(power())
        assert f"answered {word} to set_target_power; it supports 0 to 1000" in said
        assert gym.reports[1:] == [("refused", "set_target_power", word)]
        gym.machine.control.oddities.clear()
        await gym.ask(power())
        assert gym.commands.count(b"\x00") == 1

    play(body)


def test_lost_control_is_requested_again(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        gym.forget()
        gym.machine.control.oddities[POWER] = 5
        assert "control_not_permitted" in await gym.refused(power())
        reason = "control_not_permitted"
        assert gym.reports == [("lost", None, reason), ("refused", "set_target_power", reason)]
        gym.machine.control.oddities.clear()
        gym.forget()
        await gym.ask(power())
        assert gym.commands == [b"\x00", bytes.fromhex("052c01")]
        assert gym.changes == ["granted", "set"]

    play(body)


def test_a_machine_that_does_not_grant_control_gets_no_commands(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.machine.control.oddities[CONTROL] = 4
        assert "does not grant control: it answered operation_failed" in (
            await gym.refused(power())
        )
        await asyncio.sleep(2 * LEASE_S)
        assert gym.commands == [b"\x00"]
        assert gym.reports == [("refused", "set_target_power", "operation_failed")]

    play(body)


def test_a_machine_that_is_used_by_hand_is_not_released(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        gym.forget()
        gym.machine.control.revoke_control()
        await gym.wait_for("lost")
        assert gym.reports == [("lost", None, "permission_lost")]
        await asyncio.sleep(2 * LEASE_S)
        # healthd does not control it any more, and writes nothing until the next request.
        assert gym.commands == []
        await gym.ask(power())
        assert gym.commands == [b"\x00", bytes.fromhex("052c01")]

    play(body)


def test_a_loss_that_is_reported_during_a_release_is_a_release(play: Play) -> None:
    async def body(gym: Gym) -> None:
        record = gym.machine.control.record

        def record_and_report(request: bytes) -> None:
            record(request)
            if request == b"\x01":
                gym.machine.control.status_feed.put(b"\xff")

        gym.machine.control.record = record_and_report
        await gym.ask(power())
        await gym.wait_for("released")
        await gym.watcher.until(lambda: b"\xff" in gym.statuses)
        assert gym.changes == ["granted", "set", "released"]

    play(body)


def test_a_link_that_ends_ends_control(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        await gym.peripheral.drop()
        with pytest.raises(LinkLost):
            await gym.running
        assert gym.reports[2:] == [("lost", None, "link_lost")]
        assert "not connected" in await gym.refused(power())
        gym.forget()
        again = asyncio.create_task(gym.session.run(lambda: None))
        await gym.watcher.more("2ad2", 1)
        await gym.ask(power())
        assert gym.changes == ["granted", "set"]
        assert gym.commands == [b"\x00", bytes.fromhex("052c01")]
        await cancel(again)

    play(body)


def test_requests_are_refused_when_the_link_ends(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        gym.forget()
        gym.machine.control.oddities[POWER] = None
        asking, waiting = gym.asking(power(200)), gym.asking(resistance())
        await gym.written(1)
        await gym.peripheral.drop()
        await asyncio.wait([asking, waiting])
        assert str(asking.exception()) == "machine: the link ended before the device answered"
        assert str(waiting.exception()) == "machine: the link has ended"
        assert sorted(gym.reports, key=str) == [
            ("lost", None, "link_lost"),
            ("refused", "set_target_power", "link_ended"),
            ("refused", "set_target_resistance", "link_ended"),
        ]
        with pytest.raises(LinkLost):
            await gym.running

    play(body)


def test_a_machine_is_released_before_healthd_disconnects(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        gym.forget()
        await cancel(gym.running)
        assert gym.running.cancelled()
        assert gym.commands == [FLAT, b"\x01"]
        assert gym.reports == [("released", None, "hang_up")]
        assert gym.bike.target_w is None

    play(body)


def test_a_machine_is_released_before_its_link_is_given_up(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        gym.forget()
        gym.points.link.give_up(GaveWay())
        with pytest.raises(GaveWay):
            await gym.running
        assert gym.reports == [("released", None, "hang_up")]
        assert (gym.bike.target_w, gym.bike.control.permitted) == (None, False)

    play(body)


def test_a_machine_is_released_during_a_procedure(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.machine.control.oddities[POWER] = None
        asking = gym.asking(power())
        await gym.written(2)
        await cancel(gym.running)
        assert gym.commands[2:] == [FLAT, b"\x01"]
        assert gym.reports == [
            ("granted", "set_target_power", None),
            ("refused", "set_target_power", "link_ended"),
            ("released", None, "hang_up"),
        ]
        await asyncio.wait([asking])
        assert "the link ended before the device answered" in str(asking.exception())

    play(body)


def test_disconnecting_does_not_wait_long_for_a_release(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        gym.forget()
        gym.machine.control.oddities |= {ROAD: None, RESET: None}
        began = now()
        await cancel(gym.running)
        assert now() - began < 4
        assert gym.reports == [("release_failed", None, "hang_up")]
        # Control ends with the link anyway.
        assert not gym.bike.control.permitted

    play(body)


def test_a_machine_that_does_not_confirm_the_release_is_disconnected(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        gym.forget()
        gym.machine.control.oddities[RESET] = 4
        with pytest.raises(ControlFailed, match="does not release control: 01: operation_failed"):
            await gym.running
        assert gym.commands == [FLAT, b"\x01", b"\x01", b"\x01"]
        assert gym.reports == [("release_failed", None, "lease")]
        assert gym.watcher.control[0]["detail"] == "01: operation_failed"
        assert (gym.bike.target_w, gym.bike.control.permitted) == (None, False)

    play(body)


def test_a_release_that_fails_once_is_tried_again(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        gym.forget()
        gym.machine.control.oddities[RESET] = 4
        await gym.written(2)
        gym.machine.control.oddities.clear()
        await gym.wait_for("released")
        assert gym.commands == [FLAT, b"\x01", b"\x01"]
        assert not gym.bike.control.permitted
        assert not gym.running.done()

    play(body)


def test_a_bike_without_road_simulation_is_released_by_the_reset(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        gym.forget()
        gym.machine.control.oddities[ROAD] = 2
        await gym.wait_for("released")
        assert gym.commands == [FLAT, b"\x01"]
        assert gym.watcher.control[0]["detail"] == f"{FLAT.hex()}: opcode_not_supported"
        assert (gym.bike.target_w, gym.bike.control.permitted) == (None, False)

    play(body)


def test_a_stop_releases_a_bike(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(power())
        gym.forget()
        assert await gym.ask(stop()) == {}
        assert gym.commands == [b"\x08\x01", FLAT, b"\x01"]
        assert gym.reports == [("stopped", "stop", None), ("released", None, "stop")]
        assert not gym.bike.workout.running
        await asyncio.sleep(2 * LEASE_S)
        assert len(gym.commands) == 3

    play(body)


def test_a_bike_that_does_not_stop_is_still_released(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.machine.control.oddities[STOP] = 4
        await gym.ask(power())
        gym.forget()
        assert "answered operation_failed to stop" in await gym.refused(stop())
        assert gym.reports == [("released", None, "stop"), ("refused", "stop", "operation_failed")]
        assert (gym.bike.target_w, gym.bike.control.permitted) == (None, False)

    play(body)


def test_a_treadmill_starts_runs_and_stops(play: Play) -> None:
    async def body(gym: Gym) -> None:
        assert isinstance(gym.machine, Treadmill)
        assert await gym.ask(stop()) == {}
        assert not gym.machine.workout.running
        gym.forget()
        assert await gym.ask(GO) == {"lease_s": LEASE_S}
        assert gym.machine.workout.running
        await gym.ask(speed(3.5))
        assert gym.machine.target_mps == pytest.approx(3.5)
        assert gym.reports == [
            ("granted", "start", None),
            ("started", "start", None),
            ("set", "set_target_speed", None),
        ]
        assert await gym.ask(stop()) == {}
        # It has stopped already, so the release does not stop it again.
        # The belt starts slowly, whatever its speed was before: 0.8 km/h.
        slow, fast = bytes.fromhex("025000"), bytes.fromhex("02ec04")
        assert gym.commands == [b"\x00", b"\x07", slow, fast, b"\x08\x01", b"\x01"]
        assert (gym.machine.workout.running, gym.machine.control.permitted) == (False, False)

    play(body, Treadmill)


def test_a_treadmill_stops_when_the_lease_expires(play: Play) -> None:
    async def body(gym: Gym) -> None:
        await gym.ask(speed())
        assert gym.machine.workout.running
        gym.forget()
        await gym.wait_for("released")
        assert gym.commands == [b"\x08\x01", b"\x01"]
        await gym.watcher.until(lambda: gym.statuses[-2:] == [b"\x02\x01", b"\x01"])
        assert (gym.machine.workout.running, gym.machine.control.permitted) == (False, False)

    play(body, Treadmill)


def test_a_treadmill_that_did_not_stop_is_reported(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.machine.control.oddities[STOP] = 4
        await gym.ask(speed())
        gym.forget()
        await gym.wait_for("release_failed")
        assert gym.commands == [b"\x08\x01", b"\x08\x01", b"\x08\x01", b"\x01"]
        assert gym.watcher.control[0]["detail"] == "0801: operation_failed"
        # It has confirmed the release, so its link stays.
        assert not gym.machine.control.permitted
        assert not gym.running.done()

    play(body, Treadmill)


def test_a_treadmill_stops_if_healthd_disconnects_during_a_start(play: Play) -> None:
    async def body(gym: Gym) -> None:
        gym.machine.control.oddities[START] = None
        asking = gym.asking(GO)
        await gym.written(2)
        await cancel(gym.running)
        assert gym.commands == [b"\x00", b"\x07", b"\x08\x01", b"\x01"]
        assert not gym.machine.workout.running
        await asyncio.wait([asking])
        assert "the link ended before the device answered" in str(asking.exception())

    play(body, Treadmill)
