"""Options of the whole test run."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options are known only to a conftest that is loaded before anything is collected."""
    parser.addoption(
        "--soak-seconds",
        type=float,
        default=None,
        metavar="N",
        help="run tests/end_to_end's soak for this long, with straps that send once a second",
    )
