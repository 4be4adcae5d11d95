"""One capture that is being made: its lines, with their times, on the way to a sink."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from healthd.traffic.codec import encode
from healthd.traffic.lines import FORMAT, Line, Missing, Start, at


class Sink(Protocol):
    """Where the lines of a capture go. Called in the event loop; must not block."""

    @property
    def wants_start(self) -> bool:
        """Whether the next line has to be the start of a file."""
        ...

    def begin(self) -> None:
        """Prepare for a new file: its start follows."""
        ...

    def put(self, line: bytes) -> bool:
        """Take a line with its line break; return False if there is no room for it."""
        ...


class Recording:
    """Makes the lines of one capture.

    Attributes:
        sink: where they go.
        missing: how many lines had no room, or were lost later, since the last ``missing`` line.
    """

    def __init__(self, sink: Sink, header: Callable[[], Mapping[str, Any]]) -> None:
        """Prepare; ``begin`` writes the first line.

        Args:
            sink: where lines go.
            header: returns what a start says about healthd, the machine and the peripheral.
        """
        self.sink = sink
        self.missing = 0
        self._header = header
        self._began_ns = 0

    def begin(self) -> bool:
        """Write the start of a file; return False if there was no room for it."""
        self.sink.begin()
        self._began_ns = time.monotonic_ns()
        fields = {"format": FORMAT, "source": "healthd", "identity": "kept", **self._header()}
        return self._put(Start, **fields)

    def write(self, kind: type[Line], **fields: Any) -> None:
        """Write a line of this kind for what happens now."""
        if self.missing:
            self._put(Missing, count=self.missing, reason="healthd could not write as fast")
        self._put(kind, **fields)

    def _put(self, kind: type[Line], **fields: Any) -> bool:
        t = 0.0 if kind is Start else (time.monotonic_ns() - self._began_ns) / 1e9
        try:
            text = encode(kind(**at(t, datetime.fromtimestamp(time.time(), UTC)), **fields))
        except ValueError:
            # Whatever a device says, such as a handle of 0: it must not disturb the link.
            has_room = False
        else:
            has_room = self.sink.put(text + b"\n")
        if kind is Missing:
            self.missing = 0 if has_room else self.missing
        elif not has_room:
            self.missing += 1
        return has_room
