"""The CPU time that a running healthd has spent on imports: its own, and those of libraries.

A list of modules would miss those that are loaded when the first device needs them. So healthd runs
as a whole, and the function through which Python loads each new module is measured.
"""

import os
from tempfile import TemporaryFile
from types import TracebackType
from typing import Self

# Runs first in the process. ``_find_and_load`` of importlib is called for each module that is not
# loaded yet, by statements and functions alike. Nested calls are part of the outermost one.
_SCRIPT = """
import _frozen_importlib, _thread, os, sys, time
counter, total, load, local = int(sys.argv.pop(1)), 0, _frozen_importlib._find_and_load, \
_thread._local()
def measured(*arguments):
    global total
    if getattr(local, "inside", False):
        return load(*arguments)
    local.inside, before = True, time.thread_time_ns()
    try:
        return load(*arguments)
    finally:
        local.inside = False
        total += time.thread_time_ns() - before
        os.pwrite(counter, b"%020d" % total, 0)
_frozen_importlib._find_and_load = measured
import healthd
path = healthd.__path__[0] + "/__main__.py"
with open(path) as file:
    exec(compile(file.read(), path, "exec"), {"__name__": "__main__"})
"""


class Importing:
    """A counter that a process writes to; a context manager.

    Attributes:
        program: what the interpreter has to run; the arguments of healthd follow.
        descriptor: to be inherited by the process.
    """

    def __enter__(self) -> Self:
        """Make the counter."""
        self._file = TemporaryFile()
        self.descriptor = self._file.fileno()
        self.program = ("-c", _SCRIPT, str(self.descriptor))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self._file.close()

    def seconds(self) -> float:
        """Return the CPU time of all imports until now."""
        return int(os.pread(self.descriptor, 20, 0)) / 1e9
