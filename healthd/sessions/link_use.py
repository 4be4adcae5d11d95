"""What a session does with a link that is ready: stream from it, or collect and hang up."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from healthd.central.faults import LinkFault
from healthd.central.link import Link
from healthd.profiles.dialogue import Opening
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.quirks import identity_of
from healthd.profiles.registry import Registry, openings_anywhere
from healthd.sessions.collect import wait_until_collected
from healthd.sessions.control_point import ControlPoints
from healthd.sessions.no_data import NoData, advice_for
from healthd.sessions.opening import Openings
from healthd.sessions.remote import Remote
from healthd.sessions.subscriptions import Subscriptions
from healthd.sessions.values import Explain, Values


class LinkUse:
    """Uses the links of one peripheral, one after the other."""

    def __init__(
        self,
        peripheral: str,
        registry: Registry,
        observer: Values,
        explain: Explain,
        options: Options,
        values: Subscriptions,
        remote: Remote,
    ) -> None:
        """Prepare.

        Args:
            peripheral: its id.
            registry: what healthd reads.
            observer: receives the messages of control points.
            explain: returns what a refusal means, taking the peripheral's bond into account.
            options: what the settings say to the peripheral's profiles.
            values: the subscriptions, prepared on each link.
            remote: carries out requests while the peripheral streams.
        """
        self._peripheral = peripheral
        self._registry = registry
        self._observer = observer
        self._explain = explain
        self._options = options
        self._values = values
        self._remote = remote
        self._no_data = NoData(peripheral, values, observer)
        self._openings: Openings | None = None

    @property
    def asks(self) -> bool:
        """Whether an opening exchange with the peripheral is running."""
        return self._openings is not None and self._openings.asks

    @property
    def refusal(self) -> LinkFault | None:
        """Why the peripheral refused an opening exchange, on the current link or the last one."""
        return None if self._openings is None else self._openings.refusal

    async def stream(self, link: Link, profiles: list[Profile], silence_s: float | None) -> None:
        """Open the profiles while values already flow and requests are served.

        Args:
            link: a link whose values are prepared.
            profiles: what the peripheral has.
            silence_s: replaces the silence deadline of every stream that has one.

        Raises:
            LinkFault: the link ended or a stream fell silent.
        """
        values = self._values
        async with self._opening(link, profiles, silence_s) as (openings, opening):
            watch = asyncio.create_task(
                values.watch(link, silence_s), name=f"watch {self._peripheral}"
            )
            serve = asyncio.create_task(
                self._remote.serve(openings.points, values.facts, self._explain),
                name=f"requests {self._peripheral}",
            )
            silent = asyncio.create_task(
                self._watch_for_data(link, profiles, silence_s), name=f"data {self._peripheral}"
            )
            try:
                # The watch ends only by raising, so this waits for the end of the link, too.
                tasks = (opening, watch, serve, silent)
                await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
                for task in tasks:
                    if task.done():
                        task.result()
            finally:
                await _end(silent)
                await _end(watch)
                await _end(serve)

    async def _watch_for_data(
        self, link: Link, profiles: list[Profile], silence_s: float | None
    ) -> None:
        advice, is_setting = advice_for(link, profiles, self._options, starts=self._remote.starts)
        deadline = min(self._values.deadlines(silence_s).values(), default=None)
        await self._no_data.watch(advice, deadline, is_setting=is_setting)

    async def collect(self, link: Link, profiles: list[Profile]) -> None:
        """Collect what the peripheral has, until it is done.

        Raises:
            LinkLost: the link ended before the peripheral was done.
            LinkFault: it did not answer.
        """
        async with self._opening(link, profiles, once=True) as (openings, opening):
            lost = asyncio.create_task(link.lost(), name=f"link end {self._peripheral}")
            try:
                await wait_until_collected(opening, openings, lost, self._values)
            finally:
                await _end(lost)

    @asynccontextmanager
    async def _opening(
        self,
        link: Link,
        profiles: list[Profile],
        silence_s: float | None = None,
        *,
        once: bool = False,
    ) -> AsyncGenerator[tuple[Openings, "asyncio.Task[None]"]]:
        """Run the opening exchanges of the profiles, then poll them, while the block runs."""
        on_message = partial(self._observer.on_value, self._peripheral)
        points = ControlPoints(link, self._registry, on_message, self._values.on_answer)
        device = identity_of(link.found.name, self._values.facts)
        options = replace(self._options, device=device, key=self._values.key.value)
        openings = Openings(points, self._peripheral, options, self._values, self._explain)
        self._openings = openings
        openings.polls.expect(profiles)
        asking = self._ask(openings, profiles, silence_s, once=once)
        task = asyncio.create_task(asking, name=f"opening {self._peripheral}")
        try:
            yield openings, task
        except LinkFault as end:
            self._values.judge_writes(openings.cost, openings.survived, end)
            raise
        finally:
            await _end(task)
            await openings.close()

    async def _ask(
        self, openings: Openings, profiles: list[Profile], silence_s: float | None, *, once: bool
    ) -> None:
        wanted = [profile for profile in profiles if self._may_run(profile.opening)]
        found = openings_anywhere(self._registry.use_on(openings.points.link.characteristics))
        anywhere = [pair for pair in found if self._may_run(pair[1])]
        await openings.run(wanted, anywhere)
        await openings.polls.run(silence_s, once=once)

    def _may_run(self, opening: Opening | None) -> bool:
        """Return whether to run this opening, which may have cost a link before."""
        return opening is None or not opening.optional or self._values.may_write(opening.control)


async def _end(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
