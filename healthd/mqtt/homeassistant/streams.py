"""Where the values of a stream are found, and how long they stay valid."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from healthd.mqtt.homeassistant.fields import shown_keys
from healthd.mqtt.homeassistant.names import ShownKind
from healthd.profiles.characteristic import Use
from healthd.profiles.profile import Profile
from healthd.samples import Measurement
from healthd.settings.model import PeripheralSettings

# A sensor or machine in use sends every second, or every four seconds at the slowest. After a
# minute of silence it is not in use: a machine at rest keeps its link and sends nothing.
_FLOWS_S = 60

# A stream that is silent for longer than its deadline ends the link. Twice that leaves time for a
# new link, so that a value does not disappear while healthd reconnects.
_SILENCES = 2

# Glucose monitors measure every one to five minutes: three of the longest intervals.
_CGM_S = 900

# A value stays valid over one run that is late or finds nothing.
_RUNS = 2
_DAY_S = 86400


class Stream(NamedTuple):
    """One kind of measurement of one peripheral.

    Attributes:
        model: its fields.
        lasting: whether values stay valid while the peripheral is not linked.
        expires_s: seconds after which a value is no longer valid; None: never.
        in_info: whether the newest value is in the device's info. States and events may come once,
            before Home Assistant knows their entities, and their topics are not retained; the info
            is.
    """

    model: type[Measurement]
    lasting: bool
    expires_s: int | None
    in_info: bool = False


class _Kind(NamedTuple):
    model: type[Measurement]
    use: Use
    silence_s: float | None


class Streams:
    """How long each stream's values stay valid, from what the profiles declare."""

    def __init__(self, profiles: Iterable[Profile]) -> None:
        """Index the models of all streams of these profiles by kind."""
        self._kinds: dict[str, _Kind] = {}
        self._advertised: dict[tuple[str, str], _Kind] = {}
        self._profiles: defaultdict[str, set[str]] = defaultdict(set)
        for profile in profiles:
            found = [
                _Kind(one.model, one.use, one.silence_s)
                for one in profile.characteristics
                if one.use in (Use.STREAM, Use.STATUS)
            ]
            found += [_Kind(model, Use.STREAM, None) for model in profile.derived]
            for kind in found:
                self._kinds[kind.model.kind] = kind
                self._profiles[kind.model.kind].add(profile.name)
            for one in profile.broadcasts:
                kind = _Kind(one.model, one.use, one.silence_s)
                self._advertised[profile.name, one.model.kind] = kind
                self._profiles[one.model.kind].add(profile.name)
        for (_, name), kind in self._advertised.items():
            self._kinds.setdefault(name, kind)

    def all_shown(self) -> Iterator[ShownKind]:
        """Yield what is shown of each kind."""
        for name, kind in self._kinds.items():
            yield ShownKind(name, shown_keys(kind.model), frozenset(self._profiles[name]))

    def of(
        self, kind: str, entry: PeripheralSettings, profiles: Collection[str] = ()
    ) -> Stream | None:
        """Return a stream of a peripheral; None if its kind is unknown.

        Args:
            kind: of its measurements.
            entry: the settings of the peripheral.
            profiles: what was found on it. What is advertised may come more rarely than over a
                link.
        """
        heard = [found for of in profiles if (found := self._advertised.get((of, kind)))]
        if (known := heard[0] if heard else self._kinds.get(kind)) is None:
            return None
        if known.model.retained:
            return Stream(known.model, lasting=True, expires_s=None)
        if known.use is Use.STATUS or known.model.is_event:
            lasting = entry.every is not None
            return Stream(known.model, lasting, expires_s=None, in_info=True)
        if entry.every is not None:
            # It is linked briefly, and its values are the newest until the next run.
            return Stream(known.model, lasting=True, expires_s=_between_runs_s(entry))
        if heard:
            # Equal values are published once. When the device falls silent, it is offline.
            return Stream(known.model, lasting=False, expires_s=None)
        return Stream(known.model, lasting=False, expires_s=_expiry_s(kind, known, entry))


def _between_runs_s(entry: PeripheralSettings) -> int:
    every_s = entry.every if isinstance(entry.every, float) else _DAY_S
    return math.ceil(_RUNS * every_s + entry.fetch_window_s)


def _expiry_s(kind: str, known: _Kind, entry: PeripheralSettings) -> int:
    if known.silence_s is not None:
        return math.ceil(_SILENCES * (entry.silence or known.silence_s))
    if kind == "cgm":
        return _CGM_S
    if kind == "heart_rate_variability" and entry.hrv is not None:
        # One value per window; two windows, as a window without a beat has no value.
        return math.ceil(2 * entry.hrv)
    return _FLOWS_S
