"""JSON from outside is read within bounds."""

import orjson
import pytest

from healthd.bounded_json import Bounds, parsed

BOUNDS = Bounds(size=100, depth=3, values=10)


@pytest.mark.parametrize(
    "text", [b"1", b'"x"', b"[[[1]]]", b'{"a":{"b":[1]}}', b"[1,2,3,4,5,6,7,8,9]", b"[null]"]
)
def test_what_is_within_the_bounds_is_read(text: bytes) -> None:
    assert parsed(text, BOUNDS) == orjson.loads(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'"' + b"x" * 100 + b'"', "longer than 100 bytes"),
        (b"[[[[1]]]]", "nested deeper than 3 levels"),
        (b'{"a":{"b":[{"c":1}]}}', "nested deeper than 3 levels"),
        (b"[1,2,3,4,5,6,7,8,9,10]", "more than 10 values"),
        (b'{"a":1,"b":2,"c":3,"d":4,"e":5}', "more than 10 values"),
        (b"{", "unexpected end"),
        (b"NaN", "unexpected character"),
        (b"1e999", "infinity"),
        (b"\xff", "utf-8|UTF-8"),
    ],
)
def test_what_is_not_is_refused(text: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parsed(text, BOUNDS)
