"""The order of the gateway's own events: those of one kind arrive in the order of their numbers.

Events have a single topic, live or stored, and consumers keep the last one. So one event of a kind
is on its way at a time, and as long as one of them waits on the disk, the later ones go there too.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from healthd.outbox.pending import Pending
from healthd.outbox.schema import Stream


class EventOrder:
    """What follows the event on its way, and which kinds have events on the disk."""

    def __init__(self) -> None:
        """Start with none."""
        self._following: dict[Stream, deque[Pending]] = {}
        self._on_disk: Counter[Stream] = Counter()

    def __iter__(self) -> Iterator[Pending]:
        """Yield the events that follow another one, in memory."""
        for following in self._following.values():
            yield from following

    def __len__(self) -> int:
        """Return how many events follow another one."""
        return sum(map(len, self._following.values()))

    def may_be_sent(self, pending: Pending) -> bool:
        """Return whether an event may be sent now; it is kept here if another one is on its way."""
        stream = pending.sample_stream
        if (following := self._following.get(stream)) is not None:
            following.append(pending)
            return False
        self._following[stream] = deque()
        return True

    def goes_to_disk(self, stream: Stream) -> bool:
        """Return whether events of this kind are on the disk, so that the next one goes there."""
        return stream in self._on_disk

    def any_on_disk(self) -> bool:
        """Return whether any events are on the disk."""
        return bool(self._on_disk)

    def note_on_disk(self, stream: Stream, count: int = 1) -> None:
        """Note that events of this kind are on the disk, or about to be written."""
        self._on_disk[stream] += count

    def note_gone(self, stream: Stream, count: int = 1) -> None:
        """Note that events of this kind have left the disk: delivered or lost."""
        self._on_disk[stream] -= count
        if self._on_disk[stream] <= 0:
            del self._on_disk[stream]

    def delivered(self, stream: Stream) -> Pending | None:
        """Note that the event on its way was delivered live; return the one that follows it."""
        following = self._following.get(stream)
        if following is None:
            # It was stored in the meantime, and was acknowledged late.
            self.note_gone(stream)
        elif following:
            return following.popleft()
        else:
            del self._following[stream]
        return None

    def drop_oldest(self) -> None:
        """Forget the oldest event of the kind of which most follow another one."""
        max(self._following.values(), key=len).popleft()

    def divert(self, stream: Stream) -> deque[Pending]:
        """Note that the event on its way goes to the disk; return those that have to follow."""
        following = self._following.pop(stream, deque[Pending]())
        self.note_on_disk(stream, 1 + len(following))
        return following

    def forget_disk(self, still_to_write: Iterable[Pending]) -> None:
        """Note that the store has lost all its rows; these will be written again."""
        self._on_disk = Counter(
            pending.sample_stream for pending in still_to_write if not pending.sample.peripheral
        )
