"""The check of published messages detects every kind of wrong message."""

from dataclasses import replace

import orjson
import pytest

from tests.support.conformity import conform
from tests.support.subscriber import Received

SAMPLE = {
    "id": "7f3a1c0e-1",
    "time": "2026-11-24T02:03:31.123456Z",
    "clock": "synced",
    "seq": 1,
    "heart_rate_bpm": 72,
    "sensor_contact_supported": False,
    "sensor_contact_detected": None,
}
GOOD = Received(
    "healthd/home/device/strap/heart_rate",
    orjson.dumps(SAMPLE),
    retained=False,
    qos=1,
    at=0.0,
    content_type="application/json",
    user={"schema": "heart_rate/1"},
)
RESPONSE = replace(
    GOOD,
    topic="healthd/home/response/scan",
    payload=b'{"status":"ok","data":{"found":[]},"transaction":7}',
    user={"schema": "response/1"},
)


def with_keys(**keys: object) -> Received:
    return replace(GOOD, payload=orjson.dumps(SAMPLE | keys))


def test_correct_messages_are_accepted() -> None:
    history = replace(GOOD, topic=f"{GOOD.topic}/history")
    status = replace(
        GOOD, topic="healthd/home/status", payload=b"online", content_type="text/plain", user={}
    )
    request = replace(GOOD, topic="healthd/home/request/scan", payload=b"[]", user={})
    names = {"heart_rate", "heart_rate_history", "status", "response", "request"}
    assert conform([GOOD, history, status, RESPONSE, request]) == names


@pytest.mark.parametrize(
    "wrong",
    [
        replace(GOOD, topic="healthd/home/device/strap/hart_rate"),
        replace(GOOD, qos=0),
        replace(GOOD, retained=True),
        replace(GOOD, expiry_s=60),
        replace(GOOD, content_type=None),
        replace(GOOD, user={"schema": "heart_rate/2"}),
        replace(GOOD, payload=orjson.dumps({"heart_rate_bpm": 72})),
        with_keys(heart_rate_bpm="72"),
        with_keys(heart_rate=72),
        with_keys(seq=0),
        with_keys(clock="perhaps"),
        replace(GOOD, topic="healthd/home/status"),
        replace(RESPONSE, retained=True),
        replace(RESPONSE, user={"schema": "heart_rate/1"}),
        replace(RESPONSE, payload=b'{"status":"fine"}'),
        replace(RESPONSE, payload=b'{"error":"no status"}'),
    ],
)
def test_wrong_messages_are_refused(wrong: Received) -> None:
    with pytest.raises(AssertionError):
        conform([wrong])
