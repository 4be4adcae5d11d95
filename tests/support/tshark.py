"""What Wireshark's tshark reads in a file."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.restartable import PATH

TSHARK = shutil.which("tshark", path=PATH)
needs_tshark = pytest.mark.skipif(
    TSHARK is None,
    reason="NOT TESTED: no tshark on this machine; apt-get install tshark",
)

_BOUND_S = 50


class Seen(NamedTuple):
    """An ATT PDU as tshark sees it.

    Attributes:
        sent: whether the central has sent it.
        opcode: of ATT.
        handles: of attributes.
        uuid: of the last attribute; hex digits, None if tshark knows none.
        pdu: all bytes.
        epoch_us: Unix time in microseconds.
    """

    sent: bool
    opcode: int
    handles: tuple[int, ...]
    uuid: str | None
    pdu: bytes
    epoch_us: int


def att(file: Path) -> list[Seen]:
    """Return all ATT PDUs of a file."""
    fields = ("opcode", "handle", "uuid16", "uuid128")
    rows = _rows(file, "btatt", ("frame.time_epoch", *(f"btatt.{name}" for name in fields)))
    payloads = _payloads(file)
    assert len(rows) == len(payloads)
    seen: list[Seen] = []
    for (epoch, opcode, handles, short, long), (sent, pdu) in zip(rows, payloads, strict=True):
        uuids = [each.removeprefix("0x") for each in f"{short},{long}".split(",") if each]
        whole, fraction = epoch.split(".")
        seen.append(
            Seen(
                sent=sent,
                opcode=int(opcode.split(",")[0], 16),
                handles=tuple(int(each, 16) for each in handles.split(",") if each),
                uuid=uuids[-1].replace(":", "") if uuids else None,
                pdu=pdu,
                epoch_us=int(whole) * 1_000_000 + int(fraction[:6]),
            )
        )
    return seen


def malformed(file: Path) -> list[str]:
    """Return the packets that tshark finds malformed, or that have an error or a warning."""
    problem = "_ws.malformed || _ws.expert.severity >= 0x600000"
    return _run("-r", str(file), "-Y", problem).splitlines()


def count(file: Path) -> int:
    """Return the number of packets."""
    return len(_rows(file, "frame", ("frame.number",)))


def _payloads(file: Path) -> list[tuple[bool, bytes]]:
    # Without a decoder of ATT, L2CAP's payload is left as bytes, which Wireshark splits into fields
    # otherwise.
    rows = _rows(
        file, "btl2cap", ("hci_h4.direction", "btl2cap.payload"), "--disable-protocol", "btatt"
    )
    return [(direction == "0x00", bytes.fromhex(payload)) for direction, payload in rows]


def _rows(file: Path, of: str, fields: tuple[str, ...], *more: str) -> list[list[str]]:
    columns = [argument for field in fields for argument in ("-e", field)]
    text = _run("-r", str(file), "-Y", of, "-T", "fields", *columns, *more)
    return [line.split("\t") for line in text.splitlines()]


def _run(*arguments: str) -> str:
    assert TSHARK is not None
    # Its settings and its warning about root go to the home folder and to standard error.
    environment = {**os.environ, "HOME": "/nonexistent", "TZ": "UTC"}
    return subprocess.run(
        [TSHARK, "-n", *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=_BOUND_S,
        env=environment,
    ).stdout
