"""Events of links and of values left out: one for each, unless they are too many."""

import asyncio
import itertools
from pathlib import Path
from typing import Any, ClassVar

import pytest

from healthd.gateway.gaps import Gaps
from healthd.gateway.link_events import LinkEvents
from healthd.gateway.too_fast import TooFast
from healthd.host.clock import Clock
from healthd.runs import Run
from healthd.samples import Measurement, Sample
from tests.support import virtual_time

WEEK_S = 7 * 86400


class Beat(Measurement):
    kind: ClassVar[str] = "beat"


class Strap:
    """A strap whose link comes and goes, and the events about it."""

    def __init__(self, folder: Path) -> None:
        self.run = Run(Clock(folder), {})
        self.events: list[Sample] = []
        self.gaps = Gaps(self.run, self.events.append)
        self.links = LinkEvents(self.run, self.events.append, self.gaps)
        self.too_fast = TooFast(self.run, self.events.append)

    def beat(self) -> None:
        self.gaps.before_sample(self.run.sample("strap", "beat", Beat()))

    async def link(self, seconds: float, away_s: float = 0.5) -> None:
        self.beat()  # the first values come before the link counts as streaming
        self.links.begin("strap")
        await asyncio.sleep(seconds)
        self.beat()
        self.gaps.interrupt("strap", "link_lost")
        self.links.end("strap", "link_lost")
        await asyncio.sleep(away_s)

    def reported(self, kind: str) -> list[dict[str, Any]]:
        return [each.measurement.fields() for each in self.events if each.stream == f"event/{kind}"]


def test_a_few_dozen_links_have_their_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        strap = Strap(tmp_path)
        for _ in range(40):
            await strap.link(30.0)
        assert len(strap.reported("link")) == 80
        assert len(strap.reported("gap")) == 39

    virtual_time.run(body, monkeypatch)


def test_a_link_that_comes_and_goes_for_a_week_makes_few_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        strap = Strap(tmp_path)
        loop = asyncio.get_running_loop()
        begin, links = loop.time(), 0
        while loop.time() < begin + WEEK_S:
            await strap.link(20.0, 20.0)
            links += 1
        up = [event for event in strap.reported("link") if event["change"] == "up"]
        assert len(strap.events) < 2 * WEEK_S / 300 + WEEK_S / 300 + 300
        # Each link has an event, or is counted in one.
        counted = sum(event.get("left_out", 0) for event in up)
        assert links - 60 < len(up) + counted <= links
        # Up and down in turn, so that the last one is true.
        changes = [event["change"] for event in strap.reported("link")]
        assert changes == ["up", "down"] * len(up)
        # The gaps cover all of the time without a link.
        gaps = strap.reported("gap")
        strap.gaps.release("strap")
        assert len(gaps) < WEEK_S / 300 + 100
        assert all(one["last"] <= two["first"] for one, two in itertools.pairwise(gaps))

    virtual_time.run(body, monkeypatch)


def test_a_link_that_stays_has_its_event_late_with_the_gaps_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        strap = Strap(tmp_path)
        for _ in range(70):
            await strap.link(1.0)
        events, gaps = strap.reported("link"), strap.reported("gap")
        assert events[-1]["change"] == "down"
        strap.beat()
        strap.links.begin("strap")
        await asyncio.sleep(301)
        late = strap.reported("link")[len(events) :]
        assert [event["change"] for event in late] == ["up"]
        (gap,) = strap.reported("gap")[len(gaps) :]
        assert gap["reason"] == "link_lost"
        # From the last reported link to this one.
        assert gap["first"] < gap["last"]
        strap.gaps.interrupt("strap", "link_lost")
        strap.links.end("strap", "link_lost")
        assert strap.reported("link")[-1]["change"] == "down"

    virtual_time.run(body, monkeypatch)


def test_values_left_out_are_one_event_for_many_and_each_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        strap = Strap(tmp_path)
        left_out = 0
        for _ in range(3600):
            for stream in ("beat", "battery"):
                strap.too_fast.note("strap", stream)
                strap.too_fast.note("strap", stream)
                left_out += 2
            await asyncio.sleep(1)
        gaps = strap.reported("gap")
        assert len(gaps) < 2 * 70
        assert {(gap["reason"], gap["stream"]) for gap in gaps} == {
            ("too_fast", "beat"),
            ("too_fast", "battery"),
        }
        strap.too_fast.end("strap")
        assert sum(gap["count"] for gap in strap.reported("gap")) == left_out
        # The first one comes soon, also after a quiet time.
        await asyncio.sleep(200)
        before = len(strap.events)
        strap.too_fast.note("strap", "beat")
        await asyncio.sleep(11)
        assert len(strap.events) == before + 1
        await asyncio.sleep(200)
        assert len(strap.events) == before + 1
        strap.too_fast.end("strap")
        strap.too_fast.end("other")
        assert len(strap.events) == before + 1

    virtual_time.run(body, monkeypatch)
