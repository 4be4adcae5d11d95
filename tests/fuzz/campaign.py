"""One target for some minutes; what it finds is kept for the next time in ``build/fuzz``."""

import logging
from hashlib import sha256
from pathlib import Path

import structlog

from tests.fuzz.engine import Outcome, run
from tests.fuzz.target import load

_FOLDER = Path(__file__).parents[2] / "build/fuzz"

# Of each target: inputs that reached new lines. No target finds as many.
_KEPT = 500


def explore(name: str, seconds: float, seed: int) -> tuple[str, Outcome]:
    """Run a target, beginning with what earlier runs have kept; see ``engine.run``."""
    kept = sorted((_FOLDER / name).glob("*.input"))
    corpus = [file.read_bytes() for file in kept]
    # Thousands of lines a second say that something was refused.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with load(name) as target:
        outcome = run(target, seconds, seed, corpus=corpus)
    for data in outcome.found[: _KEPT - len(kept)]:
        keep(name, data, "input")
    return name, outcome


def keep(name: str, data: bytes, ending: str) -> Path:
    """Write an input into the target's folder; return the file."""
    file = _FOLDER / name / f"{sha256(data).hexdigest()[:16]}.{ending}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
