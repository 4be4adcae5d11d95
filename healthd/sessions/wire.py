"""How the requests of a control point and its messages travel: as single values, or in pieces."""

from collections.abc import Callable
from typing import Protocol

from healthd.central.link import Link
from healthd.errors import DecodeError
from healthd.log import get_logger
from healthd.profiles.characteristic import Channel, Characteristic

OnFrame = Callable[[bytes], None]


class Wire(Protocol):
    """The way to one control point of a device and back."""

    @property
    def is_there(self) -> bool:
        """Whether the device has what is written, and what answers."""
        ...

    async def subscribe(self, on_frame: OnFrame) -> None:
        """Subscribe to the messages; the same ``on_frame`` each time it is tried.

        Raises:
            LinkFault: the device refuses, does not answer, or is gone.
        """
        ...

    async def write(self, request: bytes) -> None:
        """Write a request.

        Raises:
            LinkFault: the device refuses, does not answer, or is gone.
        """
        ...


def wire_of(link: Link, control: Characteristic) -> Wire:
    """Return the way to a control point."""
    if control.channel is None:
        return _Single(link, control.uuid)
    return _Framed(link, control.channel)


class _Single:
    """A characteristic that is written and indicates the answers."""

    def __init__(self, link: Link, uuid: str) -> None:
        self._link = link
        self._uuid = uuid

    @property
    def is_there(self) -> bool:
        return self._link.can_write(self._uuid)

    async def subscribe(self, on_frame: OnFrame) -> None:
        await self._link.subscribe(self._uuid, on_frame)

    async def write(self, request: bytes) -> None:
        await self._link.write(self._uuid, request)


class _Framed:
    """Characteristics that carry the pieces of frames."""

    def __init__(self, link: Link, channel: Channel) -> None:
        self._link = link
        self._channel = channel
        self._framing = channel.framing(link.characteristics)
        self._subscribed: set[str] = set()
        self._log = get_logger(service="control_point")

    @property
    def is_there(self) -> bool:
        first = self._channel.writes[0]
        can_write = self._link.can_write(first) or self._link.can_write(first, response=False)
        return can_write and self._link.characteristics.issuperset(self._channel.notifies[:1])

    async def subscribe(self, on_frame: OnFrame) -> None:
        for uuid in self._channel.notifies:
            # What a refused try has subscribed must not be subscribed twice.
            if uuid in self._link.characteristics and uuid not in self._subscribed:
                await self._link.subscribe(uuid, self._joined(uuid, on_frame))
                self._subscribed.add(uuid)

    def _joined(self, uuid: str, on_frame: OnFrame) -> Callable[[bytes], None]:
        def take(piece: bytes) -> None:
            try:
                for frame in self._framing.join(uuid, piece):
                    on_frame(frame)
            except DecodeError as error:
                # As if it had not come: the request is written again.
                self._log.debug("undecoded", uuid=uuid, error=str(error))

        return take

    async def write(self, request: bytes) -> None:
        for uuid, piece in list(self._framing.cut(request)):
            await self._link.write(uuid, piece, response=self._is_acknowledged(uuid))

    def _is_acknowledged(self, uuid: str) -> bool:
        """Return whether to write with a response; many devices offer only the other way."""
        if self._channel.acknowledged:
            return self._link.can_write(uuid)
        return not self._link.can_write(uuid, response=False)
