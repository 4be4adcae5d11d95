"""Omron cuffs: a memory that is read in a session, behind a key or a bond."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Collection
from datetime import datetime, timedelta

from bumble.gatt import Characteristic

from healthd.simulator.attributes import notifying, service, writeable
from healthd.simulator.feed import Feed
from healthd.simulator.part import Part
from healthd.simulator.strap import device_information_part
from healthd.simulator.vendor.omron_memory import Cuff, Memory, Reading

KEY = bytes.fromhex("6f6d726f6e2073696d756c61746f7200")
"""The key that was agreed with the cuff of the catalogue."""

_CLASSIC, _MODERN = "ECBE3980-C9A2-11E1-B1BD-0002A5D5C51B", 0xFE4A
_UNLOCK = "B305B680-AEE7-11E1-A730-0002A5D5C51B"
_TX = (
    "DB5B55E0-AEE7-11E1-965E-0002A5D5C51B",
    "E0B8A060-AEE7-11E1-92F4-0002A5D5C51B",
    "0AE12B00-AEE8-11E1-A192-0002A5D5C51B",
    "10E1BA60-AEE8-11E1-89E5-0002A5D5C51B",
)
_RX = (
    "49123040-AEE8-11E1-A74D-0002A5D5C51B",
    "4D0BF320-AEE8-11E1-A0D9-0002A5D5C51B",
    "5128CE60-AEE8-11E1-B84B-0002A5D5C51B",
    "560F1420-AEE8-11E1-8184-0002A5D5C51B",
)
_PIECE = 16

AWAKE_S = 60.0
"""How long a cuff waits for requests before it goes to sleep."""

# Few enough that a demo shows all of them soon, and more than a read returns.
_STORED = 8
_HOURS_BETWEEN = 9


class Transfers:
    """The services of a cuff; each link lasts until the cuff goes to sleep.

    Attributes:
        cuff: What answers.
    """

    def __init__(
        self,
        cuff: Cuff,
        *,
        awake_s: float = AWAKE_S,
        wakes_after_s: float | None = None,
        dies_after: Collection[int] = (),
        on_wake: Callable[[], None] = lambda: None,
    ) -> None:
        """Create a cuff that is awake.

        Args:
            cuff: What answers.
            awake_s: After how many seconds without a request it goes to sleep.
            wakes_after_s: After how many seconds it advertises again; None: not by itself.
            dies_after: After which answers, counted from 1 over all links, it goes to sleep at
                once.
            on_wake: Called before each link but the first.
        """
        self.cuff = cuff
        self._awake_s = awake_s
        self._wakes_after_s = wakes_after_s
        self._dies_after = frozenset(dies_after)
        self._on_wake = on_wake
        self._answered = self._links = 0
        self._requests: asyncio.Queue[bytes] = asyncio.Queue()
        self._pieces: dict[int, bytes] = {}
        self._unlocked = Feed()
        self._others = [Feed() for _ in _RX[1:]]

    def part(self) -> Part:
        """Return the service; most advertise only that of blood pressures, which is 16 bits."""
        is_modern = self.cuff.memory.map.is_modern
        channels = 1 if is_modern else len(_TX)
        unlock = writeable(_UNLOCK, self._on_unlock, notifies=True)
        tx = [writeable(uuid, self._receiver(at)) for at, uuid in enumerate(_TX[:channels])]
        rx = [notifying(uuid) for uuid in _RX[:channels]]
        payloads = {unlock: self._unlocked.payloads, rx[0]: self._answers}
        payloads |= {
            characteristic: feed.payloads
            for characteristic, feed in zip(rx[1:], self._others, strict=False)
        }
        all_: list[Characteristic[bytes]] = [unlock, *tx, *rx]
        return Part(
            service(_MODERN if is_modern else _CLASSIC, all_),
            payloads,
            advertised=is_modern,
            rests=True,
            wakes_after_s=self._wakes_after_s,
        )

    def _on_unlock(self, request: bytes) -> None:
        if request and (answer := self.cuff.unlock(request)) is not None:
            self._unlocked.put(answer)

    def _receiver(self, place: int) -> Callable[[bytes], None]:
        def receive(piece: bytes) -> None:
            if place == 0:
                self._pieces.clear()
            self._pieces[place] = piece
            frame = b"".join(self._pieces[each] for each in sorted(self._pieces))
            if frame and len(frame) >= frame[0]:
                self._pieces.clear()
                self._requests.put_nowait(frame)

        return receive

    async def _answers(self) -> AsyncGenerator[bytes, None]:
        """Generate the first piece of each answer; the others follow on their own ways."""
        if self._links:
            self._on_wake()
        self._links += 1
        self.cuff.begin_link()
        while not self._requests.empty():
            self._requests.get_nowait()
        while True:
            try:
                async with asyncio.timeout(self._awake_s):
                    frame = await self._requests.get()
            except TimeoutError:
                return
            if (answer := self.cuff.answer(frame)) is None:
                continue
            if self.cuff.memory.map.is_modern:
                yield answer
            else:
                first, *others = _pieces(answer)
                yield first
                for feed, piece in zip(self._others, others, strict=False):
                    feed.put(piece)
                    await feed.drain()
            self._answered += 1
            if self._answered in self._dies_after:
                return


def _pieces(frame: bytes) -> list[bytes]:
    """Return the pieces of an answer; the last one is padded, as by real cuffs."""
    starts = range(0, len(frame), _PIECE)
    return [frame[at : at + _PIECE].ljust(_PIECE, b"\0") for at in starts]


def filled(
    rng: random.Random, model: str, *, stored: int = _STORED, until: datetime | None = None
) -> Memory:
    """Return a memory in which each user has measured every nine hours.

    Args:
        rng: The random generator.
        model: The model, as in ``omron_memory.MAPS``.
        stored: How many measurements of each user.
        until: The time of the last one, by the cuff's clock; now if it is None.
    """
    memory = Memory(model)
    until = until or datetime.now()  # noqa: DTZ005 - the device knows no time zone
    users = range(1, len(memory.map.users) + 1)
    for past in range(stored, 0, -1):
        for user in users:
            # The users measure one after the other.
            at = until - timedelta(hours=past * _HOURS_BETWEEN, minutes=-7 * user)
            memory.store(user, reading(rng, at))
    return memory


def reading(rng: random.Random, at: datetime) -> Reading:
    """Return a measurement of a healthy person at this time."""
    return Reading(
        at.replace(microsecond=0),
        rng.randint(112, 134),
        rng.randint(70, 86),
        rng.randint(58, 78),
        moved=rng.random() < 0.05,
        irregular=rng.random() < 0.1,
    )


def omron(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a cuff of the classic stack, with a new measurement on each link."""
    return _parts(rng, period, "HEM-7361T", "HEM-7361T-EBK", key=KEY)


def omron_modern(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a cuff of the modern stack, with a new measurement on each link."""
    return _parts(rng, period, "HEM-7380T1", "HEM-7380T1-EBK", key=None)


def _parts(
    rng: random.Random, period: float, layout: str, model: str, *, key: bytes | None
) -> tuple[Part, ...]:
    memory = filled(rng, layout)

    def measure() -> None:
        user = rng.randint(1, len(memory.map.users))
        memory.store(user, reading(rng, datetime.now()))  # noqa: DTZ005 - as above

    transfers = Transfers(
        Cuff(memory, key=key), awake_s=period, wakes_after_s=period, on_wake=measure
    )
    return transfers.part(), device_information_part({0x2A29: "OMRON HEALTHCARE", 0x2A24: model})
