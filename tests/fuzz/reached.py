"""Which lines of healthd have run: an input that reaches a new one is worth more changes."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Self

import healthd

PACKAGE = str(Path(healthd.__file__).parent)

# One of the two numbers that Python leaves to tools without a purpose of their own.
_TOOL = 4


class Reached:
    """Counts the lines of healthd that have run inside the context.

    Attributes:
        count: how many different ones.
    """

    def __init__(self) -> None:
        """Start at 0."""
        self.count = 0
        # Of each function that has run: the lines that have not.
        self._missing: dict[CodeType, set[int]] = {}

    def __enter__(self) -> Self:
        """Begin. Python 3.12 and newer reports a line only once, so this costs nothing there."""
        if sys.version_info >= (3, 12):
            sys.monitoring.use_tool_id(_TOOL, "tests.fuzz")
            sys.monitoring.register_callback(_TOOL, sys.monitoring.events.LINE, self._on_new_line)
            sys.monitoring.set_events(_TOOL, sys.monitoring.events.LINE)
        else:
            sys.settrace(self._on_call)
        return self

    def __exit__(self, *exception: object) -> None:
        """End."""
        if sys.version_info >= (3, 12):
            sys.monitoring.set_events(_TOOL, 0)
            sys.monitoring.free_tool_id(_TOOL)
        else:
            sys.settrace(None)

    def _on_new_line(self, code: CodeType, _: int) -> object:
        if code.co_filename.startswith(PACKAGE):
            self.count += 1
        if sys.version_info >= (3, 12):
            return sys.monitoring.DISABLE
        return None

    def _on_call(self, frame: FrameType, _event: str, _arg: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        missing = self._missing.get(code)
        if missing is None:
            if not code.co_filename.startswith(PACKAGE):
                return None
            missing = self._missing[code] = {line for *_, line in code.co_lines() if line}
        return self._on_line if missing else None

    def _on_line(self, frame: FrameType, event: str, _arg: Any) -> Callable[..., Any]:
        missing = self._missing[frame.f_code]
        if event == "line" and frame.f_lineno in missing:
            missing.discard(frame.f_lineno)
            self.count += 1
        return self._on_line
