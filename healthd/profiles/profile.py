"""What a profile module declares."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache

from healthd.profiles.characteristic import Broadcast, Characteristic, Use
from healthd.profiles.dialogue import Opening, Pairing, Polling, Request, Turn
from healthd.profiles.link_state import LinkState
from healthd.profiles.options import Options
from healthd.samples import Measurement


@dataclass(frozen=True, slots=True)
class Profile:
    """What one kind of device sends: a module of this package declares one as ``PROFILE``.

    Attributes:
        name: lower-case words with underscores, as in the settings: ``service = "heart_rate"``.
        service: UUID of its GATT service, in the form of ``Characteristic.uuid``; empty if its
            devices only advertise, or if it adds characteristics to the service of another profile.
        characteristics: the characteristics that healthd reads.
        broadcasts: what healthd reads in advertisements.
        state: makes the memory of a link; None: every measurement is published as it is.
        opening: the requests that are sent first; None for no requests.
        anywhere: the same for any device that has the control point, in whatever service.
        derived: models that the state publishes in addition to those of the characteristics.
        correct: applies the settings to what the decoders return, before anything else; None: they
            have no effect.
        polling: the requests that are repeated after the opening; None: it measures by itself.
        pairing: how a key is agreed; None: there is none.
        commands: what is written for a request over MQTT, by its verb, such as ``start``.
        needs_battery_pct: the charge below which a command fails, so that it is not written.
        names: shell patterns of advertised names, ignoring case: devices that do not advertise
            the service are recognised by them.
        replaces: UUIDs of other services that have nothing to add to this one: on a device with
            both, healthd does not read them.
        gives_way_to: UUIDs of services that are better: on a device with one of them, healthd does
            not read this one.
        hint: what a user who sees the device in ``healthd scan`` has to do with it before healthd
            can read it, in one line; empty: nothing. In ``healthd pair ID``, the command shows the
            id of the device in place of ID.
    """

    name: str
    service: str = ""
    characteristics: tuple[Characteristic, ...] = ()
    broadcasts: tuple[Broadcast, ...] = ()
    state: Callable[[Options], LinkState] | None = None
    opening: Opening | None = None
    anywhere: Opening | None = None
    derived: tuple[type[Measurement], ...] = ()
    correct: Callable[[Options, Measurement], Measurement] | None = None
    polling: Polling | None = None
    pairing: Pairing | None = None
    commands: Mapping[str, Request] = field(default_factory=dict[str, Request], hash=False)
    needs_battery_pct: int = 0
    names: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    gives_way_to: tuple[str, ...] = ()
    hint: str = ""

    @property
    def only_advertises(self) -> bool:
        """Whether its devices are never linked for it."""
        return not self.service and not self.characteristics

    @property
    def asks(self) -> str:
        """UUID of the control point that its measurements are requested from; empty: none.

        Devices that have both a memory and streams count by their streams, except over a channel.
        """
        if self.polling is not None:
            return self.polling.control
        opening = self.opening
        if opening is None or opening.turn is not Turn.DATA:
            return ""
        by_uuid = {each.uuid: each for each in self.characteristics}
        streams = any(each.use is Use.STREAM for each in self.characteristics)
        has_channel = by_uuid[opening.control].channel is not None
        return opening.control if has_channel or not streams else ""

    @property
    def measures(self) -> bool:
        """Whether a link to such a device brings measurements: sent unasked, or as answers."""
        return bool(self.asks) or any(each.use is Use.STREAM for each in self.characteristics)


def is_named(name: str | None, patterns: tuple[str, ...]) -> bool:
    """Whether an advertised name fits one of these patterns; see ``Profile.names``."""
    if not patterns or name is None:
        return False
    return _compiled(patterns).match(name.lower()) is not None


# Names are compared for each advertisement of a device that is listened to. More than there are
# profiles with names.
@lru_cache(maxsize=128)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern.lower()) for pattern in patterns))
