"""Translates one entry of the settings into what each part of the daemon needs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from enum import Enum, auto

from healthd.central.bonds import BondSettings
from healthd.central.match import By, Match
from healthd.errors import Fatal
from healthd.host.clock import Clock
from healthd.profiles.common.machines import Limits, Range
from healthd.profiles.options import Consent, Options
from healthd.profiles.records import Records
from healthd.profiles.registry import Registry
from healthd.sessions.hold import Rules
from healthd.settings.model import PeripheralSettings
from healthd.settings.problems import unavailable
from healthd.settings.secret_files import bind_key, consent_code, passkey


class Way(Enum):
    """How a peripheral's measurements are received."""

    LINK = auto()
    """Over a link."""
    LISTEN = auto()
    """From its advertisements; it is never linked."""
    CHOOSE = auto()
    """One of the two, depending on what it advertises when it is found."""


@dataclass(frozen=True, slots=True)
class Peripheral:
    """One entry of the settings, in the form that each part of the daemon needs.

    Two of them are equal if their entries are equal and the files they name have equal content.

    Attributes:
        entry: the entry as read from the settings.
        way: how its measurements are received.
        match: how its device is recognised.
        options: what its profiles need to know.
        bond: whether to pair with it, and how.
    """

    entry: PeripheralSettings
    way: Way
    match: Match
    options: Options
    bond: BondSettings


def way_of(entry: PeripheralSettings, registry: Registry) -> Way:
    """Return how the peripheral's measurements are received."""
    if entry.service is not None and registry.listed[entry.service].only_advertises:
        return Way.LISTEN
    if entry.connect is False or entry.bind_key_file is not None:
        return Way.LISTEN
    if entry.connect is True or entry.service is not None or entry.needs_link:
        return Way.LINK
    return Way.CHOOSE


def match_for(peripheral: PeripheralSettings, registry: Registry) -> Match:
    """Return how the peripheral's device is recognised.

    Raises:
        ValueError: none of address, name and service is set; reading the settings prevents it.
    """
    periodic, listens = peripheral.periodic, way_of(peripheral, registry) is not Way.LINK
    broadcasts = registry.announced(peripheral.service) if listens else ()
    if peripheral.address is not None:
        return Match(peripheral.id, By.ADDRESS, peripheral.address, periodic, broadcasts)
    if peripheral.name is not None:
        return Match(peripheral.id, By.NAME, peripheral.name, periodic, broadcasts)
    if peripheral.service is not None:
        kind = registry.listed[peripheral.service]
        names, others = kind.names, registry.namesakes(kind.name)
        return Match(peripheral.id, By.SERVICE, kind.service, periodic, broadcasts, names, others)
    raise ValueError(f"{peripheral.id}: no address, name or service")


def rules_for(entry: PeripheralSettings) -> Rules:
    """Return what the settings say about controlling a peripheral."""
    limits = {
        key: None if value is None else Range(*value)
        for key, value in entry.control.model_dump(exclude={"lease"}).items()
    }
    return Rules(
        Limits(**limits),
        entry.control.lease,
        speed_factor=entry.speed_factor,
        start=entry.start,
    )


def options_for(
    entry: PeripheralSettings, records: Records, local_time: Callable[[], datetime | None]
) -> Options:
    """Return the options for a peripheral's profiles, which have no access to the settings.

    Args:
        entry: the peripheral's settings.
        records: which of its stored records were fetched before.
        local_time: returns the local time, to which clocks are set.

    Raises:
        Fatal: the file of its consent code or of its bind key cannot be used.
    """
    options = Options(
        wheel_circumference_m=entry.wheel_circumference,
        speed_factor=entry.speed_factor,
        pmd=entry.pmd,
        interval_s=entry.sample_interval,
        hrv_window_s=entry.hrv,
        heart_rate_zones_bpm=entry.heart_rate_zones,
        records=records,
        now=local_time,
        consent=consent_for(entry),
        bind_key=bind_key_for(entry),
    )
    return replace(options, local_time=local_time) if entry.set_clock else options


def local_time(clock: Clock, zone: Callable[[], tzinfo]) -> datetime | None:
    """Return the local time, without a zone; None while the clock is not synchronised."""
    now = clock.now()
    if now.clock == "unsynced":
        return None
    return datetime.fromtimestamp(now.wall_ns / 1e9, zone()).replace(tzinfo=None)


def consent_for(entry: PeripheralSettings) -> Consent | None:
    """Return the user of a scale whose results are wanted; None if the settings name none.

    Raises:
        Fatal: the file of the consent code cannot be used; FileUnavailable: perhaps later.
    """
    try:
        code = consent_code(entry)
    except (OSError, ValueError) as error:
        raise _unusable(f"peripherals.{entry.id}.consent_file", error) from error
    return None if entry.user is None or code is None else Consent(entry.user, code)


def bind_key_for(entry: PeripheralSettings) -> bytes | None:
    """Return the key of what a peripheral advertises; None if the settings name none.

    Raises:
        Fatal: the file of the key cannot be used; FileUnavailable: perhaps later.
    """
    try:
        return bind_key(entry)
    except (OSError, ValueError) as error:
        raise _unusable(f"peripherals.{entry.id}.bind_key_file", error) from error


def bond_settings_for(entry: PeripheralSettings) -> BondSettings:
    """Return whether to pair with a peripheral, and with which passkey.

    Raises:
        Fatal: the file of its passkey cannot be used; FileUnavailable: perhaps later.
    """
    try:
        return BondSettings(entry.pair, passkey(entry))
    except (OSError, ValueError) as error:
        raise _unusable(f"peripherals.{entry.id}.passkey_file", error) from error


def _unusable(key: str, error: OSError | ValueError) -> Fatal:
    if isinstance(error, OSError):
        return unavailable(key, error.filename, error)
    return Fatal(f"{key}: {error}")
