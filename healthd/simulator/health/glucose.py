"""A glucose meter with a memory: GATT service 0x1808."""

import random
import struct
from datetime import datetime, timedelta

from healthd.simulator.attributes import notifying, readable, service
from healthd.simulator.feed import Feed
from healthd.simulator.health.racp import Record, RecordAccess
from healthd.simulator.numbers import date_time, sfloat
from healthd.simulator.part import Part

# Flags of a measurement: time offset, concentration, status; and whether a context follows. The
# unit is kg/L because bit 2 is clear.
_FLAGS, _CONTEXT_FOLLOWS = 1 << 0 | 1 << 1 | 1 << 3, 1 << 4
_CAPILLARY_PLASMA, _FINGER = 2, 1
# Flags of a context: carbohydrate, meal, tester and health, exercise, medication (in kg).
_CONTEXT_FLAGS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4
_LUNCH, _AFTER_MEAL, _SELF, _HEALTHY, _RAPID_INSULIN = 2, 2, 1, 5, 1
# 0x2A51: low battery, sample size, result range.
_FEATURES = 1 << 0 | 1 << 2 | 1 << 5
_STORED = 8
_HOURS_BETWEEN = 6
# The time offset of all measurements: the owner has travelled east since the clock was set.
_OFFSET_MIN = 60


class Memory:
    """The stored results of a meter; every second result has a context.

    Attributes:
        measurement: Sends results.
        context: Sends the contexts of results.
        records: The stored records, oldest first.
    """

    def __init__(
        self, rng: random.Random, *, stored: int = _STORED, until: datetime | None = None
    ) -> None:
        """Store results, one every six hours.

        Args:
            rng: The random generator.
            stored: How many results are stored.
            until: When the last six hours ended, by the device's clock; now if it is None.
        """
        self.measurement, self.context = Feed(), Feed()
        self._rng = rng
        self._number = rng.randrange(1, 1000)
        self.records: list[Record] = []
        until = until or datetime.now()  # noqa: DTZ005 - the device knows no time zone
        for past in range(stored, 0, -1):
            self._store(until - timedelta(hours=past * _HOURS_BETWEEN))

    def measure(self) -> None:
        """Measure and store one more result."""
        self._store(datetime.now())  # noqa: DTZ005 - as above

    def _store(self, local: datetime) -> None:
        self.records.append(self._measure(local - timedelta(minutes=_OFFSET_MIN)))

    def _measure(self, base: datetime) -> Record:
        number, after_meal = self._number, self._number % 2 == 0
        self._number = (number + 1) % 0x10000
        mg_per_dl = self._rng.randint(120, 165) if after_meal else self._rng.randint(75, 110)
        flags = _FLAGS | (_CONTEXT_FOLLOWS if after_meal else 0)
        result = b"".join(
            (
                struct.pack("<BH", flags, number),
                date_time(base),
                struct.pack("<h", _OFFSET_MIN),
                # 1 mg/dL is 1e-5 kg/L.
                sfloat(mg_per_dl / 100_000, -5),
                bytes([_FINGER << 4 | _CAPILLARY_PLASMA]),
                struct.pack("<H", 0),
            )
        )
        payloads = [(self.measurement, result)]
        if after_meal:
            payloads.append((self.context, self._context_of(number)))
        return Record(number, tuple(payloads))

    def _context_of(self, number: int) -> bytes:
        carbohydrate_kg = self._rng.randint(30, 80) / 1000
        return b"".join(
            (
                struct.pack("<BH", _CONTEXT_FLAGS, number),
                bytes([_LUNCH]) + sfloat(carbohydrate_kg, -3),
                bytes([_AFTER_MEAL, _HEALTHY << 4 | _SELF]),
                struct.pack("<HB", 1800, 60),
                # Milligrams: 6 mg in kg.
                bytes([_RAPID_INSULIN]) + sfloat(6 / 1_000_000, -6),
            )
        )


def glucose(rng: random.Random, _period: float) -> tuple[Part, ...]:
    """Return the parts of a glucose meter, which sends its stored records on request only."""
    return (meter_part(Memory(rng)),)


def meter_part(memory: Memory) -> Part:
    """Return the service of a meter with this memory."""
    access = RecordAccess(lambda: memory.records, [memory.measurement])
    measurement, context = notifying(0x2A18), notifying(0x2A34)
    return Part(
        service(
            0x1808,
            [
                measurement,
                context,
                readable(0x2A51, struct.pack("<H", _FEATURES)),
                access.characteristic,
            ],
        ),
        {
            measurement: memory.measurement.payloads,
            context: memory.context.payloads,
            access.characteristic: access.answers,
        },
        advertised=True,
    )
