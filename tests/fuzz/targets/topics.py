"""Topics: of messages that other programs publish, and of old records."""

from collections.abc import Iterable

from healthd.mqtt.topics import Topics, gateway_of, person_at, person_of, place_of
from tests.fuzz import target
from tests.fuzz.pieces import Pieces, chunk


class Target(target.Target):
    """Prefix, gateway, peripheral, stream; and a topic that need not have to do with them."""

    words = (
        b"/",
        b"//",
        b"device/",
        b"/device/",
        b"/history",
        b"person/",
        b"healthd/",
        b"status",
        b"#",
        b"+",
    )

    def seeds(self) -> Iterable[bytes]:
        """Yield good ones."""
        parts = chunk("healthd") + chunk("g") + chunk("strap") + chunk("heart_rate")
        yield parts + b"healthd/g/device/strap/heart_rate/history"
        yield parts + b"healthd/g/device/scale/person/anna/weight"
        yield parts + b"healthd/g/status"

    def fuzz(self, data: bytes) -> None:
        """Take any topic apart; what was put together is found again."""
        pieces = Pieces(data)
        prefix, gateway, peripheral, stream = (pieces.text() for _ in range(4))
        topic = pieces.rest().decode("utf-8", "replace")
        topics = Topics(prefix, gateway)
        place_of(topic, prefix)
        gateway_of(peripheral, topic)
        topics.is_own(topic)
        person_at(topic)
        person_of(stream)
        if all((prefix, gateway, peripheral, stream)) and not {"/"} & set(
            gateway + peripheral + stream
        ):
            place = place_of(topics.sample(peripheral, stream), prefix)
            assert place is not None
            assert (place.gateway, place.peripheral) == (gateway, peripheral)
            assert topics.is_own(topics.sample(peripheral, stream))
