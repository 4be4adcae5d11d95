"""What identifies a device or a person is replaced, in whatever form it is sent."""

import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.traffic.codec import encode
from healthd.traffic.lines import (
    FORMAT,
    Advertised,
    ConnectFailed,
    Line,
    Notified,
    Read,
    Start,
    Written,
    at,
)
from healthd.traffic.masking import Masker

_AT = at(1, datetime(2026, 11, 24, 2, 3, 31, tzinfo=UTC))
DEVICE = "A0:9E:1A:5B:C2:07"
VECTORS = sorted((Path(__file__).parents[2] / "vectors").glob("*.toml"))


def read(uuid: str, value: bytes, device: str = DEVICE) -> Read:
    return Read(**_AT, device=device, link=1, uuid=uuid, handle=9, value=value)


def notified(value: bytes, device: str = DEVICE, uuid: str = "2a37") -> Notified:
    return Notified(**_AT, device=device, link=1, uuid=uuid, handle=9, value=value)


def advertised(name: str, device: str = DEVICE, data: bytes = b"") -> Advertised:
    return Advertised(**_AT, device=device, name=name, manufacturer_data={"006b": data})


def masked(*lines: Line, learn: bool = True) -> list[Line]:
    """Mask lines as a converted file is: in two passes."""
    masker = Masker()
    if learn:
        for line in lines:
            masker.learn(line)
    return [masker.line(line) for line in lines]


def backwards(octets: bytes) -> bytes:
    return octets[::-1]


def as_text(octets: bytes) -> bytes:
    return octets.hex().encode()


addresses = st.binary(min_size=6, max_size=6).filter(lambda octets: len(set(octets)) > 2)
serials = st.from_regex(r"[0-9A-F]{8,12}", fullmatch=True).filter(
    lambda text: len(set(text)) > 2 and any(map(str.isdigit, text))
)


@given(
    octets=addresses,
    serial=serials,
    before=st.binary(max_size=8),
    form=st.sampled_from([bytes, backwards, as_text]),
)
def test_no_form_of_address_and_serial_number_is_left(
    octets: bytes, serial: str, before: bytes, form: Callable[[bytes], bytes]
) -> None:
    device = octets.hex(":").upper()
    text = f"[org.bluez.Error.Failed] /org/bluez/hci0/dev_{device.replace(':', '_')}"
    lines = [
        advertised(f"Strap {serial}", device, before + form(octets) + serial.encode()),
        ConnectFailed(**_AT, device=device, error=text),
        read("2a25", serial.encode() + b"\0", device),
        read("2a00", f"Strap {serial}".encode(), device),
        read("2a23", octets[:2:-1] + b"\xfe\xff" + octets[2::-1], device),
        notified(before + form(octets) + before, device),
        notified(before + serial.lower().encode(), device),
        notified(before + serial.encode("utf-16-le"), device),
    ]
    for line in masked(*lines):
        shown = encode(line).decode().lower()
        for separator in (":", "-", "_", ""):
            plain = octets.hex(":").replace(":", separator)
            assert plain not in shown
            assert octets[::-1].hex(":").replace(":", separator) not in shown
        for original in (serial, serial.lower()):
            assert original.lower() not in shown
            assert original.encode().hex() not in shown
            assert original.encode("utf-16-le").hex() not in shown
        # The parts of a System ID.
        if isinstance(line, Read) and line.uuid == "2a23":
            assert line.value == b"\x01\x00\x10\xfe\xff\x5e\x00\x02"


@pytest.mark.parametrize("file", VECTORS, ids=lambda file: file.stem)
def test_what_was_measured_stays_as_it_is(file: Path) -> None:
    if file.stem in {"2a23", "2a25", "2a8a", "2a90", "2a87", "2a85", "2a00"}:
        return
    found = tomllib.loads(file.read_text(encoding="utf-8"))["vector"]
    values = [bytes.fromhex(each["hex"]) for each in found if "hex" in each]
    # Some files are about advertised data, or several characteristics.
    uuid = file.stem if re.fullmatch(r"[0-9a-f]{4}|[0-9a-f-]{36}", file.stem) else "2a37"
    lines = [
        advertised("Strap 8A2B44C1"),
        read("2a25", b"0123456789"),
        *(notified(value, uuid=uuid) for value in values),
    ]
    kept = [line.value for line in masked(*lines) if isinstance(line, Notified)]
    assert kept == values


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Polar H10 12345678", "Polar H10 00000001"),
        ("KICKR CORE 1A2B", "KICKR CORE 0001"),
        ("TICKR BEEF", "TICKR 0001"),
        ("Nonin3230_501234567", "Nonin3230_000000001"),
        ("HRM-Pro:123456", "HRM-Pro:000001"),
        ("PM5 430123456", "PM5 000000001"),
        ("O2M-12345", "O2M-00001"),
        ("BLEsmart_00000116A09E1A5BC207", "BLEsmart_0000011602005E100001"),
        ("SpO2084711", "SpO2080001"),
        ("BLESmart_0000011600AA22334455", "BLESmart_00000116000000000001"),
        ("Strap a09e1a5bc207", "Strap 02005e100001"),
        ("Strap A0-9E-1A-5B-C2-07", "Strap 02-00-5E-10-00-01"),
        ("Anna's Watch", "Owner's Watch"),
        ("Anna\u2019s Watch", "Owner\u2019s Watch"),
        # Models, which decide how a device is read.
        ("MI SCALE2", "MI SCALE2"),
        ("HEM-7322T-E", "HEM-7322T-E"),
        ("BF720", "BF720"),
        ("Nonin3230", "Nonin3230"),
        ("Mi Smart Band 4", "Mi Smart Band 4"),
        ("M7 Intelli IT", "M7 Intelli IT"),
        ("", ""),
    ],
)
def test_names(name: str, expected: str) -> None:
    (line,) = masked(advertised(name))
    assert isinstance(line, Advertised)
    assert line.name == expected
    (line,) = masked(read("2a00", name.encode()))
    assert isinstance(line, Read)
    assert line.value == expected.encode()


def test_the_same_original_has_the_same_replacement() -> None:
    other = "C0:5E:5E:00:00:02"
    lines = masked(
        advertised("Strap 8A2B44C1"),
        advertised("Strap 12345678", other),
        notified(b"\x01" + bytes.fromhex("07c25b1a9ea0") + b"8A2B44C1"),
        advertised("Strap 8A2B44C1"),
    )
    assert [getattr(line, "device", None) for line in lines] == [
        "02:00:5E:10:00:01",
        "02:00:5E:10:00:02",
        "02:00:5E:10:00:01",
        "02:00:5E:10:00:01",
    ]
    names = [line.name for line in lines if isinstance(line, Advertised)]
    assert names == ["Strap 00000001", "Strap 00000002", "Strap 00000001"]
    value = next(line.value for line in lines if isinstance(line, Notified))
    assert value == b"\x01" + bytes.fromhex("01 00 10 5e 00 02") + b"00000001"


def test_a_serial_number_as_a_number() -> None:
    lines = masked(
        read("2a25", b"430123456"),
        notified((430123456).to_bytes(4, "little")),
        notified((430123456).to_bytes(4, "big")),
    )
    assert [getattr(line, "value", None) for line in lines] == [
        b"000000001",
        b"\1\0\0\0",
        b"\0\0\0\1",
    ]


def test_a_system_id_of_its_own() -> None:
    lines = masked(read("2a23", b"\x11\x22\x33\x44\x55\xd0\x22\xbe"), read("2a23", b"\x11"))
    assert [getattr(line, "value", None) for line in lines] == [
        b"\x01\0\0\0\0\xd0\x22\xbe",
        b"\x11",
    ]


@pytest.mark.parametrize(
    ("uuid", "value", "expected"),
    [
        ("2a8a", "Zoë".encode(), b"0001"),
        ("2a90", b"Maier", b"00001"),
        ("2a87", b"zoe@example.com", b"000000000000001"),
        ("2a85", b"\xc4\x07\x0c\x1f", b"\xbc\x07\x01\x01"),
        ("2a85", b"\x00\x00\x00\x00", b"\x00\x00\x00\x00"),
        ("2a8a", b"", b""),
        ("2a8a", b"\xff\xfe\xfd\xfc", b"0001"),
    ],
)
def test_what_identifies_a_person(uuid: str, value: bytes, expected: bytes) -> None:
    written = Written(**_AT, device=DEVICE, link=1, uuid=uuid, handle=9, value=value, response=True)
    for line in masked(read(uuid, value), written):
        assert isinstance(line, Read | Written)
        assert line.value == expected


@pytest.mark.parametrize("keep_identity", [False, True])
def test_secrets_are_left_out_in_any_case(keep_identity: bool) -> None:
    line = Written(
        **_AT,
        device=DEVICE,
        link=1,
        uuid="2a9f",
        handle=9,
        value=b"\x02\x01\xd2\x04",
        response=True,
    )
    out = Masker(keep_identity=keep_identity).line(line)
    assert isinstance(out, Written)
    assert out.value is None


def test_a_kept_identity_is_left_alone() -> None:
    lines = [advertised("Strap 8A2B44C1"), read("2a25", b"12345678")]
    masker = Masker(keep_identity=True)
    assert [masker.line(line) for line in lines] == lines
    assert not masker.late
    assert masker.again(lines[0]) == lines[0]


def test_the_settings_in_the_start() -> None:
    start = Start(
        **_AT,
        format=FORMAT,
        source="healthd",
        identity="kept",
        peripheral={"id": "strap", "address": DEVICE, "name": "Strap 8A2B*", "every": ["08:00"]},
    )
    (line,) = masked(start)
    assert isinstance(line, Start)
    assert line.identity == "replaced"
    assert line.peripheral == {
        "id": "strap",
        "address": "02:00:5E:10:00:01",
        "name": "Strap *",
        "every": ["08:00"],
    }


def test_what_is_learned_later_is_replaced_in_a_second_pass() -> None:
    masker = Masker()
    early = masker.line(advertised("Strap", data=b"8A2B44C1"))
    assert not masker.late
    late = masker.line(read("2a25", b"8A2B44C1"))
    assert masker.late
    again = masker.again(early)
    assert isinstance(again, Advertised)
    assert again.manufacturer_data == {"006b": b"00000001"}
    # What was masked already stays: its own replacements are not replaced once more.
    assert masker.again(late) == late
    assert again.device == early.model_dump()["device"]


@given(st.binary(max_size=30), st.sampled_from(["2a00", "2a23", "2a25", "2a85", "2a8a", "2a37"]))
def test_any_value_of_any_characteristic_is_masked(value: bytes, uuid: str) -> None:
    for line in masked(read(uuid, value), notified(value)):
        assert encode(line)


def test_what_is_masked_again_stays() -> None:
    lines = [advertised("Strap 8A2B44C1"), read("2a25", b"8A2B44C1"), notified(b"\1")]
    once = masked(*lines)
    assert [line.model_dump()["device"] for line in masked(*once)] == ["02:00:5E:10:00:01"] * 3


def test_there_may_be_any_number_of_devices() -> None:
    masker = Masker()
    last: Line = advertised("")
    for number in range(70_000):
        device = (0xA00000000000 + number).to_bytes(6).hex(":").upper()
        last = masker.line(notified(b"\1", device))
    assert isinstance(last, Notified)
    # The 70,000th after 02:00:5E:10:00:00.
    assert last.device == "02:00:5E:11:11:70"


@given(st.text(max_size=40))
def test_any_name_is_masked(name: str) -> None:
    (line,) = masked(advertised(name))
    assert isinstance(line, Advertised)
    assert not re.search(r"\d{5,}", (line.name or "").replace("0", ""))
