"""HCI logs that healthd did not write: bumble's snooper on the adapter of the real daemon."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

import pytest

from healthd.capture.reading import read
from healthd.profiles.uuids import canonical_uuid
from healthd.simulator.broadcaster import Broadcaster
from healthd.simulator.broadcasting.catalogue import BROADCASTING
from healthd.simulator.catalogue import CATALOGUE
from healthd.simulator.fitness.bike import Bike, bike_part
from healthd.simulator.health.glucose import Memory, meter_part
from healthd.simulator.part import Sent
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import device_information_part
from healthd.traffic.lines import (
    Advertised,
    Connected,
    Disconnected,
    Discovered,
    Line,
    MtuAgreed,
    Notified,
    Read,
    Start,
    Subscribed,
    Written,
)
from tests.end_to_end.requester import Requester
from tests.end_to_end.simulated_gateway import BOUND_S, add, address, gateway, live, until_runs
from tests.support.snooped import Request, TrueCharacteristic, Truth, snooped
from tests.support.subscriber import Subscriber

# Longer than the smallest MTU, so that it takes several requests to read it.
_LONG_NAME = "A machine whose name is far longer than one packet, by a maker of long names"
_SMALLEST_MTU = 23
_STORED = 30
_STRAP, _BIKE, _METER, _CUFF, _POLAR, _SCALE = (address(number) for number in range(1, 7))
_REQUESTS = ("read", "write", "command", "subscribe", "unsubscribe")
# Values that a device has handed to a link just before it ended need not have left the device: a
# packet in each of the two controllers, and one in the host of the device.
_LAST_ON_A_LINK = 3
_ECG = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"


Value = tuple[str | None, int, bytes]


class Sky:
    """All devices of the test, and what each of them sent, by address."""

    entries = (
        {"id": "strap", "address": _STRAP},
        {"id": "bike", "address": _BIKE},
        {"id": "meter", "address": _METER, "every": "1h", "window": "30s"},
        {"id": "cuff", "address": _CUFF},
        {"id": "polar", "address": _POLAR, "pmd": ["ecg", "acceleration"]},
        {"id": "scale", "address": _SCALE, "connect": False, "service": "mi_scale"},
    )

    def __init__(self) -> None:
        self.sent: defaultdict[str, list[Sent]] = defaultdict(list)
        self._more = asyncio.Event()
        self.strap = self._made(_STRAP, "heart_rate", 0.2)
        self.scale = BROADCASTING["mi_scale"].make(
            _SCALE, random.Random(1), period=0.3, record=self._record(_SCALE)
        )
        bike = [
            bike_part(Bike(random.Random(1)), 0.3),
            device_information_part({0x2A24: _LONG_NAME}),
        ]
        memory = Memory(random.Random(1), stored=_STORED)
        self.devices: tuple[VirtualPeripheral | Broadcaster, ...] = (
            self.strap,
            self.scale,
            VirtualPeripheral("Bike", _BIKE, bike, record=self._record(_BIKE)),
            VirtualPeripheral("Meter", _METER, [meter_part(memory)], record=self._record(_METER)),
            self._made(_CUFF, "blood_pressure", 0.5),
            self._made(_POLAR, "polar_pmd", 0.5),
        )

    async def until_sent(self, who: str, number: int, uuid: str = "") -> None:
        """Wait until a device has sent this many values, of any characteristic or of one."""
        async with asyncio.timeout(BOUND_S):
            while sum(not uuid or each.uuid == uuid for each in self.sent[who]) < number:
                self._more.clear()
                await self._more.wait()

    def _made(self, who: str, model: str, period: float) -> VirtualPeripheral:
        return CATALOGUE[model].make(who, random.Random(1), period=period, record=self._record(who))

    def _record(self, who: str) -> Callable[[Sent], None]:
        def note(sent: Sent) -> None:
            self.sent[who].append(sent)
            self._more.set()

        return note


# 27 bytes is the smallest buffer that a controller may have: every long value arrives in pieces.
@pytest.mark.parametrize("acl_bytes", [27, 251])
async def test_bumble_s_snooper(
    acl_bytes: int,
    subscriber: Subscriber,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "hci.btsnoop"
    sky = Sky()
    mqtt = {**settings["mqtt"], "requests": ["set_target_power"]}
    whole = {**settings, "mqtt": mqtt}
    with snooped(file, monkeypatch, acl_bytes=acl_bytes, peer_mtus={_BIKE: _SMALLEST_MTU}) as radio:
        async with gateway(subscriber, whole, sky.entries) as air:
            await add(air, *sky.devices)
            await _until_all_stream(sky, subscriber)
            await Requester(subscriber).request(
                "set_target_power", {"peripheral": "bike", "power_w": 180}
            )
            await sky.strap.drop()
            before = len(sky.sent[_STRAP])
            await sky.until_sent(_STRAP, before + 5)
        truths = radio.truths
    lines = list(read(file))
    first = lines[0]
    assert isinstance(first, Start)
    assert first.source == "btsnoop"
    by_device: defaultdict[str, list[Line]] = defaultdict(list)
    for line in lines[1:]:
        by_device[getattr(line, "device", "")].append(line)
    # No other device was near, and nothing is missing.
    assert set(by_device) == {*truths, _SCALE}
    for who, truth in truths.items():
        _check_links(by_device[who], truth)
        _check_services(by_device[who], truth)
        _check_values(by_device[who], truth, sky.sent[who])
        _check_requests(by_device[who], truth)
    _check_advertisements(by_device[_SCALE], sky)
    # What the test is about did happen.
    assert len(truths[_STRAP].mtus) == 2
    assert truths[_BIKE].mtus == [_SMALLEST_MTU]
    longest = max(len(each.payload) for each in sky.sent[_POLAR])
    assert longest > 200
    assert any(each.value == _LONG_NAME.encode() for each in truths[_BIKE].requests)
    assert any(line.confirmed for line in by_device[_CUFF] if isinstance(line, Notified))


async def _until_all_stream(sky: Sky, subscriber: Subscriber) -> None:
    await sky.until_sent(_STRAP, 10)
    await sky.until_sent(_POLAR, 3, _ECG)
    await sky.until_sent(_CUFF, 3)
    await sky.until_sent(_BIKE, 5)
    await sky.until_sent(_SCALE, 3)
    await until_runs(subscriber, meter=1)
    await subscriber.until(lambda _: live(subscriber, "scale", "weight"), BOUND_S)


def _check_links(lines: list[Line], truth: Truth) -> None:
    links = [line for line in lines if isinstance(line, Connected)]
    assert [line.link for line in links] == sorted({line.link for line in links})
    assert not any(line.joined for line in links)
    assert len(links) == len(truth.mtus)
    assert [line.link for line in lines if isinstance(line, Disconnected)] == [
        line.link for line in links
    ]
    assert [line.mtu for line in lines if isinstance(line, MtuAgreed)] == truth.mtus


def _check_services(lines: list[Line], truth: Truth) -> None:
    # A later line of a link replaces an earlier one.
    last = {line.link: line.services for line in lines if isinstance(line, Discovered)}
    assert len(last) == len(truth.mtus)
    for services in last.values():
        assert [(each.uuid, each.handle) for each in services] == truth.services
        described = 0
        for service in services:
            true = truth.characteristics[service.handle]
            found = [
                TrueCharacteristic(
                    each.uuid,
                    each.handle,
                    frozenset(each.properties),
                    [(descriptor.uuid, descriptor.handle) for descriptor in each.descriptors],
                )
                for each in service.characteristics
            ]
            # healthd looks only into the services that it can read.
            assert found in ([], true)
            described += bool(found)
        assert described


def _check_values(lines: list[Line], truth: Truth, sent: list[Sent]) -> None:
    """Check that all values were found, in order, except perhaps the last ones of a link."""
    found = [line for line in lines if isinstance(line, Notified)]
    assert found
    rest = iter([_value(each, truth) for each in sent])
    link = found[0].link
    for line in found:
        missing = list(takewhile(lambda value, line=line: value != _found(line), rest))
        assert len(missing) <= (_LAST_ON_A_LINK if line.link != link else 0), (missing, line)
        link = line.link
    assert len(list(rest)) <= _LAST_ON_A_LINK


def _value(sent: Sent, truth: Truth) -> Value:
    uuid = canonical_uuid(sent.uuid)
    return uuid, truth.handle_of(uuid), sent.payload


def _found(line: Notified) -> Value:
    return line.uuid, line.handle, line.value


def _check_requests(lines: list[Line], truth: Truth) -> None:
    found = [request for line in lines if (request := _request(line))]
    for what in _REQUESTS:
        assert [each for each in found if each.what == what] == [
            each for each in truth.requests if each.what == what
        ]


def _request(line: Line) -> Request | None:
    """Return a request as it was noted above the Bluetooth stack; None if it has failed."""
    if not isinstance(line, Read | Written | Subscribed) or line.error or line.code:
        return None
    assert line.uuid
    if isinstance(line, Read):
        assert line.value is not None
        return Request("read", line.uuid, line.handle, line.value)
    if isinstance(line, Written):
        assert line.value is not None
        what = "write" if line.response else "command"
        return Request(what, line.uuid, line.handle, line.value)
    what = "unsubscribe" if line.mode == "off" else "subscribe"
    return Request(what, line.uuid, line.handle)


def _check_advertisements(lines: list[Line], sky: Sky) -> None:
    """Check that what was heard of the scale is what it advertised, in this order."""
    key = canonical_uuid("181d")
    heard = [
        line.service_data[key]
        for line in lines
        if isinstance(line, Advertised) and key in line.service_data
    ]
    # The virtual controller reports each advertisement again as its scan response. What was on air
    # while healthd did not scan was not heard.
    assert heard
    rest = iter(_distinct(each.payload for each in sky.sent[_SCALE]))
    assert all(value in rest for value in _distinct(heard))
    names = {line.name for line in lines if isinstance(line, Advertised)}
    assert names <= {None, sky.scale.name}


def _distinct(values: Iterable[bytes]) -> list[bytes]:
    """Return values without immediate repetitions."""
    return [value for value, _ in groupby(values)]
