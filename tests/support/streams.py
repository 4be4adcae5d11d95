"""Checks a stream's samples against the contract."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.subscriber import Received

Payload = dict[str, Any]


@dataclass
class Stream:
    """One stream of one run, as a subscriber received it, without duplicates.

    Attributes:
        live: seq of each sample at the live topic, in order of first arrival.
        history: the same for the history topic.
        samples: payload by seq.
        duplicates: how many messages were repeated deliveries.
    """

    live: list[int] = field(default_factory=list[int])
    history: list[int] = field(default_factory=list[int])
    samples: dict[int, Payload] = field(default_factory=dict[int, Payload])
    duplicates: int = 0

    @property
    def last_time(self) -> datetime:
        """When the newest sample was taken."""
        return time_of(self.samples[max(self.samples)])

    @property
    def is_whole(self) -> bool:
        """Whether no sample before the newest one is missing."""
        return sorted(self.samples) == [*range(1, len(self.samples) + 1)]

    def check(self) -> None:
        """Check that no sample is missing and that each topic is in order."""
        assert self.is_whole, sorted(self.samples)
        assert self.live == sorted(self.live)
        assert self.history == sorted(self.history)


def streams(messages: Iterable[Received], stream_topic: str) -> dict[str, Stream]:
    """Return the streams of one peripheral's measurement, by run id.

    Args:
        messages: what a subscriber recorded.
        stream_topic: the live topic.
    """
    runs: dict[str, Stream] = {}
    for message in messages:
        if message.topic not in (stream_topic, f"{stream_topic}/history"):
            continue
        payload = message.json()
        run, _, number = payload["id"].partition("-")
        seq = int(number)
        assert payload["seq"] == seq
        stream = runs.setdefault(run, Stream())
        if seq in stream.samples:
            # A repeated delivery is identical, so that consumers can recognize it by its id.
            assert stream.samples[seq] == payload
            stream.duplicates += 1
            continue
        stream.samples[seq] = payload
        (stream.live if message.topic == stream_topic else stream.history).append(seq)
    return runs


def time_of(payload: Payload) -> datetime:
    """Return when the sample was taken; the time must have exactly the documented format."""
    return datetime.strptime(payload["time"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
