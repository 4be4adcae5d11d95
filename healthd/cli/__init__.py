"""The commands; each one has its own module and loads only what it needs."""

import sys
from types import ModuleType
from typing import cast


def main() -> None:
    """Run ``healthd`` from the command line."""
    # The daemon runs for months on a small machine: never load what only prints help and tables.
    if sys.argv[1:2] == ["run"]:
        # structlog imports rich (5 MB) if it is installed; None makes the import fail.
        sys.modules["rich"] = cast("ModuleType", None)
        from healthd.cli.run import main as run

        sys.exit(run(sys.argv[2:]))
    from healthd.cli.app import app

    app()
