"""What the contract says of a stream's samples, whoever received them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.subscriber import Received

Payload = dict[str, Any]


@dataclass
class Stream:
    """One stream of one run, as its subscribers saw it; redeliveries are left out.

    Attributes:
        live: seq of each sample at the live topic, in order of its first arrival.
        history: the same of the history topic.
        samples: payload by seq.
        duplicates: how many deliveries were not the first.
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
        """Whether no sample before the newest is missing."""
        return sorted(self.samples) == [*range(1, len(self.samples) + 1)]

    def check(self) -> None:
        """Nothing is missing, and each topic is in order."""
        assert self.is_whole, sorted(self.samples)
        assert self.live == sorted(self.live)
        assert self.history == sorted(self.history)


def streams(messages: Iterable[Received], stream_topic: str) -> dict[str, Stream]:
    """The streams of one peripheral's measurement, by run id.

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
            # A second delivery is the same to the last byte: it may be told by its id.
            assert stream.samples[seq] == payload
            stream.duplicates += 1
            continue
        stream.samples[seq] = payload
        (stream.live if message.topic == stream_topic else stream.history).append(seq)
    return runs


def time_of(payload: Payload) -> datetime:
    """When the sample was taken, from exactly the contract's form of it."""
    return datetime.strptime(payload["time"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
