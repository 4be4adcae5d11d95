"""The commands; each one has its own module and loads only what it needs."""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from types import ModuleType
from typing import cast


def main() -> None:
    """Run ``healthd`` from the command line."""
    _occupy_standard_streams()
    config = _config_of_the_daemon(sys.argv[1:])
    if config is not None:
        _load_little()
    from healthd.cli import console

    sys.excepthook = console.show_traceback
    if config is not None:
        from healthd.cli.run import main as run

        sys.exit(run(*config))
    from healthd.cli.app import app

    app()


def _config_of_the_daemon(arguments: Sequence[str]) -> Sequence[str] | None:
    """Return the settings file of ``healthd run``, if one is named; None: it is something else.

    Only what the daemon is started with. typer reads all other arguments, and reports mistakes;
    even argparse would take 1 MB and 11 ms.
    """
    match arguments:
        case ["run"]:
            return ()
        case ["run", "--config", path] if not path.startswith("-"):
            return (path,)
        case ["run", option] if option.startswith("--config="):
            return (option.removeprefix("--config="),)
        case _:
            return None


def _load_little() -> None:
    """Keep out of the process what the daemon does not use: it runs for months on a small machine.

    Called before everything else is imported.
    """
    from healthd.cli.deferred import defer

    # structlog imports rich (5 MB) if it is installed; None makes the import fail.
    sys.modules["rich"] = cast("ModuleType", None)
    # pydantic would look for plugins in all installed packages.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    defer()


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
