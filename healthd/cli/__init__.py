"""The commands; each one has its own module and loads only what it needs."""

import os
import sys
from io import TextIOWrapper
from types import ModuleType
from typing import cast

from healthd.cli import console


def main() -> None:
    """Run ``healthd`` from the command line."""
    _occupy_standard_streams()
    sys.excepthook = console.show_traceback
    # The daemon runs for months on a small machine: never load what only prints help and tables.
    if sys.argv[1:2] == ["run"]:
        # structlog imports rich (5 MB) if it is installed; None makes the import fail.
        sys.modules["rich"] = cast("ModuleType", None)
        from healthd.cli.run import main as run

        sys.exit(run(sys.argv[2:]))
    from healthd.cli.app import app

    app()


def _occupy_standard_streams() -> None:
    """Open /dev/null in place of standard streams that are closed (such as by ``2>&-``).

    Otherwise the next file or socket gets the number of standard error, and a library that reports
    there writes into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    # Python has None in place of a closed stream. The log counts its lines; commands just write.
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout.encoding != "utf-8":
        # A terminal with few characters shows question marks instead of failing.
        cast("TextIOWrapper", sys.stdout).reconfigure(errors="replace")
