"""The commands; each has a module of its own and loads only what it needs."""

import sys
from types import ModuleType
from typing import cast


def main() -> None:
    """Entry point of ``healthd``."""
    # The daemon runs for months on a small machine: it never loads what draws help and tables.
    if sys.argv[1:2] == ["run"]:
        # structlog loads rich, 5 MB, wherever it finds it; None means: not to be found.
        sys.modules["rich"] = cast("ModuleType", None)
        from healthd.cli.run import main as run

        sys.exit(run(sys.argv[2:]))
    from healthd.cli.app import app

    app()
