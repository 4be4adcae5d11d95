"""One link to an Omron cuff without a radio or a clock, for tests of the profile."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Characteristic
from healthd.profiles.dialogue import Dialogue, NoAnswer, Request
from healthd.profiles.identity import Identity
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.records import Records
from healthd.profiles.vendor.omron.frames import MEMORY, RX, TX
from healthd.profiles.vendor.omron.keys import UNLOCK
from healthd.profiles.vendor.omron.transfer import CuffState
from healthd.samples import Record, Taken
from healthd.simulator.vendor.omron_memory import Cuff

CONTROLS = {MEMORY.uuid: MEMORY, UNLOCK.uuid: UNLOCK}


class Broken(Exception):
    """The link ended."""


def options(model: str, records: Records, key: bytes | None = None, name: str = "") -> Options:
    return Options(records=records, key=key, device=Identity(name=name, model=model))


class Disk:
    """What healthd remembers of a device's records, also after a restart."""

    def __init__(self) -> None:
        self._taken: dict[Taken, bool] = {}
        self.records = self.restart()

    def restart(self) -> Records:
        """Return the records of the next run of healthd."""

        def settle(gone: Iterable[Taken], changed: object) -> None:
            assert not changed, "results of cuffs have no numbers"
            for taken in gone:
                del self._taken[taken]

        self.records = Records(settle)
        self.records.inherit(self._taken)
        return self.records

    def keep(self, kind: str, record: Record) -> None:
        self._taken[kind, record] = False


@dataclass
class Link:
    """Carries out dialogues as a session does, in an instant.

    Attributes:
        cuff: what answers.
        disk: what was fetched before.
        breaks_after: after how many answers the link ends; None: it does not.
        loses: whether to lose the answer with this number, counted from 0.
        is_killed: whether healthd is killed with the link, so what it holds back is lost.
        samples: what was published.
        asked: the requests, in order.
    """

    cuff: Cuff
    disk: Disk
    breaks_after: int | None = None
    loses: Callable[[int], bool] = lambda _number: False
    is_killed: bool = False
    samples: list[Timed] = field(default_factory=list[Timed])
    asked: list[bytes] = field(default_factory=list[bytes])
    answers: int = 0

    def __post_init__(self) -> None:
        self.cuff.begin_link()
        is_modern = self.cuff.memory.map.is_modern
        self._uuids = {UNLOCK.uuid, TX[0], RX[0]} if is_modern else {UNLOCK.uuid, *TX, *RX}
        self._subscribed: set[str] = set()
        self._state = CuffState(Options(records=self.disk.records))

    def run(self, dialogue: Dialogue, control: str = MEMORY.uuid) -> None:
        """Make the requests of a dialogue, and end the link."""
        try:
            asked = next(dialogue)
            while True:
                request = asked if isinstance(asked, Request) else Request(asked)
                try:
                    answer = self._ask(replace(request, control=request.control or control))
                except NoAnswer as silence:
                    asked = dialogue.throw(silence)
                else:
                    asked = dialogue.send(answer)
        except (StopIteration, Broken):
            pass
        finally:
            dialogue.close()
            if not self.is_killed:
                self._publish(self._state.end())

    def _ask(self, request: Request) -> bytes:
        control = CONTROLS[request.control]
        channel = control.channel
        assert channel is not None
        if not request.data:
            self._subscribed.update(channel.notifies)
            return b""
        self._subscribed.update(channel.notifies)
        framing = channel.framing(self._uuids)
        for _ in range(request.tries or channel.tries):
            self.asked.append(request.data)
            self._note(control, request.data)
            pieces = list(framing.cut(request.data))
            assert all(uuid in self._uuids for uuid, _ in pieces)
            assert all(len(piece) <= 20 for _, piece in pieces) or len(self._uuids) == 3
            for frame in self._answer(control, b"".join(piece for _, piece in pieces)):
                try:
                    joined = [
                        whole
                        for uuid, piece in self._cut(control, frame)
                        for whole in framing.join(uuid, piece)
                    ]
                except DecodeError:
                    continue
                for whole in joined:
                    self._note(control, whole)
                    if channel.answers(request.data, whole):
                        return whole
        raise NoAnswer

    def _answer(self, control: Characteristic, frame: bytes) -> list[bytes]:
        is_memory = control is MEMORY
        answer = self.cuff.answer(frame) if is_memory else self.cuff.unlock(frame)
        if answer is None:
            return []
        assert RX[0] in self._subscribed, "the cuff asks for a bond when this is subscribed"
        number, self.answers = self.answers, self.answers + 1
        if self.breaks_after is not None and number >= self.breaks_after:
            raise Broken
        return [] if self.loses(number) else [answer]

    def _cut(self, control: Characteristic, frame: bytes) -> list[tuple[str, bytes]]:
        if control is UNLOCK:
            return [(UNLOCK.uuid, frame)]
        if self.cuff.memory.map.is_modern:
            return [(RX[0], frame)]
        starts = range(0, len(frame), 16)
        pieces = [frame[at : at + 16].ljust(16, b"\0") for at in starts]
        return list(zip(RX, pieces, strict=False))

    def _note(self, control: Characteristic, message: bytes) -> None:
        self._publish(self._state.take(control.decode(message), len(self.asked)))

    def _publish(self, made: Iterable[Timed]) -> None:
        for timed in made:
            assert timed.record is not None
            kind = timed.measurement.kind
            if self.disk.records.add_if_new(kind, timed.record):
                self.disk.keep(kind, timed.record)
                self.samples.append(timed)
