"""Makes results of what a device sends on one link. Pure: times are arguments."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from healthd.profiles.known_results import BEFORE_ALL, KnownResults, date_of
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.results.age import Age, age_of, is_fresh, is_from_reset_clock, latest
from healthd.profiles.results.kind import Phase, ResultKind
from healthd.samples import DeviceTimed, Measurement, Record, whole_time

MEMORY_QUIET_S = 3.0
"""A device that sends its memory makes no longer pauses; many wait for each confirmation."""

# A device that sends a result every second without ever pausing is not waited for.
_LONGEST_S = 60.0

# Times of devices have whole seconds, and packets are late on a busy radio.
_LIVE_S = 2.0

_NS = 1_000_000_000


class _Held(NamedTuple):
    """The newest result so far of those that have just arrived.

    Attributes:
        timed: the result.
        made: its measurement.
        age: how it relates to the known ones.
        date: when it was measured; None if that is not known.
        since_ns: when its first packet arrived.
        wait_s: how long nothing must arrive before it is published.
    """

    timed: Timed
    made: DeviceTimed
    age: Age
    date: datetime | None
    since_ns: int
    wait_s: float

    @property
    def rank(self) -> tuple[Age, datetime]:
        """The order of results that arrive together; with equal ranks, the later one is newer."""
        return self.age, self.date or BEFORE_ALL


class Episodes:
    """One kind of result of one peripheral, during one link.

    Every packet without a result is published as intermediate at once. A result is held back while
    packets of the same measurement may follow, or newer results from the device's memory. Of those
    that arrive together the newest is published live, the others belong to the history.
    """

    def __init__(self, kind: ResultKind, options: Options) -> None:
        """Start with nothing held back.

        Args:
            kind: the kind of result.
            options: has the results that became samples, and the present time.
        """
        self._kind = kind
        self._known = options.records.results(kind.model.kind)
        self._now = options.now
        self._held: _Held | None = None
        # The last result of the measurement that is going on.
        self._last: DeviceTimed | None = None
        self._heard_ns = 0
        self._older = 0
        self._receiving = False
        # Whether a measurement that began on an earlier link may still be going on.
        self._continues = True

    @property
    def due_ns(self) -> int | None:
        """When to call ``settle``."""
        if (held := self._held) is None or self._receiving:
            return None
        quiet_ns = self._heard_ns + round(held.wait_s * _NS)
        return min(quiet_ns, held.since_ns + round(_LONGEST_S * _NS))

    @property
    def held(self) -> Iterable[Timed]:
        """The result that is held back."""
        return () if self._held is None else (self._held.timed,)

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return what to publish after a packet; other measurements are published as they are."""
        # A model of intermediate values may be a subclass.
        if not isinstance(measurement, DeviceTimed) or type(measurement) is not self._kind.model:
            return [Timed(measurement, mono_ns)]
        phase = self._kind.phase(measurement)
        if phase is Phase.FINISHED:
            return self._take_result(measurement, mono_ns)
        released: list[Timed] = []
        self._continues = False
        if phase is Phase.MEASURING:
            released = self._release()
            self._last = None
        elif self._held is not None:
            # Nothing more comes of this measurement.
            self._held = self._held._replace(wait_s=min(self._held.wait_s, MEMORY_QUIET_S))
        return [*released, Timed(self._kind.intermediate(measurement), mono_ns)]

    def begin_transfer(self) -> None:
        """Note that the device was asked for its memory, and will say when it has sent all."""
        self._receiving = True

    def end_transfer(self) -> Iterable[Timed]:
        """Return what was held back: the device has sent all."""
        self._receiving = False
        return self._release()

    def settle(self, mono_ns: int) -> Iterable[Timed]:
        """Return the result that has been held back for long enough."""
        due_ns = self.due_ns
        return [] if due_ns is None or mono_ns < due_ns else self._release()

    def end(self) -> Iterable[Timed]:
        """Return what is held back: nothing follows on this link."""
        self._receiving = False
        return self._release()

    def _take_result(self, result: DeviceTimed, mono_ns: int) -> list[Timed]:
        kind, held = self._kind, self._held
        waited_s = (mono_ns - self._heard_ns) / _NS
        self._heard_ns = mono_ns
        record = kind.identity(result)
        if record is not None and (self._known.knows(record) or self._is_continued(result, record)):
            return []
        if held is not None and waited_s <= held.wait_s and self._is_same(held.made, result):
            return self._update(held, result, mono_ns)
        is_held = held is not None and record is not None and held.timed.record == record
        if is_held or self._is_repeated(result, waited_s):
            return []
        new = self._judged(result, mono_ns, mono_ns)
        self._older += new.age is Age.OLDER
        if held is not None and new.rank < held.rank:
            return [self._publish(new, stored=True)]
        before = [] if held is None else [self._publish(held, stored=self._is_stored(held, new))]
        if new.wait_s or self._receiving:
            self._held = new
            return before
        self._held, self._older = None, 0
        return [*before, self._publish(new, stored=False)]

    def _is_continued(self, result: DeviceTimed, record: Record) -> bool:
        """Return whether the result of this measurement has come before, on an earlier link."""
        within = timedelta(seconds=self._kind.same_s(result))
        may_repeat = self._continues or self._kind.is_repetition(result)
        return may_repeat and bool(within) and self._known.knows_nearly(record, within)

    def _is_same(self, first: DeviceTimed, second: DeviceTimed) -> bool:
        """Return whether a result is of the same measurement as an earlier one."""
        users = {getattr(result, "user_id", None) for result in (first, second)}
        return len(users) == 1 and self._kind.updates(first, second)

    def _is_repeated(self, result: DeviceTimed, waited_s: float) -> bool:
        """Return whether a result was published in this measurement."""
        last, kind = self._last, self._kind
        if last is None or kind.measured(last) != kind.measured(result):
            return False
        if last.device_time is None and result.device_time is None:
            # Without times, only what follows at once is of the same measurement, or says so.
            return waited_s <= kind.repeat_s or kind.is_repetition(result)
        return whole_time(result.device_time) is not None and self._is_same(last, result)

    def _update(self, held: _Held, result: DeviceTimed, mono_ns: int) -> list[Timed]:
        """Replace the held result by a later one of the same measurement."""
        before, after = _values(held.made), _values(result)
        kept = {key: value for key, value in before.items() if after.get(key) is None}
        self._held = self._judged(result.model_copy(update=kept), mono_ns, held.since_ns)
        if self._kind.measured(held.made) == self._kind.measured(result):
            return []
        return [Timed(self._kind.intermediate(held.made), held.timed.mono_ns)]

    def _judged(self, result: DeviceTimed, mono_ns: int, since_ns: int) -> _Held:
        now, record = self._now(), self._kind.identity(result)
        date = self._kind.date(result) if self._kind.has_memory else None
        age = age_of(date, self._known.newest(latest(now)), now)
        wait_s = self._kind.wait_s(result)
        is_fresh_result = age is Age.NEWEST and is_fresh(date, now)
        if self._kind.has_memory and record is not None and not is_fresh_result:
            # Perhaps from the device's memory: a newer one may follow.
            wait_s = max(wait_s, MEMORY_QUIET_S)
        if record is None and wait_s:
            # A device that has no times may send the same again. But while this one is held back,
            # healthd may be killed, and the next run has to see whether it was published.
            record = Record("", 0, f"arrived {since_ns}")
        timed = Timed(result, mono_ns, record, finished=True)
        return _Held(timed, result, age, date, since_ns, wait_s)

    def _release(self) -> list[Timed]:
        """Publish what is held back; nothing else that arrived with it is newer."""
        held, self._held = self._held, None
        is_alone, self._older = self._older == 1, 0
        if held is None:
            return []
        stored = held.age is Age.OLDER
        if stored and is_alone:
            newest = self._known.newest(latest(self._now()))
            stored = not is_from_reset_clock(held.date, newest)
        return [self._publish(held, stored=stored)]

    def _is_stored(self, held: _Held, newer: _Held) -> bool:
        return self._kind.has_memory and _is_stored(held, newer)

    def _publish(self, held: _Held, *, stored: bool) -> Timed:
        self._last = held.made
        return held.timed._replace(stored=stored)


def restore(timed: Timed, known: KnownResults) -> Timed:
    """Return a held result of an earlier run as it is to be published now.

    Args:
        timed: the result.
        known: the results of its stream that became samples.
    """
    date = None if timed.record is None else date_of(timed.record)
    age = age_of(date, known.newest(latest(None)), None)
    return timed._replace(stored=age is Age.OLDER)


def _is_stored(held: _Held, newer: _Held) -> bool:
    """Return whether a held result was in the device's memory: a newer one has just arrived."""
    if held.date is None or newer.date is None or held.age is Age.OLDER:
        return held.made.device_time is not None
    # A device that measures while it is linked sends results as its clock goes on.
    passed_s = (newer.timed.mono_ns - held.timed.mono_ns) / _NS
    return abs((newer.date - held.date).total_seconds() - passed_s) > _LIVE_S


def _values(result: DeviceTimed) -> dict[str, object]:
    return {key: getattr(result, key) for key in result.model_fields_set}
