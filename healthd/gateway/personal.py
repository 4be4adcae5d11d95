"""The second sample of a result: at the topic of the person whose it is."""

from healthd.mqtt.topics import person_stream
from healthd.profiles.common.personal import PersonalResult
from healthd.profiles.link_state import Timed
from healthd.profiles.records import Records
from healthd.profiles.results.episodes import restore
from healthd.runs import Run
from healthd.samples import Sample


def copy_for_person(run: Run, records: Records, timed: Timed, sample: Sample) -> Sample | None:
    """Return the sample of a result for its person; None if it has none.

    Deliver it before the sample itself: once that is stored, the device's record is not taken
    again. It is live unless it is older than the person's newest one, no matter whose results came
    in between.

    Args:
        run: makes the sample.
        records: which of the peripheral's results became samples; noted here.
        timed: the result.
        sample: the sample of the result, in the stream of all people.
    """
    made = sample.measurement
    if not isinstance(made, PersonalResult) or made.person is None:
        return None
    stream = person_stream(made.person, sample.stream)
    known = records.results(stream)
    stored = timed.stored and restore(timed, known).stored
    if timed.record is not None:
        known.add_if_new(timed.record)
    return run.sample(
        sample.peripheral,
        stream,
        made,
        sample.stamp,
        sample.delay_ns,
        timed.record,
        stored=stored,
    )
