"""Every peripheral's session, continuous or periodic, as the settings say."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from functools import partial

from healthd.central.bonds import Wish
from healthd.central.match import Match, match_for
from healthd.central.periodic import Periodic, Plan
from healthd.central.radio import Radio
from healthd.central.session import Session
from healthd.central.trainer import Rules
from healthd.clock import Clock
from healthd.errors import Fatal
from healthd.pipeline import Pipeline
from healthd.profiles.characteristic import Consent, Options
from healthd.profiles.fitness_machine.machine import Range
from healthd.profiles.fitness_machine.procedures import Limits
from healthd.profiles.records import Records
from healthd.profiles.registry import Registry
from healthd.runs import Run
from healthd.schedule import Last, Rearmed, Schedule, schedule_for
from healthd.schedule_file import ScheduleFile
from healthd.settings import PeripheralSettings, consent_code, passkey


@dataclass(frozen=True, slots=True)
class Peripheral:
    """One entry of the settings, as the parts of the daemon need it.

    Two of them are equal where the entry is the same, and what stands in the files that it names.

    Attributes:
        entry: as it is read.
        match: which device it is.
        options: what is said of it to its profiles.
        wish: what is said of its bond.
    """

    entry: PeripheralSettings
    match: Match
    options: Options
    wish: Wish


class Sessions:
    """Makes them."""

    def __init__(
        self,
        radio: Radio,
        registry: Registry,
        pipeline: Pipeline,
        run: Run,
        file: ScheduleFile,
        zone: Callable[[], tzinfo],
    ) -> None:
        """Wire it.

        Args:
            radio: of all of them.
            registry: what healthd reads.
            pipeline: is told of everything.
            run: of the daemon.
            file: remembers what was fetched last.
            zone: the local one, whenever it is asked for.
        """
        self._radio = radio
        self._registry = registry
        self._pipeline = pipeline
        self._run = run
        self._file = file
        self._zone = zone
        self._local_time = partial(local_time, run.clock, zone)

    def prepare(self, entry: PeripheralSettings) -> Peripheral:
        """Read what the entry names.

        Raises:
            Fatal: the file of its passkey or of its consent code cannot be used.
        """
        match = match_for(entry, self._registry)
        options = options_for(entry, self._pipeline.records(entry.id), self._local_time)
        return Peripheral(entry, match, options, wish_for(entry))

    def make(self, peripheral: Peripheral) -> Session | Periodic:
        """The session of one peripheral."""
        entry, pipeline, options = peripheral.entry, self._pipeline, peripheral.options
        match, silence_s, rules = peripheral.match, entry.silence, rules_for(entry)
        session = Session(match, self._radio, self._registry, pipeline, silence_s, options, rules)
        if not entry.periodic:
            return session
        schedule = partial(self._schedule, entry)
        plan = Plan(schedule, entry.fetch_window_s, entry.on is not None, random.Random())
        return Periodic(entry.id, session, plan, self._run, self._file, pipeline)

    def _schedule(self, entry: PeripheralSettings, last: Last | None) -> Schedule:
        boot, now = self._run.boot, self._run.clock.now()
        if entry.every is None:
            return Rearmed(entry.rearm, last, boot, now)
        return schedule_for(entry.every, last, boot, now, self._zone)


def rules_for(entry: PeripheralSettings) -> Rules:
    """What is said of controlling a peripheral."""
    limits = {
        key: None if value is None else Range(*value)
        for key, value in entry.control.model_dump(exclude={"lease"}).items()
    }
    return Rules(Limits(**limits), entry.control.lease)


def options_for(
    entry: PeripheralSettings, records: Records, local_time: Callable[[], datetime | None]
) -> Options:
    """What is said of a peripheral to its profiles, which know of no settings.

    Args:
        entry: its settings.
        records: which of its records were taken.
        local_time: what clocks are set to.

    Raises:
        Fatal: the file of its consent code cannot be used.
    """
    options = Options(
        wheel_circumference_m=entry.wheel_circumference,
        pmd=entry.pmd,
        hrv_window_s=entry.hrv,
        heart_rate_zones_bpm=entry.heart_rate_zones,
        records=records,
        consent=_consent(entry),
    )
    return replace(options, local_time=local_time) if entry.set_clock else options


def local_time(clock: Clock, zone: Callable[[], tzinfo]) -> datetime | None:
    """The time of the day here, which knows no zone; None while the clock cannot be believed."""
    now = clock.now()
    if now.clock == "unsynced":
        return None
    return datetime.fromtimestamp(now.wall_ns / 1e9, zone()).replace(tzinfo=None)


def _consent(entry: PeripheralSettings) -> Consent | None:
    try:
        code = consent_code(entry)
    except (OSError, ValueError) as error:
        raise Fatal(f"peripherals.{entry.id}.consent_file: {error}") from error
    return None if entry.user is None or code is None else Consent(entry.user, code)


def wish_for(entry: PeripheralSettings) -> Wish:
    """What a peripheral's settings say of its bond.

    Raises:
        Fatal: the file of its passkey cannot be used.
    """
    try:
        return Wish(entry.pair, passkey(entry))
    except (OSError, ValueError) as error:
        raise Fatal(f"peripherals.{entry.id}.passkey_file: {error}") from error
