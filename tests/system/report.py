"""The output: progress, and at the end what each case measured in each guest."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

_HEADER = ("case", "guest", "verdict", "recovery", "sent", "lost", "in fault", "repeated", "took")


def say(text: str) -> None:
    """Print progress; pytest shows it with ``-s``."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def table(outcomes: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Yield one line for each case and guest, with its notes below."""
    rows: list[tuple[tuple[str, ...], list[str]]] = [(_HEADER, [])]
    for guest, cases in outcomes.items():
        for name, outcome in cases.items():
            counts, recovery = outcome["counts"], outcome["recovery_s"]
            row = (
                *(
                    name,
                    guest,
                    outcome["verdict"],
                    "-" if recovery is None else f"{recovery:.2f} s",
                ),
                *(str(counts[key]) for key in ("sent", "lost", "in_fault", "repeated")),
                f"{outcome['took_s']:.0f} s",
            )
            rows.append((row, outcome["notes"]))
    widths = [max(len(row[column]) for row, _ in rows) for column in range(len(_HEADER))]
    for row, notes in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for note in notes:
            yield f"    {note}"
