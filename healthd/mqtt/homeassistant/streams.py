"""How long the values of a stream are true: which availability they have, and when they expire."""

import math
from typing import NamedTuple

from healthd.profiles.characteristic import Use
from healthd.profiles.registry import Registry
from healthd.samples import Measurement
from healthd.settings.model import PeripheralSettings

# What is worn or ridden sends once a second, or once in four at the slowest. What has said nothing
# for a minute is not in use: a machine at rest keeps its link and sends nothing.
_FLOWS_S = 60

# A stream that is silent for longer than its deadline ends the link. Twice that leaves time for a
# new one, so that a value does not vanish in a moment that healthd bridges.
_SILENCES = 2

# Monitors take a reading every one to five minutes: three of the rarest.
_CGM_S = 900

# A run that is late, or finds nothing, costs no value: the next one is waited for.
_RUNS = 2
_DAY_S = 86400

# What a machine says when something happens is true until the next thing does.
_EVENTS = frozenset({"fitness_machine_status"})


class Stream(NamedTuple):
    """One kind of measurement of one peripheral.

    Attributes:
        model: its fields.
        lasting: true while the gateway is there, whether or not the peripheral is linked.
        expires_s: seconds after which a value says nothing any more; None: never.
    """

    model: type[Measurement]
    lasting: bool
    expires_s: int | None


class _Kind(NamedTuple):
    model: type[Measurement]
    changes: bool
    silence_s: float | None


class Streams:
    """What every stream is, from what the profiles declare."""

    def __init__(self, registry: Registry) -> None:
        """Index the models by kind."""
        self._kinds: dict[str, _Kind] = {}
        for profile in registry.profiles.values():
            for one in profile.characteristics:
                changes = one.use is Use.STATUS or one.model.kind in _EVENTS
                self._kinds[one.model.kind] = _Kind(one.model, changes, one.silence_s)
            for model in profile.derived:
                self._kinds[model.kind] = _Kind(model, changes=False, silence_s=None)

    def of(self, kind: str, entry: PeripheralSettings) -> Stream | None:
        """The stream of this kind, of a peripheral with these settings; None: there is none."""
        if (known := self._kinds.get(kind)) is None:
            return None
        if known.model.retained:
            return Stream(known.model, lasting=True, expires_s=None)
        if entry.every is not None:
            # It is linked for moments, and what it brought is the newest until the next run.
            return Stream(known.model, lasting=True, expires_s=_between_runs_s(entry))
        expires_s = None if known.changes else _expiry_s(kind, known, entry)
        return Stream(known.model, lasting=False, expires_s=expires_s)


def _between_runs_s(entry: PeripheralSettings) -> int:
    every_s = entry.every if isinstance(entry.every, float) else _DAY_S
    return math.ceil(_RUNS * every_s + entry.fetch_window_s)


def _expiry_s(kind: str, known: _Kind, entry: PeripheralSettings) -> int:
    if known.silence_s is not None:
        return math.ceil(_SILENCES * (entry.silence or known.silence_s))
    if kind == "cgm":
        return _CGM_S
    if kind == "heart_rate_variability" and entry.hrv is not None:
        # One a window: two of them, as a window without a beat tells nothing.
        return math.ceil(2 * entry.hrv)
    return _FLOWS_S
