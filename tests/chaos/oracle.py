"""The oracle: derive from the observations which samples were lost.

Every sample that the daemon accepted must be *received* by an independent subscriber, be *named* by
a gap event, or have been accepted so shortly before a crash that the promise allows its loss.
If a broker was killed, a sample whose PUBACK had reached the daemon before counts as delivered too:
healthd is not responsible for what the broker loses afterwards.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.chaos.observations import Accepted, Gap, Key, Observations, Stream

# Gaps of these reasons are times without samples, so they excuse no accepted sample.
_WITHOUT_SAMPLES = frozenset({"link_lost", "stalled", "stopped"})


@dataclass
class Verdict:
    """The result of the check; ``lost`` and ``faults`` must be empty."""

    accepted: int = 0
    delivered: int = 0
    duplicates: int = 0
    by_broker: int = 0
    destroyed: int = 0
    named: int = 0
    allowed: int = 0
    overclaimed: int = 0
    lost: list[tuple[Accepted, str]] = field(default_factory=list[tuple[Accepted, str]])
    faults: list[str] = field(default_factory=list[str])

    @property
    def good(self) -> bool:
        return not self.lost and not self.faults

    def __str__(self) -> str:
        lines = [
            f"accepted {self.accepted}, delivered {self.delivered}, lost {len(self.lost)}, "
            f"duplicates {self.duplicates}, named by gaps {self.named} "
            f"(gaps count {self.overclaimed} too many), within the allowance {self.allowed}, "
            f"lost by a killed broker {self.by_broker}, "
            f"in a damaged database {self.destroyed}"
        ]
        lines += [f"LOST {s.key} accepted at {s.mono_ns}: {why}" for s, why in self.lost[:20]]
        lines += [f"FAULT {fault}" for fault in self.faults[:20]]
        return "\n".join(lines)


class MissingSamples:
    """The excuses for missing samples that the observations give."""

    def __init__(self, observations: Observations) -> None:
        self._acknowledged = observations.acknowledged
        self._destroyed = observations.destroyed
        self._crashes = {crash.run: crash for crash in observations.crashes}
        self._gaps: dict[Stream, list[Gap]] = defaultdict(list)
        for gap in observations.gaps:
            self._gaps[gap.stream_key].append(gap)

    def excuse(self, missing: Accepted) -> tuple[str, str]:
        """Return why a sample may be missing, or why it counts as lost.

        Returns:
            The kind of excuse and an empty text; or an empty kind and the problem.
        """
        if missing.key in self._acknowledged:
            return "by_broker", ""
        if missing.key in self._destroyed:
            return "destroyed", ""
        covering = [gap for gap in self._gaps[missing.key.stream_key] if gap.covers(missing)]
        if any(gap.reason not in (*_WITHOUT_SAMPLES, "unclean_stop") for gap in covering):
            return "named", ""
        crash = self._crashes.get(missing.key.run)
        if crash is None:
            return "", "not delivered and not named by a gap"
        age_ms = (crash.mono_ns - missing.mono_ns) / 1e6
        if crash.mono_ns - missing.mono_ns > crash.allowance_ns:
            return "", f"not delivered, accepted {age_ms:.0f} ms before the crash"
        # Only continuous streams have gaps, unlike battery levels or events.
        continuous = missing.key.stream == "heart_rate"
        if continuous and not any(gap.reason == "unclean_stop" for gap in covering):
            return "", f"accepted {age_ms:.0f} ms before the crash, no unclean_stop gap names it"
        return "allowed", ""


def check(observations: Observations) -> Verdict:
    """Check all observations."""
    received = {delivery.key for delivery in observations.deliveries}
    accepted = {sample.key: sample for sample in observations.accepted}
    until_ns = sys.maxsize if observations.until_ns is None else observations.until_ns
    missing = [
        sample
        for key, sample in accepted.items()
        if key not in received and sample.mono_ns < until_ns
    ]
    verdict = Verdict(accepted=len(accepted), delivered=len(received & accepted.keys()))
    verdict.duplicates = len(observations.deliveries) - len(received)
    kinds: Counter[str] = Counter()
    excuses = MissingSamples(observations)
    for sample in missing:
        kind, why = excuses.excuse(sample)
        kinds[kind] += 1
        if not kind:
            verdict.lost.append((sample, why))
    verdict.named, verdict.allowed = kinds["named"], kinds["allowed"]
    verdict.by_broker, verdict.destroyed = kinds["by_broker"], kinds["destroyed"]
    if len(accepted) != len(observations.accepted):
        verdict.faults.append("two samples of a stream have the same id")
    verdict.faults += [f"received but not accepted: {k}" for k in received - accepted.keys()]
    verdict.faults += [f"not a sample: {text}" for text in observations.unknown]
    verdict.faults += _order_faults(observations)
    verdict.overclaimed, count_faults = _compare_counts(observations.gaps, missing)
    verdict.faults += count_faults
    return verdict


def _order_faults(observations: Observations) -> Iterable[str]:
    """Report samples whose first delivery came after that of a younger sample at the same topic.

    The first delivery of an id counts, whatever its topic: a subscriber that removes duplicates
    drops the second one, even if the first came live and the second as history. Events are
    excluded, because new and delayed events have the same topic.
    """
    runs: dict[str, int] = {}
    for sample in observations.accepted:
        runs.setdefault(sample.key.run, len(runs))
    newest: dict[tuple[str, str, bool], tuple[int, int]] = {}
    seen: set[Key] = set()
    for key, history, _ in observations.deliveries:
        if not key.peripheral or key in seen:
            continue
        seen.add(key)
        place, topic = (runs.get(key.run, -1), key.seq), (key.peripheral, key.stream, history)
        if place < newest.get(topic, (-1, 0)):
            kind = "history" if history else "live"
            yield f"out of order in {kind}: {key} after {newest[topic]}"
        newest[topic] = max(place, newest.get(topic, (-1, 0)))


def _compare_counts(gaps: Iterable[Gap], missing: Iterable[Accepted]) -> tuple[int, list[str]]:
    """Return by how many the gaps count too much, and the streams where they count too little."""
    counted = [gap for gap in gaps if gap.count is not None]
    claims: Counter[Stream] = Counter()
    for gap in counted:
        claims[gap.stream_key] += gap.count or 0
    found: Counter[Stream] = Counter()
    by_stream: dict[Stream, list[Gap]] = defaultdict(list)
    for gap in counted:
        by_stream[gap.stream_key].append(gap)
    for sample in missing:
        stream = sample.key.stream_key
        found[stream] += any(gap.covers(sample) for gap in by_stream[stream])
    too_few = [
        f"{stream}: {found[stream]} samples are missing, but gaps count {claims[stream]}"
        for stream in claims
        if found[stream] > claims[stream]
    ]
    return sum((claims - found).values()), too_few
