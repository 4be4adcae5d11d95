"""Tests of the harness: the parser of packets and topics, and the ledger."""

import pytest

from tests.chaos.ledger import Ledger, key_of
from tests.chaos.observations import Key
from tests.chaos.wire import PUBACK, PUBLISH, Packets, acknowledged, client_id, published

RUN = "0123abcd"
LIVE = "healthd/chaos/device/strap-1/heart_rate"
SAMPLE = b'{"id":"0123abcd-17","time":"2026-11-24T02:03:31.123456Z"}'
KEY = Key("strap-1", "heart_rate", RUN, 17)


def publish(mid: int, topic: str, payload: bytes) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic.encode() + mid.to_bytes(2, "big") + b"\0" + payload
    assert len(body) >= 128, "the length must take two bytes"
    return bytes([0x32, len(body) & 0x7F | 0x80, len(body) >> 7]) + body


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_packets_are_parsed_from_chunks_of_any_size(size: int) -> None:
    stream = publish(1, LIVE, SAMPLE * 2) + bytes([0x40, 2, 0, 1]) + publish(2, LIVE, SAMPLE * 3)
    packets = Packets()
    found = [
        packet
        for at in range(0, len(stream), size)
        for packet in packets.feed(stream[at : at + size])
    ]
    assert [packet.type for packet in found] == [PUBLISH, PUBACK, PUBLISH]
    assert published(found[2]) == (2, LIVE, SAMPLE * 3)


def test_acknowledgements_and_refusals() -> None:
    short, good, denied = Packets().feed(
        bytes([0x40, 2, 0, 7, 0x40, 4, 0, 8, 0x10, 0, 0x40, 4, 1, 0, 0x87, 0])
    )
    assert acknowledged(short) == (7, True)
    assert acknowledged(good) == (8, True)  # "no matching subscribers" is not a failure
    assert acknowledged(denied) == (256, False)


def test_client_id_of_connect() -> None:
    body = b"\0\4MQTT\5\2\0\x0a" + b"\5\x11\0\0\0\0" + b"\0\3abc"
    (packet,) = Packets().feed(bytes([0x10, len(body)]) + body)
    assert client_id(packet) == "abc"


def test_sample_topics() -> None:
    assert key_of(LIVE, SAMPLE) == (KEY, False)
    assert key_of(f"{LIVE}/history", SAMPLE) == (KEY, True)
    undecoded = key_of("healthd/chaos/device/strap-1/undecoded/2a37", SAMPLE)
    assert undecoded == (Key("strap-1", "undecoded/2a37", RUN, 17), False)
    assert key_of("healthd/chaos/event/gap", SAMPLE) == (Key("", "event/gap", RUN, 17), False)


def test_other_topics() -> None:
    for topic in ("status", "info", "health", "device/strap-1/status", "device/strap-1/info"):
        assert key_of(f"healthd/chaos/{topic}", b"online") is None
    assert key_of("elsewhere/chaos/event/gap", SAMPLE) is None


def test_invalid_payload_at_a_sample_topic_is_recorded() -> None:
    ledger = Ledger()
    ledger.receive(LIVE, b"\xff\xfe", retained=False, mono_ns=1)
    assert len(ledger.unknown) == 1


def test_only_undelivered_samples_of_a_killed_broker_are_excused() -> None:
    ledger = Ledger()
    for seq in (16, 17, 18):
        ledger.accept(f"{seq} {seq} strap-1 heart_rate {RUN} {seq}")
    ledger.acknowledge(KEY)
    ledger.acknowledge(KEY._replace(seq=18))
    ledger.receive(LIVE, SAMPLE.replace(b"17", b"18"), retained=False, mono_ns=1)
    assert not ledger.observations().acknowledged, "no broker was killed"
    ledger.broker_killed()
    assert set(ledger.observations().acknowledged) == {KEY}


def test_retained_message_is_not_a_delivery() -> None:
    ledger = Ledger()
    ledger.accept(f"1 1 strap-1 heart_rate {RUN} 17")
    ledger.receive(LIVE, SAMPLE, retained=True, mono_ns=1)
    assert not ledger.is_settled(until_ns=2)
