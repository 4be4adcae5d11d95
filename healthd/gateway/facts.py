"""What the pipeline reports besides samples: the result of a run, and facts about a device."""

from typing import Any

from healthd.events import FetchEvent
from healthd.profiles.characteristic import Use
from healthd.samples import Measurement, utc_text
from healthd.sessions.periodic import Fetched


def fetch_event(peripheral: str, fetched: Fetched) -> FetchEvent:
    """Make the event that reports a run."""
    return FetchEvent(
        peripheral=peripheral,
        fetch_run=fetched.run,
        outcome=fetched.outcome,
        reason=fetched.reason,
        duration_s=fetched.duration_s,
        samples=fetched.samples,
        due=utc_text(fetched.due_ns),
    )


def facts_of(measurement: Measurement, use: Use) -> dict[str, Any]:
    """Return what it adds to the device's info: under its kind, unless it identifies the device."""
    fields = measurement.fields()
    if use is not Use.STATIC:
        return {measurement.kind: fields}
    own = {key: fields[key] for key in fields.keys() - Measurement.model_fields.keys()}
    return own if measurement.identifies else {measurement.kind: own}
