"""States are reported in order, also if the reason of one is known only a moment later."""

import asyncio

import pytest

from healthd.sessions import reports
from healthd.sessions.reports import Reports

Reported = list[tuple[str, str | None]]


@pytest.fixture
def reported() -> Reported:
    return []


@pytest.fixture
def states(reported: Reported) -> Reports[str]:
    return Reports[str](lambda state, reason: reported.append((state, reason)))


def test_states_are_reported_at_once(states: Reports[str], reported: Reported) -> None:
    states.put("searching")
    states.put("waiting", "timeout")
    states.release()
    assert reported == [("searching", None), ("waiting", "timeout")]


async def test_what_follows_a_held_state_is_reported_after_it(
    states: Reports[str], reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "REASON_S", 3600.0)
    reason = ["link_lost"]
    states.hold("waiting", lambda: reason[-1])
    states.put("searching")
    reason.append("adapter_off")
    assert reported == []
    states.release()
    states.put("connecting")
    assert reported == [("waiting", "adapter_off"), ("searching", None), ("connecting", None)]


async def test_a_held_state_is_reported_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "REASON_S", 0.01)
    reported: asyncio.Future[tuple[str, str | None]] = asyncio.get_running_loop().create_future()
    states = Reports[str](lambda state, reason: reported.set_result((state, reason)))
    states.hold("waiting", lambda: "link_lost")
    async with asyncio.timeout(10):
        assert await reported == ("waiting", "link_lost")


async def test_a_second_end_reports_the_first(
    states: Reports[str], reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "REASON_S", 3600.0)
    states.hold("waiting", lambda: "first")
    states.hold("waiting", lambda: "second")
    assert reported == [("waiting", "first")]
    states.release()
    assert reported == [("waiting", "first"), ("waiting", "second")]
