"""Lines of captures as JSON."""

from datetime import UTC, datetime

import pytest

from healthd.traffic.codec import BadCapture, decode, encode, lines
from healthd.traffic.lines import (
    FORMAT,
    Characteristic,
    Discovered,
    Line,
    Notified,
    Service,
    Start,
    Written,
    at,
)

_TIME = datetime(2026, 11, 24, 2, 3, 31, 123456, tzinfo=UTC)
_DEVICE = "02:00:5E:10:00:01"
_START = Start(**at(0, _TIME), format=FORMAT, source="healthd", identity="replaced")
_NOTIFIED = Notified(
    **at(1.25, _TIME), device=_DEVICE, link=1, uuid="2a37", handle=16, value=b"\x10\x48"
)


@pytest.mark.parametrize(
    "line",
    [
        _START,
        _NOTIFIED,
        Written(
            **at(2, _TIME),
            device=_DEVICE,
            link=1,
            uuid=None,
            handle=9,
            value=None,
            response=True,
            error="refused",
            code=0x80,
        ),
        Discovered(
            **at(3, _TIME),
            device=_DEVICE,
            link=1,
            services=(
                Service(
                    uuid="180d",
                    handle=14,
                    characteristics=(
                        Characteristic(uuid="2a37", handle=16, properties=("notify",)),
                    ),
                ),
            ),
        ),
    ],
    ids=lambda line: line.what,
)
def test_a_line_comes_back_as_it_was(line: Line) -> None:
    assert decode(encode(line), 1) == line


def test_a_notification_is_readable() -> None:
    assert encode(_NOTIFIED) == (
        b'{"what":"notification","t":1.25,"time":"2026-11-24T02:03:31.123456Z",'
        b'"device":"02:00:5E:10:00:01","link":1,"uuid":"2a37","handle":16,"value":"1048"}'
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"{", "line 7: Invalid JSON"),
        (b'{"what":"weather"}', "line 7: Input tag 'weather'"),
        (encode(_NOTIFIED).replace(b"1048", b"104"), "line 7: notification.value:"),
    ],
)
def test_a_damaged_line_is_named(text: bytes, problem: str) -> None:
    with pytest.raises(BadCapture) as caught:
        decode(text, 7)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    ("texts", "place"),
    [([], "line 1"), ([encode(_NOTIFIED)], "line 1"), ([encode(_START)] * 2, "line 2")],
)
def test_a_file_has_one_start_at_its_beginning(texts: list[bytes], place: str) -> None:
    with pytest.raises(BadCapture) as caught:
        list(lines(texts))
    assert caught.value.place == place


@pytest.mark.parametrize(
    ("found", "lie"),
    [
        (b'"t":1.25', b'"t":1e300'),
        (b"2026-11-24T02:03:31.123456Z", b"0001-01-01T00:00:00+14:00"),
        (b"2026-11-24T02:03:31.123456Z", b"9999-12-31T23:59:59-14:00"),
        (b'"link":1', b'"link":' + b"9" * 400),
        (b'"2a37"', b'"../../etc"'),
        (b'"2a37"', b'"zzzz"'),
        (b"02:00:5E:10:00:01", b"a" * 65),
        (b"02:00:5E:10:00:01", b""),
    ],
)
def test_a_line_with_impossible_contents_is_refused(found: bytes, lie: bytes) -> None:
    text = encode(_NOTIFIED)
    assert found in text
    with pytest.raises(BadCapture):
        decode(text.replace(found, lie), 1)
