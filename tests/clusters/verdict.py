"""What the subscribers of a cluster received, compared with what the gateway made."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from tests.support.subscriber import Received

# Streams with samples at least this often show a hole; others are silent by nature.
_OFTEN_S = 5.0


PROBE = "probe"
"""Where the subscribers publish, to show how long the cluster itself is silent."""


class Key(NamedTuple):
    """A sample: peripheral, stream and id."""

    peripheral: str
    stream: str
    id: str


class Kill(NamedTuple):
    """A node is killed: its MQTT port, and when, by the monotonic clock."""

    port: int
    at: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was acknowledged, received and missed.

    Attributes:
        acknowledged: samples that the gateway no longer holds.
        held: how many it still holds.
        lost: samples of these that neither a subscriber on a surviving node received, nor one
            whose session the cluster keeps.
        hole_s: the longest silence of each stream's live topic.
        cluster_lost: messages of clients of the cluster itself that it has acknowledged and that no
            subscriber received.
        cluster_s: the longest silence of the cluster itself: no message of a client that is
            connected to a node that runs.
        duplicates: repeated messages at the subscriber that received most of them.
        late: samples that arrived as history.
    """

    acknowledged: int
    held: int
    lost: list[Key]
    cluster_lost: int
    hole_s: Mapping[tuple[str, str], float]
    cluster_s: float
    duplicates: int
    late: int

    @property
    def longest_hole_s(self) -> float:
        """Over all streams."""
        return max(self.hole_s.values())


def made(lines: Iterable[str]) -> dict[Key, float]:
    """Return when each sample of a peripheral was made, from the lines of the tapped outbox."""
    found: dict[Key, float] = {}
    for line in lines:
        mono_ns, _, peripheral, stream, run, seq = line.split()
        if peripheral != "-":
            found[Key(peripheral, stream, f"{run}-{seq}")] = int(mono_ns) / 1e9
    return found


def judge(
    samples: Mapping[Key, float],
    held: Set[Key],
    heard: Mapping[int, list[Received]],
    recorded: list[Received],
    kills: list[Kill],
    until: float,
    cluster_lost: int,
) -> Verdict:
    """Compare.

    What a subscriber receives from the node that dies next does not count: those on the other nodes
    must have received it, too.

    Args:
        samples: when each was made.
        held: those that the gateway still has.
        heard: by port of the node, what its subscriber received.
        recorded: what the subscriber received whose session is kept.
        kills: the nodes that were killed, in this order.
        until: when the last sample was made; holes end there.
        cluster_lost: as in ``Verdict``.
    """
    live: dict[tuple[str, str], list[float]] = defaultdict(list)
    received: set[Key] = set()
    late: set[Key] = set()
    repeated: Counter[int] = Counter()
    probes: list[float] = []
    for port, messages in (*heard.items(), (None, recorded)):
        seen: set[Key] = set()
        probes += [one.at for one in messages if one.topic == PROBE and one.at < until]
        for key, is_live, at in deliveries(messages):
            if port is not None:
                repeated[port] += key in seen
                seen.add(key)
                if _dies_next(kills, at) == port:
                    continue
            received.add(key)
            if is_live:
                live[key.peripheral, key.stream].append(at)
            else:
                late.add(key)
    often = _often(samples)
    holes = {stream: _longest([*times, until]) for stream, times in live.items() if stream in often}
    acknowledged = samples.keys() - held
    lost = sorted(acknowledged - received)
    return Verdict(
        len(acknowledged),
        len(held),
        lost,
        cluster_lost,
        holes,
        _longest(probes),
        max(repeated.values()),
        len(late),
    )


def deliveries(messages: Iterable[Received]) -> Iterator[tuple[Key, bool, float]]:
    """Generate the samples among some messages: which one, whether it is live, and when."""
    for message in messages:
        if message.topic == PROBE:
            continue
        _, _, *rest = message.topic.split("/")
        # A retained message that the broker had kept says nothing about delivery.
        if rest[0] != "device" or rest[2] in ("status", "info") or message.retained:
            continue
        is_live = rest[-1] != "history"
        yield Key(rest[1], rest[2], json.loads(message.payload)["id"]), is_live, message.at


def _longest(times: Iterable[float]) -> float:
    return max(later - earlier for earlier, later in pairwise(sorted(times)))


def _dies_next(kills: list[Kill], at: float) -> int | None:
    return next((kill.port for kill in kills if kill.at > at), None)


def _often(samples: Mapping[Key, float]) -> set[tuple[str, str]]:
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for key, at in samples.items():
        times[key.peripheral, key.stream].append(at)
    return {stream for stream, all_ in times.items() if len(all_) > 1 and _longest(all_) < _OFTEN_S}
