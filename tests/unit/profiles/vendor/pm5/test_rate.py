"""What is written to 0034: the rate of the settings, or the next slower one that exists."""

import pytest

from healthd.profiles.options import Options
from healthd.profiles.vendor.pm5.others import set_rate


@pytest.mark.parametrize(
    ("interval_s", "written"),
    [
        (None, []),
        (0.1, [b"\x03"]),
        (0.11, [b"\x02"]),
        (0.25, [b"\x02"]),
        (0.3, [b"\x01"]),
        (0.5, [b"\x01"]),
        (0.51, [b"\x00"]),
        (1.0, [b"\x00"]),
        (5.0, [b"\x00"]),
    ],
)
def test_the_request(interval_s: float | None, written: list[bytes]) -> None:
    assert list(set_rate(Options(interval_s=interval_s))) == written
