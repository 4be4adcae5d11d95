"""Fetches the results that a device has stored, and distinguishes them from live ones.

`fetch_new` asks a device for its records from the newest fetched one on, including that one. It is
not published again, but its arrival proves that the device's memory is the one that was read
before. If it is not even among all records, the memory was cleared, or it is another device's: all
records are new.
"""

from collections.abc import Callable, Generator, Iterable

from healthd.profiles.common.racp import ALL, RecordAccess, decode_record_access, report_records
from healthd.profiles.dialogue import Exchange, ExchangeRefused
from healthd.profiles.link_state import Timed
from healthd.profiles.records import Records
from healthd.samples import Record

# Answers of devices that cannot select records. These are asked for all records, and the known ones
# are not published again.
_CANNOT_SELECT = frozenset(
    {"invalid_operator", "operator_not_supported", "invalid_operand", "operand_not_supported"}
)
_REPORTS = ("report_stored_records", "combined_report")
_ANSWERS = ("response", "combined_report_response")


def is_request(message: RecordAccess) -> bool:
    """Return whether the device was asked for records."""
    return message.name in _REPORTS


def is_answer(message: RecordAccess) -> bool:
    """Return whether the device has sent what it was asked for.

    The response to an abort ends a transfer, too: only one procedure runs at a time.
    """
    return message.name in _ANSWERS


class Transfer:
    """Follows one record access control point: results before its response were stored ones.

    The newest stored result is what a consumer wants to see now, not history. So one result of each
    kind is held back until a newer one arrives, or the transfer ends.
    """

    def __init__(self) -> None:
        """Start without a request."""
        self._under_way = False
        self._newest: dict[str, tuple[Record, Timed]] = {}

    def on_message(self, message: RecordAccess) -> Iterable[Timed]:
        """Return what to publish after a written request, or a response."""
        if is_request(message):
            self._under_way = True
        elif is_answer(message):
            self._under_way = False
            return self.end()
        return ()

    def add(self, timed: Timed) -> Iterable[Timed]:
        """Return what to publish after a result: the result, an earlier one, or nothing."""
        record, kind = timed.record, timed.measurement.kind
        if not self._under_way or record is None:
            return (timed,)
        if kind not in self._newest:
            self._newest[kind] = record, timed
            return ()
        newest, held = self._newest[kind]
        if record == newest:
            return ()  # a live result that is also sent from the memory
        if (record.number, record.made) < (newest.number, newest.made):
            return (timed._replace(stored=True),)
        self._newest[kind] = record, timed
        return (held._replace(stored=True),)

    def end(self) -> Iterable[Timed]:
        """Return what was held back: no newer result follows."""
        held = [timed for _, timed in self._newest.values()]
        self._newest.clear()
        return held


def fetch_all(memory: Records) -> Exchange:
    """Ask for all records; which of them are new shows when they arrive.

    Raises:
        ExchangeRefused: the device did not send all of them.
    """
    _require_success(*(yield from _report(memory, ALL)))
    memory.complete()


def fetch_new(memory: Records, newer: Callable[[Record], bytes]) -> Exchange:
    """Ask for the records from the newest fetched one on.

    Args:
        memory: the records that were fetched before.
        newer: returns the selection of records from the given one on, including it; see
            `racp.report_records`.

    Raises:
        ExchangeRefused: the device did not send all of them.
    """
    if (since := memory.since()) is not None:
        code, result = yield from _report(memory, newer(since))
        if result not in _CANNOT_SELECT:
            _require_success(code, result)
        if not memory.has_arrived(since):
            # Ask for all before forgetting any: perhaps only the selection does not work.
            _require_success(*(yield from _report(memory, ALL)))
        if memory.has_arrived(since):
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


def _require_success(code: int | None, result: str | int | None) -> None:
    if result not in ("success", "no_records_found"):
        raise ExchangeRefused(f"records: expected success, found {result} ({code})")
