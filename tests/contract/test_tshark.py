"""Wireshark reads what healthd writes: every value with its handle, its UUID and its bytes."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from healthd.capture.writing.files import Kind, write
from healthd.profiles.uuids import canonical_uuid
from healthd.traffic.lines import Line, Notified, Read, Written
from tests.support.capture_lines import BEGINNING, VENDOR_UUIDS, captures, session
from tests.support.tshark import Seen, att, malformed, needs_tshark

pytestmark = needs_tshark

KINDS: tuple[Kind, ...] = ("btsnoop", "pcap")
FIRST_US = round(BEGINNING.timestamp() * 1_000_000)


def written(lines: list[Line], folder: Path, kind: Kind) -> Path:
    file = folder / f"capture.{kind}"
    with file.open("wb") as out:
        write(lines, out, kind)
    return file


def uuid(seen: Seen) -> str | None:
    digits = seen.uuid
    if digits is not None and len(digits) == 32:
        digits = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return None if digits is None else canonical_uuid(digits)


def values(file: Path) -> list[tuple[str, int, str | None, bytes]]:
    """Return the values that tshark finds: kind, handle, UUID and bytes."""
    found: list[tuple[str, int, str | None, bytes]] = []
    for seen in att(file):
        body = seen.pdu[1:]
        handle = seen.handles[-1] if seen.handles else 0
        match seen.opcode:
            case 0x1B | 0x1D:
                found.append(("notification", handle, uuid(seen), body[2:]))
            case 0x0B:
                found.append(("read", handle, uuid(seen), body))
            case 0x0D:
                what, read, known, so_far = found.pop()
                assert (what, read) == ("read", handle)
                found.append((what, read, known, so_far + body))
            case 0x12 | 0x52:
                found.append(("write", handle, uuid(seen), body[2:]))
            case 0x16 if body[2:4] == b"\0\0":
                found.append(("write", handle, uuid(seen), body[4:]))
            case 0x16:
                *same, so_far = found.pop()
                found.append((*same, so_far + body[4:]))  # type: ignore[arg-type]
            case _:
                pass
    return found


def said(lines: list[Line]) -> list[tuple[str, int, str | None, bytes]]:
    return [
        (line.what, line.handle, line.uuid, line.value)
        for line in lines
        if isinstance(line, Notified | Read | Written) and line.value is not None
    ]


def without_subscriptions(
    found: list[tuple[str, int, str | None, bytes]],
) -> list[tuple[str, int, str | None, bytes]]:
    return [each for each in found if each[2] != "2902"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_value_arrives(tmp_path: Path, kind: Kind) -> None:
    lines = session()
    file = written(lines, tmp_path, kind)
    assert malformed(file) == []
    assert without_subscriptions(values(file)) == said(lines)


def test_subscriptions_go_to_the_descriptor(tmp_path: Path) -> None:
    found = values(written(session(), tmp_path, "btsnoop"))
    assert [each for each in found if each[2] == "2902"] == [
        ("write", 17, "2902", b"\x01\x00"),
        ("write", 33, "2902", b"\x02\x00"),
    ]


def test_times_are_those_of_the_lines(tmp_path: Path) -> None:
    lines = session()
    file = written(lines, tmp_path, "btsnoop")
    arrived = [seen.epoch_us - FIRST_US for seen in att(file) if seen.opcode in (0x1B, 0x1D)]
    assert arrived == [round(line.t * 1e6) for line in lines if isinstance(line, Notified)]


def test_requests_are_earlier_by_the_time_they_took(tmp_path: Path) -> None:
    seen = att(written(session(), tmp_path, "btsnoop"))
    asked, answered = next(
        (asked.epoch_us, answer.epoch_us)
        for asked, answer in pairwise(seen)
        if (asked.opcode, answer.opcode) == (0x0A, 0x0B)
    )
    assert (answered - FIRST_US, answered - asked) == (1_500_000, 50_000)


# tshark takes half a second for each run. It knows the layouts of the characteristics of the SIG,
# which random bytes do not have; and it mixes up the handles of links that exist at the same time.
@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(lines=captures(VENDOR_UUIDS, at_a_time=1))
def test_any_capture_is_read_without_an_error(tmp_path: Path, lines: list[Line]) -> None:
    file = written(lines, tmp_path, "btsnoop")
    assert malformed(file) == []
    assert [each for each in values(file) if each[2] != "2902"] == said(lines)
