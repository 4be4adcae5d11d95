"""Options of the whole test run."""

import pytest
from hypothesis import settings

# No deadline for an example: on a busy machine the slowest of a hundred says nothing of the code.
settings.register_profile("default", deadline=None)
# pytest --hypothesis-profile=thorough: what a change to a decoder has to survive once.
settings.register_profile("thorough", deadline=None, max_examples=10_000)
settings.load_profile("default")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options are known only to a conftest that is loaded before anything is collected."""
    parser.addoption(
        "--soak-seconds",
        type=float,
        default=None,
        metavar="N",
        help="run tests/end_to_end's soak for this long, with straps that send once a second",
    )
