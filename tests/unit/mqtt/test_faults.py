"""Which fault a refused connection is."""

import pytest

from healthd.mqtt.faults import connection_refused


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (0x84, "version_refused"),
        (0x86, "credentials_refused"),
        (0x87, "credentials_refused"),
        (0x88, "broker_refused"),
    ],
)
def test_reason_codes(code: int, reason: str) -> None:
    assert connection_refused(code, "because").reason == reason
