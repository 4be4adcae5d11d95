"""A notification as it is read from a log: nearly all of a long one, so it is cheap to make."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from healthd.traffic.lines import Notified, at


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """What the values of one characteristic have in common, on one link.

    Attributes:
        device: address of the device.
        link: number of the link in the file.
        uuid: of the characteristic; None if the log does not say.
        handle: of its value.
        confirmed: whether they are indications.
        start: the time of the first line, in microseconds since 1970.
    """

    device: str
    link: int
    uuid: str | None
    handle: int
    confirmed: bool
    start: int


class Value(NamedTuple):
    """A notified value.

    Attributes:
        micros: its time in microseconds since 1970, UTC.
        value: the bytes.
        stream: where it is from.
    """

    micros: int
    value: bytes
    stream: Stream

    def line(self) -> Notified:
        """Return the same as a line of a capture."""
        stream = self.stream
        return Notified(
            **at((self.micros - stream.start) / 1e6, moment(self.micros)),
            device=stream.device,
            link=stream.link,
            uuid=stream.uuid,
            handle=stream.handle,
            value=self.value,
            confirmed=stream.confirmed,
        )


def moment(micros: int) -> datetime:
    """Return a time in microseconds since 1970 as a time of the day."""
    seconds, rest = divmod(micros, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
