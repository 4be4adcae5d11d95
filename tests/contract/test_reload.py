"""SIGHUP to the real process, with three straps on a fake bluetoothd."""

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from healthd.simulator.broker import EmbeddedBroker
from tests.brokers.responder import Responder
from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.conformity import conform
from tests.support.process import Healthd, complaints
from tests.support.streams import streams
from tests.support.subscriber import Received, Subscriber

pytestmark = needs_dbus

STRAPS = ("one", "two", "three")
ADDRESSES = {peripheral: f"C0:00:00:00:00:0{number}" for number, peripheral in enumerate(STRAPS, 1)}

ABSENT = "C0:00:00:00:00:04"

SETTINGS = """
[gateway]
id = "gateway"
[mqtt]
brokers = ["{broker}"]
[outbox]
directory = "{folder}/outbox"
max_size = "16MB"
"""
ENTRY = """
[[peripherals]]
id = "{id}"
address = "{address}"
{more}
"""


def topic(peripheral: str, last: str) -> str:
    return f"healthd/gateway/device/{peripheral}/{last}"


async def streaming(subscriber: Subscriber, peripherals: Sequence[str]) -> None:
    """Wait for new samples of each peripheral."""
    since = len(subscriber.messages)

    def enough(messages: list[Received]) -> bool:
        topics = [one.topic for one in messages[since:]]
        return all(topics.count(topic(one, "heart_rate")) >= 3 for one in peripherals)

    await subscriber.until(enough)


async def test_sighup_reloads_the_settings(bus: Bus, tmp_path: Path) -> None:
    config, environ = tmp_path / "healthd.toml", {"DBUS_SYSTEM_BUS_ADDRESS": bus.address}
    devices = [strap(address, name) for name, address in ADDRESSES.items()]
    devices.append(strap(ABSENT, "absent", known=True, bonded=True, away=True))
    async with (
        EmbeddedBroker() as broker,
        BlueZ(bus, *devices, adapters={"hci0": True}) as bluez,
        Subscriber(broker.port) as subscriber,
    ):

        def write(*peripherals: str, **more: str) -> None:
            whole = SETTINGS.format(broker=f"{broker.host}:{broker.port}", folder=tmp_path)
            for peripheral in peripherals:
                address = ADDRESSES.get(peripheral, ABSENT)
                extra = more.get(peripheral, "")
                whole += ENTRY.format(id=peripheral, address=address, more=extra)
            config.write_text(whole)

        def links(call: str) -> list[int]:
            paths = [f"dev_{address.replace(':', '_')}" for address in ADDRESSES.values()]
            return [bluez.count(call, path) for path in paths]

        write(*STRAPS)
        async with Healthd("run", "--config", str(config), environ=environ) as healthd:
            await streaming(subscriber, STRAPS)
            write(*STRAPS, two="heart_rate_zones = [60]")
            healthd.send(signal.SIGHUP)
            await healthd.logged("reloaded", changed=["two"], unchanged=2)
            await streaming(subscriber, STRAPS)
            assert (links("Connect"), links("Disconnect")) == ([1, 2, 1], [0, 1, 0])
            config.write_text("[log]\nlevel = 'loud'")
            healthd.send(signal.SIGHUP)
            await healthd.logged("bad setting", key="log.level", found="'loud'", file=str(config))
            await healthd.logged("not reloaded")
            await streaming(subscriber, STRAPS)
            write("one", "three", "absent")
            healthd.send(signal.SIGHUP)
            await healthd.logged("reloaded", removed=["two"], added=["absent"])
            await subscriber.until_payload(topic("two", "status"), b"")
            # What BlueZ knows about the new one is published without a link to it.
            of_absent = topic("absent", "info")
            await subscriber.until(
                lambda _: [one for one in subscriber.at(of_absent) if one.json().get("bonded")]
            )
            await streaming(subscriber, ("one", "three"))
            assert (links("Connect"), links("Disconnect")) == ([1, 2, 1], [0, 2, 0])
            healthd.send(signal.SIGHUP)
            assert await healthd.stopped() == 0
    conform(subscriber.messages)
    assert complaints(healthd.log) == []
    for one in STRAPS:
        (stream,) = streams(subscriber.messages, topic(one, "heart_rate")).values()
        stream.check()
    gaps = [one.json() for one in subscriber.at("healthd/gateway/event/gap")]
    assert [(one["peripheral"], one["reason"]) for one in gaps] == [("two", "stopped")]


@pytest.mark.parametrize("content", [b"", b"\0" * 512, b"# [[peripherals]]\n", b"[mqtt]\n"])
async def test_issue_16_a_settings_file_without_keys_is_not_reloaded(
    bus: Bus, tmp_path: Path, content: bytes
) -> None:
    """Taken for settings, it would remove the peripheral with everything retained."""
    config, environ = tmp_path / "healthd.toml", {"DBUS_SYSTEM_BUS_ADDRESS": bus.address}
    async with (
        EmbeddedBroker() as broker,
        BlueZ(bus, strap(ADDRESSES["one"]), adapters={"hci0": True}) as bluez,
        Subscriber(broker.port) as subscriber,
    ):
        settings = SETTINGS.format(broker=f"{broker.host}:{broker.port}", folder=tmp_path)
        settings += ENTRY.format(id="one", address=ADDRESSES["one"], more="")
        config.write_text(settings)
        async with Healthd("run", "--config", str(config), environ=environ) as healthd:
            await streaming(subscriber, ("one",))
            config.write_bytes(content)
            healthd.send(signal.SIGHUP)
            line = await healthd.logged("bad setting", file=str(config))
            assert "restore it from a backup" in line["expected"]
            await healthd.logged("not reloaded")
            await streaming(subscriber, ("one",))
            config.write_text(settings)
            healthd.send(signal.SIGHUP)
            await healthd.logged("reloaded", unchanged=1, removed=[])
            assert await healthd.stopped() == 0
        assert bluez.count("Disconnect") == 1, "only when healthd stops"
    topics = {topic("one", "status"), topic("one", "info"), topic("one", "battery")}
    cleared = [one for one in subscriber.messages if one.topic in topics and not one.payload]
    assert cleared == []


async def test_issue_16_files_that_are_missing_during_a_reload_change_nothing(
    bus: Bus, tmp_path: Path
) -> None:
    config, environ = tmp_path / "healthd.toml", {"DBUS_SYSTEM_BUS_ADDRESS": bus.address}
    password, absent = tmp_path / "password", tmp_path / "absent"
    password.write_text("right\n")
    async with (
        EmbeddedBroker() as broker,
        BlueZ(bus, strap(ADDRESSES["one"]), adapters={"hci0": True}),
        Subscriber(broker.port) as subscriber,
    ):
        settings = SETTINGS.format(broker=f"{broker.host}:{broker.port}", folder=tmp_path)
        files = f'password_file = "{password}"\n'
        settings = settings.replace("[outbox]", f"{files}[outbox]")
        config.write_text(settings + ENTRY.format(id="one", address=ADDRESSES["one"], more=""))
        async with Healthd("run", "--config", str(config), environ=environ) as healthd:
            await streaming(subscriber, ("one",))
            password.rename(absent)
            healthd.send(signal.SIGHUP)
            line = await healthd.logged("file unavailable")
            assert line["error"] == f"mqtt.password_file: {password}: No such file or directory"
            assert line["hint"].endswith("reload again when it is there")
            await healthd.logged("not reloaded")
            await streaming(subscriber, ("one",))
            absent.rename(password)
            healthd.send(signal.SIGHUP)
            await healthd.logged("reloaded", unchanged=1)
            assert await healthd.stopped() == 0
    assert complaints(healthd.log) == []


async def test_issue_16_a_new_client_id_is_used_after_a_reload(bus: Bus, tmp_path: Path) -> None:
    config, environ = tmp_path / "healthd.toml", {"DBUS_SYSTEM_BUS_ADDRESS": bus.address}
    async with (
        Responder() as broker,
        BlueZ(bus, strap(ADDRESSES["one"]), adapters={"hci0": True}) as bluez,
    ):

        def client_ids() -> list[str]:
            return [c.connect.client_id for c in broker.connections if c.connect is not None]

        settings = SETTINGS.format(broker=broker.address, folder=tmp_path)
        settings += ENTRY.format(id="one", address=ADDRESSES["one"], more="")
        config.write_text(settings.replace("[mqtt]", '[mqtt]\nclient_id = "first"'))
        async with Healthd("run", "--config", str(config), environ=environ) as healthd:
            await broker.until(lambda: any("heart_rate" in p.topic for p in broker.published))
            config.write_text(settings.replace("[mqtt]", '[mqtt]\nclient_id = "second"'))
            healthd.send(signal.SIGHUP)
            await broker.until(lambda: client_ids()[-1:] == ["second"])
            await healthd.logged("reloaded", unchanged=1)
            assert await healthd.stopped() == 0
        assert client_ids() == ["first", "second"]
        assert bluez.count("Disconnect") == 1, "only when healthd stops"
    assert complaints(healthd.log) == []
