"""What the imports of a running healthd cost: CPU time or memory, its own and those of libraries.

A list of modules would miss those that are loaded when the first device needs them. So healthd runs
as a whole, and the function through which Python loads each new module is measured.
"""

import os
from tempfile import TemporaryFile
from types import TracebackType
from typing import Literal, Self

# Runs first in the process. ``_find_and_load`` of importlib is called for each module that is not
# loaded yet, by statements and functions alike. What a module loads itself is not part of it.
_SCRIPT = """
import _frozen_importlib, _thread, os, sys, time
counter, what, load, local = int(sys.argv.pop(1)), sys.argv.pop(1), \
    _frozen_importlib._find_and_load, _thread._local()
statm = os.open("/proc/self/statm", os.O_RDONLY)
page = os.sysconf("SC_PAGE_SIZE")
def resident():
    return int(os.pread(statm, 100, 0).split()[1]) * page
reading, parts = {"time": time.thread_time_ns, "memory": resident}[what], {}
parts["python"] = resident() if what == "memory" else time.process_time_ns()
def measured(name, *more):
    stack = local.__dict__.setdefault("stack", [])
    stack.append(0)
    before = reading()
    try:
        return load(name, *more)
    finally:
        spent, inner, package = reading() - before, stack.pop(), name.partition(".")[0]
        parts[package] = parts.get(package, 0) + spent - inner
        if stack:
            stack[-1] += spent
        else:
            lines = "".join(f"{key} {value}\\n" for key, value in parts.items())
            os.pwrite(counter, lines.encode(), 0)
_frozen_importlib._find_and_load = measured
import healthd
path = healthd.__path__[0] + "/__main__.py"
with open(path) as file:
    exec(compile(file.read(), path, "exec"), {"__name__": "__main__"})
"""


class Importing:
    """What a process writes about its imports; a context manager.

    Attributes:
        program: what the interpreter has to run; the arguments of healthd follow.
        descriptor: to be inherited by the process.
    """

    def __init__(self, what: Literal["time", "memory"] = "time") -> None:
        """Prepare to measure CPU time, or resident memory."""
        self._what = what

    def __enter__(self) -> Self:
        """Open the file."""
        self._file = TemporaryFile()
        self.descriptor = self._file.fileno()
        self.program = ("-c", _SCRIPT, str(self.descriptor), self._what)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self._file.close()

    def parts(self) -> dict[str, int]:
        """Return nanoseconds or bytes of each package until now; ``python`` is its own start."""
        text = os.pread(self.descriptor, os.fstat(self.descriptor).st_size, 0).decode()
        return {name: int(value) for name, value in map(str.split, text.splitlines())}

    def seconds(self) -> float:
        """Return the CPU time of all imports until now."""
        parts = self.parts()
        return (sum(parts.values()) - parts["python"]) / 1e9
