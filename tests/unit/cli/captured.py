"""Lines of a capture for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from healthd.traffic.lines import FORMAT, Advertised, Start, at

BEGAN = datetime(2026, 11, 24, 2, 3, 31, tzinfo=UTC)
DEVICE = "A0:9E:1A:5B:C2:07"


def when(seconds: float) -> dict[str, Any]:
    """Return the times of a line."""
    return at(seconds, BEGAN + timedelta(seconds=seconds))


START = Start(**when(0), format=FORMAT, source="healthd", identity="kept", healthd={"run": "1"})
ADVERTISED = Advertised(**when(1), device=DEVICE, name="Strap 8A2B44C1")
