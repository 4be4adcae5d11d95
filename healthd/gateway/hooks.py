"""What else happens to samples and results on their way through the pipeline."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from healthd.profiles.link_state import Timed
from healthd.profiles.records import Records
from healthd.samples import Measurement, Sample, Stamp


def _ignore_sample(_sample: Sample) -> None:
    pass


def _as_it_is(_peripheral: str, timed: Timed) -> Measurement:
    return timed.measurement


def _ignore_held(_p: str, _held: Collection[Timed], _records: Records, _now: Stamp) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Hooks:
    """The pipeline's hooks; by default they do nothing.

    Attributes:
        on_live: called with every sample that belongs to a live topic.
        finish: returns what to publish for a finished result of a peripheral. Called once for each
            result, live or stored, just before it becomes a sample.
        on_held: called with a peripheral, the results of it that are held back from now on, its
            known records, and the present time.
    """

    on_live: Callable[[Sample], None] = _ignore_sample
    finish: Callable[[str, Timed], Measurement] = _as_it_is
    on_held: Callable[[str, Collection[Timed], Records, Stamp], None] = _ignore_held
