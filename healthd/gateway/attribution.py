"""Adds to each result whose it is, and keeps what is known about people across restarts."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from pydantic import TypeAdapter

from healthd.host.clock import Clock
from healthd.host.state_file import StateFile
from healthd.log import get_logger
from healthd.people.attribution import People
from healthd.people.estimate import Estimate
from healthd.people.person import Person, Verdict, Weighing
from healthd.profiles.common.personal import PersonalResult
from healthd.profiles.link_state import Timed
from healthd.samples import Measurement, Stamp
from healthd.settings.people import PersonSettings

FILE_NAME = "people.json"

# Two results of one weighing, its weight and its body composition, arrive within seconds and have
# the same weight; one of the two may be rounded to 0.1 kg.
_ONE_WEIGHING_S, _SAME_KG = 30.0, 0.11

# The results in a device's memory: those of one kind may all arrive before those of the other kind.
_REMEMBERED = 512

# A stored result of an earlier date, or of the future, comes from a clock that was not set.
_OLDEST_S, _AHEAD_S = 2 * 366 * 86400.0, 86400.0


_AMBIGUOUS = "if this stays so, set weight_kg or users in [[people]]; see docs/people.md"


class _Judged(NamedTuple):
    """A result, as far as it shows whose it is, and the answer."""

    kind: str
    device_time: str | None
    arrived_s: float
    weight_kg: float | None
    verdict: Verdict


class Attribution:
    """Attributes the results of all peripherals to the people of the settings.

    Attributes:
        people: who they are, and what each of them weighs by now.
    """

    def __init__(self, folder: Path, clock: Clock, zone: Callable[[], tzinfo]) -> None:
        """Read the file in ``folder``, if there is one.

        Args:
            folder: the state folder.
            clock: stamps the beginning of a new estimate.
            zone: returns the local time zone, in which devices date their results.
        """
        self._file = StateFile(folder / FILE_NAME, "people")
        self._clock = clock
        self._zone = zone
        self.people = People()
        self.people.estimates = _read(self._file.read())
        self._judged: dict[str, deque[_Judged]] = {}
        self._held: dict[str, list[PersonalResult]] = {}
        self._changed = asyncio.Event()
        self._log = get_logger(service="people")

    def use(self, people: Iterable[PersonSettings]) -> None:
        """Attribute results to these people from now on."""
        now = self._clock.now()
        now_s = now.wall_ns / 1e9 if now.clock == "synced" else None
        self.people.use(map(_person, people), self.people.estimates, now_s)
        self._changed.set()

    def finish(self, peripheral: str, timed: Timed) -> Measurement:
        """Return a finished result of a device; if there are people, it says whose it is."""
        result = timed.measurement
        if not self.people or not isinstance(result, PersonalResult):
            return result
        if "weight_kg" in type(result).model_fields:
            verdict = self._verdict(peripheral, result, stored=timed.stored)
        elif (by_user := self.people.by_user(peripheral, _user(result))) is not None:
            verdict = by_user
        else:
            return result
        keys: dict[str, Any] = {"person": verdict.person}
        if verdict.reason is not None:
            keys["unattributed"] = verdict.reason
            hint = {"hint": _AMBIGUOUS} if verdict.reason == "ambiguous" else {}
            self._log.info("not attributed", peripheral=peripheral, reason=verdict.reason, **hint)
        return result.model_copy(update=keys)

    def note_held(self, peripheral: str, held: Iterable[Timed]) -> None:
        """Note the results that a peripheral's link holds back: they will follow."""
        made = (timed.measurement for timed in held)
        self._held[peripheral] = [each for each in made if isinstance(each, PersonalResult)]

    def _verdict(self, peripheral: str, result: PersonalResult, *, stored: bool) -> Verdict:
        """Return whose weighing it is; the second result of a weighing gets the first's answer."""
        now = self._clock.now()
        arrived_s, kg = now.wall_ns / 1e9, _number(result, "weight_kg")
        if kg is None:
            # The body composition of many scales has no weight, and may come before the weight.
            kg = _weight_of(result, self._held.get(peripheral, ()))
        judged = self._judged.setdefault(peripheral, deque(maxlen=_REMEMBERED))
        verdict = _judged_before(judged, result, arrived_s, kg)
        if verdict is None:
            at_s = self._measured_s(result, now, stored=stored)
            ohm, user = _number(result, "impedance_ohm"), _user(result)
            verdict = self.people.attribute(Weighing(peripheral, kg, ohm, user, at_s))
            self._changed.set()
        judged.append(_Judged(result.kind, result.device_time, arrived_s, kg, verdict))
        return verdict

    def _measured_s(self, result: PersonalResult, now: Stamp, *, stored: bool) -> float | None:
        """Return when it was measured; None if the clock that says so is wrong."""
        if now.clock == "unsynced":
            return None
        arrived_s = now.wall_ns / 1e9
        if not stored:
            # It arrives right after the weighing, and not every scale has a clock that is right.
            return arrived_s
        try:
            local = datetime.fromisoformat(result.device_time or "")
        except ValueError:
            return None  # incomplete
        measured_s = local.replace(tzinfo=self._zone()).timestamp()
        return measured_s if -_OLDEST_S < measured_s - arrived_s < _AHEAD_S else None

    async def save(self) -> None:
        """Write the file if anything has changed."""
        if self._changed.is_set():
            self._changed.clear()
            await self._file.keep(_ESTIMATES.dump_python(self.people.estimates, mode="json"))

    async def run(self, mark_healthy: Callable[[], None]) -> NoReturn:
        """Write every change as it happens."""
        mark_healthy()
        while True:
            await self._changed.wait()
            await self.save()


_ESTIMATES = TypeAdapter(dict[str, Estimate])


def _read(document: Any) -> dict[str, Estimate]:
    try:
        return {} if document is None else _ESTIMATES.validate_python(document)
    except ValueError:
        return {}


def _person(entry: PersonSettings) -> Person:
    return Person(
        entry.id, entry.weight_kg, entry.tolerance_kg, entry.impedance_ohm, dict(entry.users)
    )


def _judged_before(
    judged: Iterable[_Judged], result: PersonalResult, arrived_s: float, weight_kg: float | None
) -> Verdict | None:
    """Return the verdict on the other result of the same weighing; None if there was none."""
    for other in judged:
        same_time = other.device_time == result.device_time and (
            result.device_time is not None or arrived_s - other.arrived_s < _ONE_WEIGHING_S
        )
        if other.kind == result.kind or not same_time or not _agree(weight_kg, other.weight_kg):
            continue
        # One without a weight says nothing about another one that has it.
        if other.weight_kg is not None or weight_kg is None:
            return other.verdict
    return None


def _weight_of(result: PersonalResult, held: Iterable[PersonalResult]) -> float | None:
    """Return the weight that belongs to a result without one; None if there is none."""
    weights = (
        _number(other, "weight_kg")
        for other in held
        if other.kind != result.kind and other.device_time == result.device_time
    )
    return next((kg for kg in weights if kg is not None), None)


def _agree(kg: float | None, other: float | None) -> bool:
    return kg is None or other is None or abs(kg - other) <= _SAME_KG


def _number(result: Measurement, key: str) -> float | None:
    number: float | None = getattr(result, key, None)
    return number


def _user(result: Measurement) -> int | None:
    user: int | None = getattr(result, "user_id", None)
    return user
