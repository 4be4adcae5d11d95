"""The Debian systems with the brokers."""

from pathlib import Path

from tests.support.trees import cached, why_not_entered

# Debian 12 has the brokers that many gateways meet, and the next Debian has current ones.
OLD, NEW = "bookworm", "forky"


def tree(suite: str) -> Path:
    """Return the folder of a Debian release; ``.ci/cluster-test`` makes it."""
    return cached("healthd-cluster-test") / suite


def why_unusable(suite: str) -> str | None:
    """Return why programs of this release cannot be run here, or None if they can."""
    if (why := why_not_entered()) is None and not tree(suite).is_dir():
        return f"no brokers of Debian {suite}; make cluster-test installs them"
    return why
