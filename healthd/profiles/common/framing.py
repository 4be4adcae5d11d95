"""Framings that the protocols of several makers have in common; see ``characteristic.Framing``."""

from collections.abc import Callable, Collection, Iterable

from healthd.profiles.characteristic import Framing


class WholeFrames:
    """Every value is a frame."""

    def __init__(self, write: str) -> None:
        """Prepare.

        Args:
            write: UUID of the characteristic that is written.
        """
        self._write = write

    def cut(self, frame: bytes) -> Iterable[tuple[str, bytes]]:
        """Return the frame as it is."""
        return ((self._write, frame),)

    def join(self, uuid: str, piece: bytes) -> Iterable[bytes]:
        """Return the value as it is."""
        del uuid
        return (piece,)


def whole_frames(write: str) -> Callable[[Collection[str]], Framing]:
    """Return what makes the framing of a device whose values are whole frames.

    Args:
        write: UUID of the characteristic that is written.
    """

    def make(_uuids: Collection[str]) -> Framing:
        return WholeFrames(write)

    return make


def in_pieces(frame: bytes, size: int) -> list[bytes]:
    """Return a frame in pieces of at most this many bytes."""
    return [frame[at : at + size] for at in range(0, len(frame), size)]
