"""What is published of a PM5's packets, during one link."""

from collections.abc import Iterable
from typing import Any

from healthd.profiles.known_results import made_by
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.vendor.pm5.joining import ForceCurve, Joined, Records
from healthd.profiles.vendor.pm5.models import (
    Ergometer,
    ErgometerForceCurve,
    ErgometerRecovery,
    ErgometerSampleRate,
    ErgometerStroke,
    ErgometerWorkout,
)
from healthd.samples import Measurement

# Of the last stroke, in each record after it.
_OF_STROKES = ("power_w", "energy_per_hour_kj_per_h")

# The monitor repeats the last ones when no one rows, even after the workout.
_MOMENTARY = ("speed_mps", "stroke_rate_spm", "pace_s_per_500m", *_OF_STROKES)


class Pm5State:
    """Makes records of packets: status, strokes, splits, the summary and force curves.

    A packet of the status, a stroke, a split or a summary waits for the others that belong to it.
    All of a record has the time of its last packet.
    """

    def __init__(self, options: Options) -> None:
        """Start without anything.

        Args:
            options: has the workouts that became samples.
        """
        self._records = Records()
        self._curve = ForceCurve()
        self._workouts = options.records.results(ErgometerWorkout.kind)
        # Looked up once, so that these are remembered one by one, too.
        options.records.results(ErgometerRecovery.kind)
        self._last_workout: tuple[object, ...] = ()
        self._stroke: dict[str, Any] = {}
        self._drive: tuple[int | None, float] = (None, 0.0)
        self._elapsed_s = 0.0

    @property
    def due_ns(self) -> int | None:
        """See ``characteristic.SettlingState``."""
        return self._records.due_ns

    @property
    def held(self) -> Iterable[Timed]:
        """The summary, if it waits; a status or a stroke is followed by others."""
        return [
            _timed_workout(each.measurement, each.latest_ns)
            for each in self._records.waiting
            if isinstance(each.measurement, ErgometerWorkout)
        ]

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """See ``characteristic.LinkState``."""
        if isinstance(measurement, ErgometerForceCurve):
            curve = self._curve.add(measurement, mono_ns)
            return () if curve is None else (Timed(curve, mono_ns),)
        if isinstance(measurement, ErgometerSampleRate) or not measurement.model_fields_set:
            return ()
        if isinstance(measurement, ErgometerStroke) and not self._is_news(measurement):
            return ()
        return self._published(self._records.add(measurement, mono_ns))

    def settle(self, mono_ns: int) -> Iterable[Timed]:
        """See ``characteristic.SettlingState``."""
        return self._published(self._records.settle(mono_ns))

    def end(self) -> Iterable[Timed]:
        """See ``characteristic.HoldingState``."""
        return self._published(self._records.end())

    def _is_news(self, packet: ErgometerStroke) -> bool:
        """Return whether a packet is about a drive that was not reported before.

        0035 comes again when the recovery is over; what it adds is in the next stroke, too. When a
        planned rest is over, it comes for a stroke 0 with nothing in it.
        """
        if not packet.stroke_count:
            return False
        self._stroke["stroke_count"] = packet.stroke_count
        fields = packet.model_fields_set
        if "power_w" in fields:
            self._stroke.update({key: getattr(packet, key) for key in _OF_STROKES})
        if "drive_length_m" not in fields:
            return True
        count, elapsed_s = self._drive
        self._drive = packet.stroke_count, packet.elapsed_time_s or 0.0
        # The count begins again with each interval, and so does the time.
        return packet.stroke_count != count or self._drive[1] < elapsed_s

    def _published(self, joined: Iterable[Joined]) -> Iterable[Timed]:
        published: list[Timed] = []
        for each in joined:
            measurement, mono_ns = each.measurement, each.latest_ns
            if isinstance(measurement, Ergometer):
                published.append(Timed(self._with_stroke(measurement), mono_ns))
            elif isinstance(measurement, ErgometerWorkout):
                published.extend(self._workout(measurement, mono_ns))
            else:
                published.append(Timed(measurement, mono_ns))
        return published

    def _with_stroke(self, record: Ergometer) -> Ergometer:
        elapsed_s = record.elapsed_time_s or 0.0
        if elapsed_s < self._elapsed_s:
            # The next interval, or the next workout.
            self._stroke.clear()
        self._elapsed_s = elapsed_s
        if record.active is not False:
            return record.model_copy(update=self._stroke)
        known = {*record.model_fields_set, *self._stroke}
        nothing = {key: None for key in _MOMENTARY if key in known}
        return record.model_copy(update={**self._stroke, **nothing})

    def _workout(self, workout: ErgometerWorkout, mono_ns: int) -> Iterable[Timed]:
        """Return a workout, or only what is new in a summary that has come before.

        One minute after the end the summary comes again, with the heart rate by then.
        """
        timed = _timed_workout(workout, mono_ns)
        identity = _identity(workout)
        is_known = timed.record is not None and self._workouts.knows(timed.record)
        if not is_known and identity != self._last_workout:
            self._last_workout = identity
            return (timed,)
        rate = workout.recovery_heart_rate_bpm
        if rate is None:
            return ()
        fields = {"device_time": workout.device_time, "recovery_heart_rate_bpm": rate}
        recovery = ErgometerRecovery.of(fields)
        return (Timed(recovery, mono_ns, made_by(workout.device_time, (rate,))),)


def _identity(workout: ErgometerWorkout) -> tuple[object, ...]:
    return workout.device_time, workout.elapsed_time_s, workout.total_distance_m


def _timed_workout(workout: Measurement, mono_ns: int) -> Timed:
    assert isinstance(workout, ErgometerWorkout), "only a workout has a place in the logbook"
    record = made_by(workout.device_time, _identity(workout)[1:])
    return Timed(workout, mono_ns, record, finished=True)
