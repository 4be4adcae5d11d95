"""Continuous Glucose Monitoring service (0x181F): a sensor under the skin, worn for days.

It counts minutes from the start of its session, so a record's time is that start plus the record's
offset. healthd asks for the readings that the sensor took without a link, if the start of the
session is known: otherwise readings of different sessions cannot be distinguished.
Layouts: Continuous Glucose Monitoring Service 1.0 and the GATT Specification Supplement.
"""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import SkipJsonSchema

from healthd.profiles.cgm.session import (
    STATUS_NAMES,
    CgmFeature,
    CgmSessionRunTime,
    CgmSessionStart,
    CgmStatus,
    CgmStatusName,
    decode_cgm_feature,
    decode_cgm_session_run_time,
    decode_cgm_session_start,
    decode_cgm_status,
)
from healthd.profiles.cgm.specific_ops import CgmSpecificOps, decode_cgm_specific_ops
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.glucose_values import (
    AMOUNT,
    MG_PER_DL,
    MG_PER_DL_RATE,
    later,
    seconds,
)
from healthd.profiles.common.racp import RECORD_ACCESS, RecordAccess, abort, by_session_time
from healthd.profiles.common.stored import Transfer, fetch_new
from healthd.profiles.dialogue import Exchange, Opening
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.packet.crc import read_checked
from healthd.profiles.packet.cursor import Truncated
from healthd.profiles.packet.layout import Field, Layout, Present, bit
from healthd.profiles.packet.wires import U8, U16, U24, Wire, words
from healthd.profiles.profile import Profile
from healthd.samples import DeviceTimed, Measurement, Record, quantity, whole_time

# Size, flags, concentration, offset.
_SMALLEST_RECORD = 6

# Flags that announce an octet of the status, and the first status bit in it, in packet order.
_OCTETS = {0x80: 0, 0x40: 8, 0x20: 16}
_STATUS_MASK = 0xE0


class CgmRecord(BaseModel):
    """One reading. The first two fields are always there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    glucose_mmol_per_l: Annotated[float | None, quantity("mmol/L")] = None
    time_offset_s: Annotated[int | None, quantity("s")] = None
    """Since the start of the session; whole minutes."""
    status: list[CgmStatusName] | None = None
    trend_mmol_per_l_per_min: Annotated[float | None, quantity("mmol/L/min")] = None
    quality_pct: Annotated[float | None, quantity("%")] = None
    crc_ok: bool | None = None
    """Absent if the record has no CRC."""


class Cgm(CgmRecord, DeviceTimed):
    """One record of a packet, as it is published; or, before that, a packet with its records.

    ``device_time`` is the session's start plus the record's offset, if the start is known.
    If a packet was cut or had surplus bytes, its last record has ``truncated`` or
    ``trailing_bytes``.
    """

    kind: ClassVar[str] = "cgm"

    records: SkipJsonSchema[list[CgmRecord] | None] = None
    """The records of a packet that is not split yet, oldest first; never published."""


def _status(combination: int) -> Field:
    """Return the field of the status octets that these flags announce, read as one number."""
    bits = [
        first + bit for mask, first in _OCTETS.items() if combination & mask for bit in range(8)
    ]
    names = {at: STATUS_NAMES[bit] for at, bit in enumerate(bits) if bit in STATUS_NAMES}
    wire: Wire = (U8, U16, U24)[len(bits) // 8 - 1]
    return Field("status", wire, Present(_STATUS_MASK, combination), words(names))


_RECORD = Layout(
    Field("glucose_mmol_per_l", MG_PER_DL, required=True),
    Field("time_offset_s", U16, meaning=seconds, required=True),
    *(_status(combination) for combination in range(0x20, 0x100, 0x20)),
    Field("trend_mmol_per_l_per_min", MG_PER_DL_RATE, bit(0)),
    Field("quality_pct", AMOUNT, bit(1)),
    flags=U8,
    start=1,
)


def decode_cgm(data: bytes) -> Cgm:
    """Decode 2AA7: records of size u8, flags u8, SFLOAT (mg/dL), offset u16 (min) and more.

    The flags announce status octets, trend SFLOAT (mg/dL/min) and quality SFLOAT (%), the size
    announces a CRC. A record is as long as its size says, whatever its flags announce.
    """
    records: list[dict[str, Any]] = []
    offset, truncated, surplus = 0, False, 0
    while offset < len(data) or not records:
        size = data[offset] if data else 0
        part = data[offset : offset + size]
        try:
            record = read_checked(_RECORD, part)
        except Truncated:
            if not records:
                raise
            # A size below that of any record means that this is not a record.
            if size < _SMALLEST_RECORD:
                surplus += len(data) - offset
            else:
                truncated = True
            break
        if size > len(part):
            # The last two bytes of a record that was cut are not a CRC.
            record.pop("crc_ok", None)
            record.pop("trailing_bytes", None)
            truncated = True
        truncated |= record.pop("truncated", False)
        surplus += record.pop("trailing_bytes", 0)
        records.append(record)
        offset += size
    fields: dict[str, Any] = {"records": records}
    if truncated:
        fields["truncated"] = True
    if surplus:
        fields["trailing_bytes"] = surplus
    return Cgm.of(fields)


class CgmState:
    """Splits packets into records and adds their times, during one link."""

    def __init__(self, options: Options) -> None:
        """Start without knowing the session."""
        self._memory = options.records
        self._transfer = Transfer()
        self._begin(None)

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return a packet's records one by one, with their times, and no control messages.

        The newest stored record is returned after the last one.
        """
        match measurement:
            case Cgm(records=list() as records):
                return [
                    published
                    for each in self._split(measurement, records)
                    for published in self._transfer.add(Timed(each, mono_ns, self._record(each)))
                ]
            case RecordAccess():
                return self._transfer.on_message(measurement)
            case CgmSpecificOps():
                if measurement.name == "start_session":
                    self._begin(None)
                return ()
            case CgmSessionStart():
                # A wrong start would give all records of the link wrong times.
                known = measurement.crc_ok is not False and whole_time(measurement.start_time)
                self._begin(measurement.start_time if known else None)
            case _:
                pass
        return (Timed(measurement, mono_ns),)

    def end(self) -> Iterable[Timed]:
        """Return the newest of the stored records that arrived before the link ended."""
        return self._transfer.end()

    def _begin(self, start: str | None) -> None:
        self._start = start
        self._memory.enter_series(start or "")

    def _record(self, reading: Cgm) -> Record | None:
        if self._start is None or reading.time_offset_s is None:
            return None
        return Record(self._start, reading.time_offset_s, "")

    def _split(self, packet: Cgm, records: list[CgmRecord]) -> Iterable[Cgm]:
        for number, record in enumerate(records, start=1):
            fields = record.model_dump(exclude_unset=True)
            if self._start and record.time_offset_s is not None:
                fields["device_time"] = later(self._start, record.time_offset_s)
            if number == len(records):
                fields |= packet.model_dump(exclude_unset=True, exclude={"records"})
            yield Cgm.of(fields)


def fetch_readings(options: Options) -> Exchange:
    """Ask for the readings of this session that were not fetched yet, if the session is known."""
    memory = options.records
    if memory.series:
        yield from fetch_new(memory, lambda record: by_session_time(minimum_s=record.number))


PROFILE = Profile(
    name="continuous_glucose",
    service="181f",
    characteristics=(
        Characteristic("2aa7", Cgm, decode_cgm, Use.STREAM),
        Characteristic("2aa8", CgmFeature, decode_cgm_feature, Use.STATIC),
        Characteristic("2aa9", CgmStatus, decode_cgm_status, Use.STATUS),
        # Status, not static, because the state needs it for the records.
        Characteristic(
            "2aaa", CgmSessionStart, decode_cgm_session_start, Use.STATUS, precedes=True
        ),
        Characteristic("2aab", CgmSessionRunTime, decode_cgm_session_run_time, Use.STATIC),
        RECORD_ACCESS,
        Characteristic("2aac", CgmSpecificOps, decode_cgm_specific_ops, Use.CONTROL),
    ),
    state=CgmState,
    opening=Opening("2a52", fetch_readings, abort=abort()),
)
