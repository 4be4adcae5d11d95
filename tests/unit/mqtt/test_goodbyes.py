"""What a broker says when it refuses or ends a connection (MQTT 5 sections 2.2, 3.2 and 3.14)."""

import pytest

from healthd.mqtt.goodbyes import goodbye, last_disconnect
from healthd.mqtt.reasons import Goodbye

# Property identifiers: reason string 0x1F, server reference 0x1C, user property 0x26.
REASON = b"\x1f\x00\x02no"
REFERENCE = b"\x1c\x00\x03two"
USER = b"\x26\x00\x01a\x00\x01b"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", None),
        (b"\x00", None),
        (b"\x04\x00", None),
        (b"\x8b", Goodbye(0x8B)),
        (b"\x8b\x00", Goodbye(0x8B)),
        (b"\x97\x05" + REASON, Goodbye(0x97, "no")),
        (b"\x9c\x12" + USER + REFERENCE + REASON, Goodbye(0x9C, "no", "two")),
        (b"\xc0", Goodbye(0xC0)),
        # Properties of CONNACK before it: receive maximum, server keep alive, retain available.
        (b"\x87\x0d\x21\x00\x0a\x13\x00\x3c\x25\x00" + REASON, Goodbye(0x87, "no")),
        # The code counts even if its properties are cut off.
        (b"\x97\x05\x1f\x00\x09no", Goodbye(0x97)),
        (b"\x97\xff\xff\xff\xff", Goodbye(0x97)),
    ],
)
def test_codes_and_texts(body: bytes, said: Goodbye | None) -> None:
    assert goodbye(body) == said


def test_a_disconnect_after_other_packets() -> None:
    puback = b"\x40\x03\x00\x01\x00"
    large = b"\x30\x81\x01" + b"x" * 129
    assert last_disconnect(puback + large + b"\xe0\x01\x9a") == Goodbye(0x9A)
    assert last_disconnect(puback + puback) is None
    assert last_disconnect(b"") is None


@pytest.mark.parametrize("data", [b"\xe0", b"\xe0\x05\x97", b"\x40\xff\xff\xff\xff\x01"])
def test_what_is_not_a_packet(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"packet|length"):
        last_disconnect(data)
