"""What the store has found damaged or cannot hold, until the outbox reports it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from healthd.events import OutboxChange
from healthd.outbox.schema import Lost
from healthd.outbox.side_file import keep_rows

# An event names the first few streams; each of them has a gap event of its own.
_NAMED = 8


class Found(NamedTuple):
    """What is to be reported.

    Attributes:
        lost: samples that are lost, each with the reason.
        notices: changes of the outbox's state, and details.
    """

    lost: Sequence[tuple[str, Lost]] = ()
    notices: Sequence[tuple[OutboxChange, str]] = ()


class Report:
    """Collects it on the store's thread."""

    def __init__(self, path: Path) -> None:
        """Begin empty; damaged rows are kept in files next to the database at ``path``."""
        self._path = path
        self._lost: list[tuple[str, Lost]] = []
        self._notices: list[tuple[OutboxChange, str]] = []

    def notice(self, change: OutboxChange, detail: str) -> None:
        """Add a change of the outbox's state."""
        self._notices.append((change, detail))

    def set_aside(
        self, reason: str, rows: Sequence[Sequence[Any]], lost: Iterable[Lost], unknown: int = 0
    ) -> None:
        """Keep rows in a side file, and add what is lost with them.

        Args:
            reason: why.
            rows: their columns.
            lost: the same, by stream.
            unknown: how many rows of which nothing is known.
        """
        lost = list(lost)
        self.add_lost(reason, lost)
        where = self._keep(reason, rows)
        self.notice("damaged", f"{len(rows)} rows {_WORDS[reason]}{where}: {named(lost, unknown)}")

    def add_lost(self, reason: str, lost: Iterable[Lost]) -> None:
        """Add samples that are lost."""
        self._lost += [(reason, each) for each in lost]

    def keep(self, reason: str, rows: Sequence[Sequence[Any]]) -> None:
        """Keep rows in a side file."""
        self._keep(reason, rows)

    def _keep(self, reason: str, rows: Sequence[Sequence[Any]]) -> str:
        try:
            return f", set aside in {keep_rows(self._path, reason, rows)}" if rows else ""
        except OSError as error:
            return f", not kept ({error})"

    def pop(self) -> Found:
        """Return what was added since the last call."""
        found = Found(self._lost, self._notices)
        self._lost, self._notices = [], []
        return found


_WORDS = {"damaged": "damaged", "not_storable": "cannot be stored"}


def named(lost: Sequence[Lost], unknown: int) -> str:
    """Return in words which samples are lost."""
    texts = [
        f"{each.peripheral or 'gateway'}/{each.stream} {each.run} {each.first_seq}"
        f" to {each.last_seq} ({each.count})"
        for each in lost[:_NAMED]
    ]
    if more := len(lost) - _NAMED:
        texts += [f"{more} more streams, see the gap events"] if more > 0 else []
    if unknown:
        texts.append(f"{unknown} of which nothing is known")
    return "; ".join(texts)
