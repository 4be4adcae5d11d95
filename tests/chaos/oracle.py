"""The judge: from what was accepted, received and said, to what was lost.

Every sample that the daemon accepted has to be *received* by a subscriber that knows nothing of
healthd, or be *named* by a gap event, or have been accepted so shortly before a crash that the
promise allows it to be missing. Where a broker was killed, a sample whose PUBACK had reached the
daemon before counts as delivered too: what the broker then forgets is the broker's.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.chaos.evidence import Accepted, Evidence, Gap, Key, Stream

# These name a stretch in which nothing was accepted: they excuse no sample.
_STRETCHES = frozenset({"link_lost", "stalled", "stopped"})


@dataclass
class Verdict:
    """What the evidence shows; ``lost`` and ``faults`` have to be empty."""

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
            f"(claimed beyond that {self.overclaimed}), within the allowance {self.allowed}, "
            f"acknowledged by a broker that was killed {self.by_broker}, "
            f"destroyed and announced {self.destroyed}"
        ]
        lines += [f"LOST {one.key} accepted at {one.mono_ns}: {why}" for one, why in self.lost[:20]]
        lines += [f"FAULT {fault}" for fault in self.faults[:20]]
        return "\n".join(lines)


class Judge:
    """Looks a single missing sample up in the evidence."""

    def __init__(self, evidence: Evidence) -> None:
        self._acknowledged = evidence.acknowledged
        self._destroyed = evidence.destroyed
        self._crashes = {crash.run: crash for crash in evidence.crashes}
        self._gaps: dict[Stream, list[Gap]] = defaultdict(list)
        for gap in evidence.gaps:
            self._gaps[gap.of].append(gap)

    def excuse(self, missing: Accepted) -> tuple[str, str]:
        """Why a sample may be missing, or why it may not.

        Returns:
            The kind of excuse, and an empty text; or an empty kind, and what is wrong.
        """
        if missing.key in self._acknowledged:
            return "by_broker", ""
        if missing.key in self._destroyed:
            return "destroyed", ""
        covering = [gap for gap in self._gaps[missing.key.of] if gap.covers(missing)]
        if any(gap.reason not in (*_STRETCHES, "unclean_stop") for gap in covering):
            return "named", ""
        crash = self._crashes.get(missing.key.run)
        if crash is None:
            return "", "not delivered, not named"
        age_ms = (crash.mono_ns - missing.mono_ns) / 1e6
        if crash.mono_ns - missing.mono_ns > crash.allowance_ns:
            return "", f"not delivered, accepted {age_ms:.0f} ms before the crash"
        # Only continuous streams have gaps; a battery level or an event is not a stretch.
        continuous = missing.key.stream == "heart_rate"
        if continuous and not any(gap.reason == "unclean_stop" for gap in covering):
            return "", f"accepted {age_ms:.0f} ms before the crash, no unclean_stop names it"
        return "allowed", ""


def judge(evidence: Evidence) -> Verdict:
    """Weigh everything."""
    received = {delivery.key for delivery in evidence.deliveries}
    accepted = {one.key: one for one in evidence.accepted}
    until_ns = sys.maxsize if evidence.until_ns is None else evidence.until_ns
    missing = [
        one for key, one in accepted.items() if key not in received and one.mono_ns < until_ns
    ]
    verdict = Verdict(accepted=len(accepted), delivered=len(received & accepted.keys()))
    verdict.duplicates = len(evidence.deliveries) - len(received)
    kinds: Counter[str] = Counter()
    single = Judge(evidence)
    for one in missing:
        kind, why = single.excuse(one)
        kinds[kind] += 1
        if not kind:
            verdict.lost.append((one, why))
    verdict.named, verdict.allowed = kinds["named"], kinds["allowed"]
    verdict.by_broker, verdict.destroyed = kinds["by_broker"], kinds["destroyed"]
    if len(accepted) != len(evidence.accepted):
        verdict.faults.append("an id was given to two samples of one stream")
    verdict.faults += [f"never accepted, yet received: {k}" for k in received - accepted.keys()]
    verdict.faults += [f"no sample: {text}" for text in evidence.unknown]
    verdict.faults += _disorder(evidence)
    verdict.overclaimed, wrong = _count(evidence.gaps, missing)
    verdict.faults += wrong
    return verdict


def _disorder(evidence: Evidence) -> Iterable[str]:
    """First deliveries that came behind a younger sample's first delivery at the same topic.

    First of the id, whatever the topic: who remembers ids drops the second one, also where the
    first came live and the second as history. Events are left out: they have one topic for what is
    new and what waited.
    """
    runs: dict[str, int] = {}
    for one in evidence.accepted:
        runs.setdefault(one.key.run, len(runs))
    newest: dict[tuple[str, str, bool], tuple[int, int]] = {}
    seen: set[Key] = set()
    for key, history, _ in evidence.deliveries:
        if not key.peripheral or key in seen:
            continue
        seen.add(key)
        place, topic = (runs.get(key.run, -1), key.seq), (key.peripheral, key.stream, history)
        if place < newest.get(topic, (-1, 0)):
            where = "history" if history else "live"
            yield f"out of order in {where}: {key} behind {newest[topic]}"
        newest[topic] = max(place, newest.get(topic, (-1, 0)))


def _count(gaps: Iterable[Gap], missing: Iterable[Accepted]) -> tuple[int, list[str]]:
    """How much more is called missing than is, and where it is less."""
    counted = [gap for gap in gaps if gap.count is not None]
    claims: Counter[Stream] = Counter()
    for gap in counted:
        claims[gap.of] += gap.count or 0
    found: Counter[Stream] = Counter()
    by_stream: dict[Stream, list[Gap]] = defaultdict(list)
    for gap in counted:
        by_stream[gap.of].append(gap)
    for one in missing:
        found[one.key.of] += any(gap.covers(one) for gap in by_stream[one.key.of])
    wrong = [
        f"{of}: {found[of]} are missing where gaps count {claims[of]}"
        for of in claims
        if found[of] > claims[of]
    ]
    return sum((claims - found).values()), wrong
