"""``healthd capture`` on simulated devices: the file holds what the devices sent, and no secret."""

import random
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from healthd.settings.keys import Keys
from healthd.simulator.broadcasting.catalogue import BROADCASTING
from healthd.simulator.catalogue import CATALOGUE
from healthd.simulator.health.scale import CONSENT_FILE
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.vendor.omron import KEY
from healthd.traffic.lines import (
    Advertised,
    Connected,
    ConnectFailed,
    Disconnected,
    Discovered,
    Line,
    Missing,
    MtuAgreed,
    Notified,
    Read,
    Start,
    Subscribed,
    Written,
)
from tests.end_to_end.capture_rig import SentValues, capturing
from tests.end_to_end.simulated_gateway import add, address, gateway
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.timeout(180)

_SERIAL_NUMBER = "2a25"
_UNLOCK = "b305b680-aee7-11e1-a730-0002a5d5c51b"
_USER_CONTROL_POINT = "2a9f"


def made(model: str, sent: SentValues, name: str | None = None) -> VirtualPeripheral:
    make = CATALOGUE[model].make
    return make(address(1), random.Random(1), name=name, period=0.2, record=sent.record)


def values(found: Iterable[Line]) -> dict[str, list[bytes]]:
    """Return the notified values, by characteristic."""
    by_uuid: dict[str, list[bytes]] = defaultdict(list)
    for line in found:
        if isinstance(line, Notified):
            assert line.uuid is not None
            by_uuid[line.uuid].append(line.value)
    return by_uuid


def number(found: Iterable[Line], kind: type[Line]) -> int:
    return sum(isinstance(line, kind) for line in found)


def every_value(found: Iterable[Line]) -> Iterator[bytes]:
    """Yield each value, whatever it is of."""
    for line in found:
        match line:
            case Read() | Written() | Notified():
                yield line.value or b""
            case Advertised():
                yield from line.service_data.values()
                yield from line.manufacturer_data.values()
            case _:
                pass


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"RUNTIME_DIRECTORY": str(tmp_path)}


@pytest.mark.parametrize("model", ["heart_rate", "polar_pmd", "treadmill", "glucose", "pm5"])
async def test_a_capture_holds_what_the_device_sent(
    subscriber: Subscriber,
    settings: dict[str, Any],
    tmp_path: Path,
    environ: dict[str, str],
    model: str,
) -> None:
    sent = SentValues()
    entries = [{"id": "device", "address": address(1), **CATALOGUE[model].settings}]
    async with (
        gateway(subscriber, settings, entries, environ) as air,
        capturing(tmp_path, settings, entries, "device", "--keep-identity") as command,
    ):
        await add(air, device := made(model, sent))
        await command.until(lambda found: sum(map(len, values(found).values())) >= 10)
        # It drops the link and comes back, and then goes out of range.
        await device.drop()
        await command.until(lambda found: number(found, Connected) == 2)
        await command.until(lambda found: isinstance(found[-1], Notified))
        await device.vanish()
        await command.until(lambda found: number(found, Disconnected) == 2)
        found = await command.end()
    assert stat.S_IMODE(command.file.stat().st_mode) == 0o600
    assert values(found) == sent.by_uuid
    assert number(found, Missing) == 0
    assert [line.link for line in found if isinstance(line, Connected)] == [1, 2]
    start, first = found[0], next(line for line in found if isinstance(line, Advertised))
    assert isinstance(start, Start)
    assert (start.source, start.identity, start.t) == ("healthd", "kept", 0)
    assert start.peripheral["id"] == "device"
    assert start.healthd.keys() >= {"version", "run"}
    assert (first.device, first.name) == (address(1), device.name)
    times = [line.t for line in found]
    assert times == sorted(times)


async def test_a_line_has_what_the_device_offers(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path, environ: dict[str, str]
) -> None:
    sent, entries = SentValues(), [{"id": "device", "address": address(1)}]
    async with (
        gateway(subscriber, settings, entries, environ) as air,
        capturing(tmp_path, settings, entries, "device") as command,
    ):
        await add(air, made("heart_rate", sent))
        await command.until(lambda found: number(found, Notified) >= 3)
        found = await command.end()
    (discovered,) = (line for line in found if isinstance(line, Discovered))
    (mtu,) = (line.mtu for line in found if isinstance(line, MtuAgreed))
    assert mtu == 517
    offered = {
        each.uuid: each for service in discovered.services for each in service.characteristics
    }
    measurement = offered["2a37"]
    assert measurement.properties == ("notify",)
    # Bumble gives the declaration, the value and the configuration three handles in a row.
    assert [each.uuid for each in measurement.descriptors] == ["2902"]
    assert measurement.descriptors[0].handle == measurement.handle + 1
    handles = {line.handle for line in found if isinstance(line, Notified | Subscribed)}
    assert measurement.handle in handles
    reads = {line.uuid: line.value for line in found if isinstance(line, Read)}
    assert reads["2a29"] == b"healthd"
    (subscribed,) = (line for line in found if isinstance(line, Subscribed) and line.uuid == "2a37")
    assert (subscribed.mode, subscribed.error) == ("notify", None)


async def test_a_capture_that_begins_later_joins_the_link(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path, environ: dict[str, str]
) -> None:
    sent, entries = SentValues(), [{"id": "device", "address": address(1)}]
    async with gateway(subscriber, settings, entries, environ) as air:
        await add(air, device := made("heart_rate", sent))
        await device.subscribed.wait()
        async with capturing(tmp_path, settings, entries, "device") as command:
            await command.until(lambda found: number(found, Notified) >= 3)
            found = await command.end()
    start, connected, services, mtu, *rest = found
    assert isinstance(start, Start)
    assert isinstance(connected, Connected)
    assert connected.joined
    assert isinstance(services, Discovered)
    assert isinstance(mtu, MtuAgreed)
    assert {type(line) for line in rest} == {Notified}
    assert device.links == 1
    heard = values(found)["2a37"]
    assert len(heard) >= 3
    assert "".join(value.hex() for value in heard) in "".join(
        value.hex() for value in sent.by_uuid["2a37"]
    )


async def test_what_a_device_only_advertises(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path, environ: dict[str, str]
) -> None:
    sent, entries = SentValues(), [{"id": "scale", "address": address(1), "connect": False}]
    make = BROADCASTING["mi_scale"].make
    async with (
        gateway(subscriber, settings, entries, environ) as air,
        capturing(tmp_path, settings, entries, "scale") as command,
    ):
        scale = make(address(1), random.Random(1), period=1.0, record=sent.record)
        await add(air, scale)
        await command.until(lambda found: number(found, Advertised) >= 30)
        await scale.vanish()
        found = await command.end()
    heard = [line.service_data["181d"] for line in found if isinstance(line, Advertised)]
    transmitted = sent.by_uuid["service_data_181d"]
    # Between scans nothing is heard, so compare what changes.
    assert [each for each, _ in groupby(heard)] == [each for each, _ in groupby(transmitted)][
        : len(list(groupby(heard)))
    ]


async def test_a_link_that_cannot_be_made(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path, environ: dict[str, str]
) -> None:
    sent, entries = SentValues(), [{"id": "device", "address": address(1)}]
    async with gateway(subscriber, settings, entries, environ) as air:
        connect = air.connect

        async def refuse(_address: str) -> Any:
            air.connect = connect  # type: ignore[method-assign]
            raise TimeoutError

        air.connect = refuse  # type: ignore[method-assign]
        async with capturing(tmp_path, settings, entries, "device") as command:
            await add(air, made("heart_rate", sent))
            await command.until(lambda found: number(found, Connected) == 1)
            found = await command.end()
    kinds = [type(line) for line in found if isinstance(line, Connected | ConnectFailed)]
    assert kinds == [ConnectFailed, Connected]


async def test_no_address_name_or_serial_number_is_in_the_file(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path, environ: dict[str, str]
) -> None:
    name = "Strap 8A2B44C1"
    entries = [{"id": "device", "name": "Strap 8A2B*"}]
    async with (
        gateway(subscriber, settings, entries, environ) as air,
        capturing(tmp_path, settings, entries, "device") as command,
    ):
        await add(air, made("heart_rate", SentValues(), name))
        await command.until(lambda found: number(found, Notified) >= 3)
        found = await command.end()
    text = command.file.read_text().lower()
    octets = bytes.fromhex(address(1).replace(":", ""))
    assert not re.search("[:_-]?".join(address(1).lower().split(":")), text)
    for secret in (octets, octets[::-1], b"8A2B44C1", b"8a2b44c1"):
        assert all(secret not in value for value in every_value(found))
        assert secret.hex() not in text
    assert "8a2b44c1" not in text
    start = found[0]
    assert isinstance(start, Start)
    assert (start.identity, start.peripheral["name"]) == ("replaced", "Strap *")
    names = {line.name for line in found if isinstance(line, Advertised)}
    assert names == {"Strap 00000001"}
    # The simulated strap says 00000001 itself, as what comes first in a capture does.
    serials = [line.value for line in found if isinstance(line, Read) and line.uuid == "2a25"]
    assert serials == [b"00000002"]


@pytest.mark.parametrize(
    ("model", "control", "secret"),
    [
        ("omron", _UNLOCK, KEY),
        ("user_scale", _USER_CONTROL_POINT, int(CONSENT_FILE.read_text()).to_bytes(2, "little")),
    ],
)
async def test_no_key_is_in_a_capture(
    subscriber: Subscriber,
    settings: dict[str, Any],
    tmp_path: Path,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    control: str,
    secret: bytes,
) -> None:
    monkeypatch.setattr("healthd.sessions.collect.QUIET_S", 1.0)
    entries = [{"id": "device", "address": address(1), **CATALOGUE[model].settings}]
    if CATALOGUE[model].key is not None:
        keys = Keys(tmp_path)
        keys.make_folder()
        keys.store("device", secret)
    async with (
        gateway(subscriber, settings, entries, environ) as air,
        capturing(tmp_path, settings, entries, "device", "--keep-identity") as command,
    ):
        await add(air, made(model, SentValues()))
        await command.until(
            lambda found: any(isinstance(line, Written) and line.uuid == control for line in found)
        )
        await command.until(lambda found: number(found, Notified) >= 3)
        found = await command.end()
    written = [line for line in found if isinstance(line, Written) and line.uuid == control]
    assert written
    assert all(line.value is None for line in written)
    assert not any(secret in value for value in every_value(found) if len(secret) > 2)
    assert secret.hex() not in command.file.read_text() or len(secret) == 2
    assert "consent" not in command.file.read_text().replace('"consent_file":"left out"', "")


async def test_a_bind_key_is_not_in_a_capture(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path, environ: dict[str, str]
) -> None:
    key = "231d39c1d7cc1ab1aee224cd096db932"
    file = tmp_path / "anna.key"
    file.write_text(key)
    entries = [{"id": "room", "address": address(1), "bind_key_file": str(file)}]
    room = BROADCASTING["bthome"].make(address(1), random.Random(1))
    async with (
        gateway(subscriber, settings, entries, environ) as air,
        capturing(tmp_path, settings, entries, "room", "--keep-identity") as command,
    ):
        await add(air, room)
        await command.until(lambda found: number(found, Advertised) >= 3)
        start, *rest = await command.end()
    assert isinstance(start, Start)
    assert start.peripheral["bind_key_file"] == "left out"
    text = command.file.read_text().lower()
    assert key not in text
    assert "anna" not in text
    assert all(bytes.fromhex(key) not in value for value in every_value(rest))
