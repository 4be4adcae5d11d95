"""A notification as it is read from a log: nearly all of a long one, so it is cheap to make."""

from datetime import UTC, datetime
from typing import NamedTuple

from healthd.traffic.lines import Notified, at


class Value(NamedTuple):
    """A notified value.

    Attributes:
        micros: its time in microseconds since 1970, UTC.
        start: the time of the first line, likewise.
        device: address of the device.
        link: number of the link in the file.
        uuid: of the characteristic; None if the log does not say.
        handle: of its value.
        value: the bytes.
        confirmed: whether it was an indication.
    """

    micros: int
    start: int
    device: str
    link: int
    uuid: str | None
    handle: int
    value: bytes
    confirmed: bool

    def line(self) -> Notified:
        """Return the same as a line of a capture."""
        return Notified(
            **at((self.micros - self.start) / 1e6, moment(self.micros)),
            device=self.device,
            link=self.link,
            uuid=self.uuid,
            handle=self.handle,
            value=self.value,
            confirmed=self.confirmed,
        )


def moment(micros: int) -> datetime:
    """Return a time in microseconds since 1970 as a time of the day."""
    seconds, rest = divmod(micros, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
