"""Results that a device has stored: asked for from the last one on, and told apart from live ones.

A device is asked for its records from the newest one on that was taken (`fetch_new`), that one
included: it comes again, and is not published again, but shows that the device's memory is still
the one that was read. Where it does not even come among all records, the memory was cleared, or is
another device's, and all of it is new.
"""

from collections.abc import Callable, Generator, Iterable

from healthd.profiles.characteristic import Exchange, ExchangeRefused, Timed
from healthd.profiles.common.racp import ALL, RecordAccess, decode_record_access, report_records
from healthd.profiles.records import Records
from healthd.samples import Record

# Those who can only be asked for everything; what is known of it is left out here.
_CANNOT_CHOOSE = frozenset(
    {"invalid_operator", "operator_not_supported", "invalid_operand", "operand_not_supported"}
)
_REPORTS = ("report_stored_records", "combined_report")


class Transfer:
    """Follows one record access control point: what comes before its answer had been stored.

    The newest of these is not history but what a consumer wants to see now, so of each kind one
    is held back until a newer one, or the end, has come.
    """

    def __init__(self) -> None:
        """Nothing was asked for yet."""
        self._under_way = False
        self._newest: dict[str, tuple[Record, Timed]] = {}

    def hear(self, message: RecordAccess) -> Iterable[Timed]:
        """What is published now that this was written, or answered."""
        if message.name in _REPORTS:
            self._under_way = True
        elif message.name in ("response", "combined_report_response"):
            # Also that of an abort: there is no other procedure beside.
            self._under_way = False
            return self.end()
        return ()

    def take(self, timed: Timed) -> Iterable[Timed]:
        """What is published now that this has come: it, or an earlier one, or nothing."""
        record, kind = timed.record, timed.measurement.kind
        if not self._under_way or record is None:
            return (timed,)
        if kind not in self._newest:
            self._newest[kind] = record, timed
            return ()
        newest, held = self._newest[kind]
        if record == newest:
            return ()  # a live one that comes from the memory as well: once is enough
        if (record.number, record.made) < (newest.number, newest.made):
            return (timed._replace(stored=True),)
        self._newest[kind] = record, timed
        return (held._replace(stored=True),)

    def end(self) -> Iterable[Timed]:
        """What was held back: there is nothing newer."""
        held = [timed for _, timed in self._newest.values()]
        self._newest.clear()
        return held


def fetch_all(memory: Records) -> Exchange:
    """Ask for all records; which of them are new is seen when they are here.

    Raises:
        ExchangeRefused: the device did not send them all.
    """
    _demand(*(yield from _report(memory, ALL)))
    memory.complete()


def fetch_new(memory: Records, newer: Callable[[Record], bytes]) -> Exchange:
    """Ask for the records from the newest one on that was taken.

    Args:
        memory: what was taken.
        newer: chooses the records from this one on, itself included; see `racp.report_records`.

    Raises:
        ExchangeRefused: the device did not send them all.
    """
    if (since := memory.since()) is not None:
        code, result = yield from _report(memory, newer(since))
        if result not in _CANNOT_CHOOSE:
            _demand(code, result)
        if not memory.came(since):
            # Before anything is published twice: it may be the choosing that does not work.
            _demand(*(yield from _report(memory, ALL)))
        if memory.came(since):
            memory.complete()
            return
        memory.forget()
    yield from fetch_all(memory)


def _report(
    memory: Records, records: bytes
) -> Generator[bytes, bytes, tuple[int | None, str | int | None]]:
    memory.begin()
    answer = decode_record_access((yield report_records(records)))
    return answer.result_code, answer.result


def _demand(code: int | None, result: str | int | None) -> None:
    if result not in ("success", "no_records_found"):
        raise ExchangeRefused(f"records: expected success, found {result} ({code})")
