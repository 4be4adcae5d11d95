"""A command as a process of its own: it shares no memory and no imports with another one."""

import asyncio
from collections.abc import Mapping

from benchmarks.trees import Tree
from tests.support.process import Healthd


class Launched(Healthd):
    """``python -m healthd`` of a tree, or another program; an async context manager that runs it.

    The processes of tests are forked from one that has imported nearly everything, which would hide
    the memory and the time of imports.
    """

    def __init__(
        self,
        tree: Tree,
        *arguments: str,
        program: tuple[str, ...] = ("-m", "healthd"),
        environ: Mapping[str, str] | None = None,
        descriptors: tuple[int, ...] = (),
    ) -> None:
        """Prepare.

        Args:
            tree: whose interpreter and modules are used.
            arguments: of the program.
            program: what the interpreter runs.
            environ: is added to a clean environment.
            descriptors: open files that the process inherits.
        """
        super().__init__(*arguments, environ=environ)
        self._tree, self._program, self._inherited = tree, program, descriptors

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            self._tree.python,
            *self._program,
            *self._arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environ,
            cwd=self._tree.root,
            pass_fds=self._inherited,
        )
