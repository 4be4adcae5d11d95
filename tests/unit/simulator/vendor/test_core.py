"""The CORE sensor over a link. The expected layout was worked out by hand."""

import asyncio
import struct

from tests.unit.simulator.bench import Bench
from tests.unit.simulator.probe import probe

MEASUREMENT = "00002101-5b1e-4347-b07c-97b514dae121"


async def test_temperatures_of_both_services(bench: Bench) -> None:
    async with asyncio.timeout(10):
        sensor = await probe(bench, "core")
        values = await sensor.values(MEASUREMENT, 20)
        values.append(await sensor.read(MEASUREMENT))
        (standard,) = await sensor.values("2a1c", 1)
        assert (await sensor.read("2a1d")).hex() == "02"
        assert (await sensor.read("2a19")).hex() == "51"
    packets = [struct.unpack("<BhhhBBB", value) for value in values]
    for flags, core, skin, reserved, state, heart, index in packets:
        assert (flags, reserved) == (0x37, 47)
        assert 37_00 < core < 39_00
        assert 33_00 < skin < 36_00
        assert state in (0x23, 0x24)  # good or excellent, and it receives a heart rate
        assert 115 < heart < 160
        assert 0 <= index < 60
    flags, mantissa, kind = struct.unpack("<BiB", standard)
    assert (flags, mantissa >> 24, kind) == (0b100, -2, 2)
    assert 37_00 < mantissa & 0xFFFFFF < 39_00
