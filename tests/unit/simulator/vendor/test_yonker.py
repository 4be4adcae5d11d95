"""The Yonker cuff over a link. The expected layout was worked out by hand."""

import asyncio
from datetime import datetime

from tests.unit.simulator.bench import Bench
from tests.unit.simulator.probe import probe


async def test_pressures_and_results(bench: Bench) -> None:
    async with asyncio.timeout(10):
        cuff = await probe(bench, "yonker")
        values = await cuff.values("cdeacd81-5235-4c07-8846-93a37ee6b86d", 10)
    kinds = "".join("result " if value[0] == 0x81 else "pressure " for value in values)
    assert kinds.split() == ["result", *["pressure"] * 8, "result"]
    falling = [value.hex() for value in values[1:9]]
    assert falling[:2] == ["8000b4", "8000a5"]
    assert falling == sorted(falling, reverse=True)
    for value in (values[0], values[9]):
        systolic, diastolic, pulse = value[1:4]
        assert 112 <= systolic <= 134
        assert 70 <= diastolic <= 86
        assert 58 <= pulse <= 78
        year, month, day, hour, minute = value[6:11]
        shown = datetime(2000 + year, month, day, hour, minute)  # noqa: DTZ001 - no zone is known
        assert abs((datetime.now() - shown).total_seconds()) < 130  # noqa: DTZ005 - as above
        assert value[4:6] + value[11:] == bytes(6)
