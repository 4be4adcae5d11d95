"""Makes results of what scales without a clock advertise. Pure: times are arguments."""

from collections.abc import Iterable
from datetime import timedelta

from healthd.profiles.common.weighing import IMPEDANCE_S
from healthd.profiles.known_results import made_by
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.results.kind import QUIET_S
from healthd.profiles.weight_scale import Weight, intermediate
from healthd.samples import Measurement, Record

AGAIN_S = 60.0
"""After how long without a scale the same bytes are another weighing.

A scan pauses for up to 40 s, and some controllers report a payload that does not change once in
10 s, so a shorter silence proves nothing.
"""

# A scale that is in use is heard at least this often, even by a controller that reports each
# address only once in a scan window of 10.2 s.
_PAUSE_S = 12.0

# Some scales end a weighing with values of up to 1.3 kg that look stable
# (homeassistant-okokscale pull request 12).
_EMPTY_BELOW_KG = 2.0

# A person who only moves does not take off so much of the weight; one who steps off does.
_LEFT = 0.5

# A scale that does not say whether the weight is stable changes it more often, until it is.
_SETTLED_S = 3.0

# A weight that never stops to change is not waited for.
_LONGEST_S = 60.0

_NS = 1_000_000_000


class Weighings:
    """The weighings on one scale, for as long as it is listened to.

    Each has one result: the last of the stable weights that follow each other closely, with the
    impedance if that comes in time. It is over when the scale is empty, or silent for a while. If
    the next stable weight equals the result, another weighing has to be seen to begin, or a long
    silence has to come before: the radio may repeat packets.
    """

    def __init__(self, options: Options) -> None:
        """Start with nothing held back.

        Args:
            options: has the results that became samples, and the present time.
        """
        self._known = options.records.results(Weight.kind)
        self._now = options.now
        # Whether a weighing of before, whose result is known, may still be going on.
        self._continues = True
        self._held: Timed | None = None
        self._since_ns = self._due_ns = self._heard_ns = 0
        self._result: Weight | None = None
        # Since the result: the scale was left, and then stepped on.
        self._left = self._entered = False

    @property
    def due_ns(self) -> int | None:
        """When to call ``settle``."""
        return None if self._held is None else self._due_ns

    @property
    def held(self) -> Iterable[Timed]:
        """The result that is held back.

        Not a weight of a scale that does not say whether it is stable: the person may be stepping
        on, and the next run will hear what follows.
        """
        held = self._held
        return () if held is None or not _has_flag(held.measurement) else (held,)

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return what to publish after a packet; other measurements are published as they are."""
        if type(measurement) is not Weight:
            return [Timed(measurement, mono_ns)]
        silence_s, self._heard_ns = (mono_ns - self._heard_ns) / _NS, mono_ns
        self._left |= silence_s >= _PAUSE_S
        if silence_s >= AGAIN_S:
            self._result = None
        has_flag = _has_flag(measurement)
        if (measurement.weight_kg or 0.0) < _EMPTY_BELOW_KG:
            taken = self._take_empty(measurement, mono_ns, has_flag=has_flag)
        elif has_flag and not measurement.stabilized:
            taken = self._take_moving(measurement, mono_ns)
        else:
            taken = self._take_stable(measurement, mono_ns)
        self._continues = False
        return taken

    def settle(self, mono_ns: int) -> Iterable[Timed]:
        """Return the result if it has waited for long enough at this time."""
        return self._release() if mono_ns >= self._due_ns else []

    def end(self) -> Iterable[Timed]:
        """Return the result that is held back, if it is one: nothing follows."""
        held, result = self._held, self._result
        if held is None or result is None or _has_flag(result):
            return self._release()
        self._held = self._result = None
        return [_intermediate(result, held.mono_ns)]

    def _take_empty(self, packet: Weight, mono_ns: int, *, has_flag: bool) -> list[Timed]:
        self._left, self._entered = True, False
        taken = [_intermediate(packet, mono_ns)]
        if has_flag:
            self._expect_no_more(mono_ns)
        elif self._held is not None and self._result is not None:
            # The weight of a person who was stepping on or off.
            taken.insert(0, _intermediate(self._result, self._held.mono_ns))
            self._held = self._result = None
        return taken

    def _take_moving(self, packet: Weight, mono_ns: int) -> list[Timed]:
        if self._is_far_below_result(packet):
            self._left, self._entered = True, False
            self._expect_no_more(mono_ns)
        elif self._left:
            self._entered = True
        return [_intermediate(packet, mono_ns)]

    def _take_stable(self, packet: Weight, mono_ns: int) -> list[Timed]:
        result = self._result
        is_same = result is not None and result.weight_kg == packet.weight_kg
        if self._continues and self._is_known(packet):
            self._note(packet)
            return []
        if result is None or (self._entered if is_same else self._left):
            released = self._release()
            self._since_ns = mono_ns
            self._hold(packet, mono_ns)
            return released
        if is_same:
            if self._held is not None and result.impedance_ohm is None and packet.impedance_ohm:
                self._hold(packet, mono_ns)
            return []
        if (held := self._held) is None:
            return [_intermediate(packet, mono_ns)]
        self._hold(packet, mono_ns)
        return [_intermediate(result, held.mono_ns)]

    def _is_far_below_result(self, packet: Weight) -> bool:
        if self._result is None or self._result.weight_kg is None or packet.weight_kg is None:
            return False
        return packet.weight_kg < _LEFT * self._result.weight_kg

    def _hold(self, packet: Weight, mono_ns: int) -> None:
        """Make a weight the result of this weighing, for the time being."""
        # While it is held back, healthd may be killed: the next run has to know it again.
        record = self._identity(packet) or Record("", 0, f"arrived {self._since_ns}")
        self._held = Timed(packet, mono_ns, record, finished=True)
        self._note(packet)
        wait_ns = round(_wait_s(packet) * _NS)
        self._due_ns = min(mono_ns + wait_ns, self._since_ns + round(_LONGEST_S * _NS))

    def _note(self, result: Weight) -> None:
        self._result, self._left, self._entered = result, False, False

    def _identity(self, result: Weight) -> Record | None:
        """Return the identity of a result that arrives now; None if the time is not known."""
        now = self._now()
        return now and made_by(now.isoformat(timespec="seconds"), (result.weight_kg,))

    def _is_known(self, packet: Weight) -> bool:
        """Return whether an equal result has just become a sample: in an earlier run, perhaps."""
        record = self._identity(packet)
        return record is not None and self._known.knows_nearly(record, timedelta(seconds=AGAIN_S))

    def _expect_no_more(self, mono_ns: int) -> None:
        """Nothing better follows what is held back."""
        self._due_ns = min(self._due_ns, mono_ns + round(QUIET_S * _NS))

    def _release(self) -> list[Timed]:
        held, self._held = self._held, None
        return [] if held is None else [held]


def _has_flag(packet: Measurement) -> bool:
    """Return whether a packet says if its weight is stable."""
    return "stabilized" in packet.model_fields_set


def _wait_s(packet: Weight) -> float:
    if not _has_flag(packet):
        return _SETTLED_S
    has_all = "impedance_ohm" not in packet.model_fields_set or packet.impedance_ohm is not None
    return QUIET_S if has_all else IMPEDANCE_S


def _intermediate(packet: Weight, mono_ns: int) -> Timed:
    return Timed(intermediate(packet), mono_ns)
