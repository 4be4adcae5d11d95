"""Makes the session of each peripheral from its settings: continuous, periodic or listening."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import tzinfo
from functools import partial

from healthd.central.radio import Radio
from healthd.gateway.entry import (
    Peripheral,
    Way,
    bond_settings_for,
    local_time,
    match_for,
    options_for,
    rules_for,
    way_of,
)
from healthd.gateway.pipeline import Pipeline
from healthd.profiles.registry import Registry
from healthd.runs import Run
from healthd.schedule import Last, Rearmed, Schedule, schedule_for
from healthd.sessions.choice import Choice
from healthd.sessions.listening import Listening
from healthd.sessions.periodic import Periodic, Plan
from healthd.sessions.schedule_file import ScheduleFile
from healthd.sessions.session import Session
from healthd.settings.keys import Keys
from healthd.settings.model import PeripheralSettings

AnySession = Session | Periodic | Listening | Choice
"""A session of whatever kind."""


class SessionFactory:
    """Makes sessions; holds what all of them share."""

    def __init__(
        self,
        radio: Radio,
        registry: Registry,
        pipeline: Pipeline,
        run: Run,
        file: ScheduleFile,
        keys: Keys,
        zone: Callable[[], tzinfo],
        jitter: Callable[[], random.Random] = random.Random,
    ) -> None:
        """Keep what every session needs.

        Args:
            radio: finds peripherals and links to them.
            registry: what healthd can read.
            pipeline: observes the sessions.
            run: the current run of the daemon.
            file: remembers the last run of each periodic peripheral.
            keys: the keys of the peripherals.
            zone: returns the local time zone, read on each call.
            jitter: returns what the pauses of a peripheral are drawn from.
        """
        self._jitter = jitter
        self._radio = radio
        self._registry = registry
        self._pipeline = pipeline
        self._run = run
        self._file = file
        self._keys = keys
        self._zone = zone
        self._local_time = partial(local_time, run.clock, zone)

    def prepare(self, entry: PeripheralSettings) -> Peripheral:
        """Read the entry and the files that it names.

        Raises:
            Fatal: the file of its passkey, consent code or bind key cannot be used.
        """
        way, match = way_of(entry, self._registry), match_for(entry, self._registry)
        options = options_for(entry, self._pipeline.records(entry.id), self._local_time)
        options = replace(options, read_key=partial(self._keys.read, entry.id))
        return Peripheral(entry, way, match, options, bond_settings_for(entry))

    def make(self, peripheral: Peripheral) -> AnySession:
        """Make the session of one peripheral."""
        entry, pipeline, options = peripheral.entry, self._pipeline, peripheral.options
        match, silence_s, rules = peripheral.match, entry.silence, rules_for(entry)
        radio, registry = self._radio, self._registry
        listening = Listening(match, radio, registry, pipeline, silence_s)
        if peripheral.way is Way.LISTEN:
            return listening
        session = Session(match, radio, registry, pipeline, silence_s, options, rules)
        if peripheral.way is Way.CHOOSE:
            return Choice(registry, session, listening)
        if not entry.periodic:
            return session
        schedule = partial(self._schedule, entry)
        plan = Plan(schedule, entry.fetch_window_s, entry.on is not None, self._jitter())
        return Periodic(entry.id, session, plan, self._run, self._file, pipeline)

    def _schedule(self, entry: PeripheralSettings, last: Last | None) -> Schedule:
        boot, now = self._run.boot, self._run.clock.now()
        if entry.every is None:
            return Rearmed(entry.rearm, last, boot, now)
        return schedule_for(entry.every, last, boot, now, self._zone)
