"""``python -c SCRIPT ARGUMENT...`` without the time that imports take: forked once they are done.

Each run has its own process, environment, standard streams and exit code. As a program, this module
takes the script of the imports, reads a JSON object per run and answers with its exit code.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

# A run that takes longer is killed.
_BOUND_S = 50

_ROOT = Path(__file__).parents[2]


class Forking:
    """A process that has imported what a script needs, and forks for each of its runs.

    It is started by the first run.
    """

    def __init__(self, script: str, imports: str) -> None:
        """Prepare; ``imports`` is a script that runs once, before all forks."""
        self._script = script
        self._imports = imports
        self._process: subprocess.Popen[bytes] | None = None

    def run(
        self, arguments: Sequence[str], environ: Mapping[str, str], folder: Path
    ) -> tuple[int, bytes, bytes]:
        """Run the script to its end.

        Args:
            arguments: ``sys.argv[1:]`` of the script.
            environ: its environment.
            folder: for the files that its output goes to.

        Returns:
            The exit code, standard output and standard error.
        """
        if self._process is None:
            command = (sys.executable, "-m", "tests.support.forking", self._imports)
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=_ROOT)
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        files = folder / "forked.out", folder / "forked.err"
        run = {
            "script": self._script,
            "arguments": list(map(str, arguments)),
            "environ": dict(environ),
            "files": list(map(str, files)),
        }
        stdin.write(orjson.dumps(run) + b"\n")
        stdin.flush()
        code = int(stdout.readline())
        out, err = (file.read_bytes() for file in files)
        return code, out, err

    def stop(self) -> None:
        """End the process; the next run starts another one."""
        if self._process is not None:
            self._process.communicate()
            self._process = None


def main() -> None:
    """Serve runs until standard input ends."""
    exec(sys.argv[1], {})
    for line in sys.stdin.buffer:
        run = orjson.loads(line)
        if (child := os.fork()) == 0:
            out, err = run["files"]
            for number, file in enumerate((os.devnull, out, err)):
                os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
            signal.alarm(_BOUND_S)
            os.environ.clear()
            os.environ.update(run["environ"])
            sys.argv = ["-c", *run["arguments"]]
            exec(run["script"], {"__name__": "__main__"})
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
