"""A gateway imports only the profiles of its devices; the process is a new one, not a fork."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from healthd.profiles.index import FILE, read
from healthd.simulator.broker import EmbeddedBroker
from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.process import clean_environment
from tests.support.subscriber import Received, Subscriber

pytestmark = needs_dbus

# ``healthd run``, and then the names of all modules that it has imported.
RUN = """
import atexit, sys
from healthd.cli import main
atexit.register(lambda: print(*sys.modules, sep="\\n"))
main()
"""

SETTINGS = """
[gateway]
id = "gateway"
[mqtt]
brokers = ["{broker}"]
{mqtt}
[outbox]
directory = "{folder}"
max_size = "16MB"
[[peripherals]]
id = "strap"
{device}
"""

# Every reader compares what it reads with the model of device information.
OF_A_STRAP = {"heart_rate", "device_information"}

# The name of a heart rate in Home Assistant depends on what else such a device may send.
OF_ITS_NAME = {"mi_band", "polar_broadcast"}


def profiles_in(imported: set[str]) -> set[str]:
    """Return the profiles whose modules are among these."""
    return {row.name for row in read(FILE).profiles if f"healthd.profiles.{row.module}" in imported}


async def imported_by(
    config: Path, environ: dict[str, str], subscriber: Subscriber, topic: str
) -> set[str]:
    """Run healthd until a heart rate has arrived at this topic; return what it has imported."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUN, "run", "--config", str(config)),
        env=clean_environment() | environ,
        stdout=asyncio.subprocess.PIPE,
    )
    try:

        def has_come(messages: list[Received]) -> bool:
            return any(
                message.topic == topic and b"heart_rate_bpm" in message.payload
                for message in messages
            )

        await subscriber.until(has_come, at_most=50)
        process.send_signal(signal.SIGTERM)
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    return set(output.decode().split())


@pytest.mark.parametrize(
    ("mqtt", "device", "expected"),
    [
        ("", 'address = "C0:00:00:00:00:01"', OF_A_STRAP),
        ("", 'service = "heart_rate"', OF_A_STRAP),
        (
            'discovery = "homeassistant"',
            'address = "C0:00:00:00:00:01"',
            OF_A_STRAP | OF_ITS_NAME,
        ),
    ],
    ids=["by address", "by service", "with Home Assistant"],
)
async def test_a_gateway_with_a_strap_imports_no_other_profile(
    bus: Bus, tmp_path: Path, mqtt: str, device: str, expected: set[str]
) -> None:
    config = tmp_path / "healthd.toml"
    topic = "healthd/gateway/device/strap/heart_rate"
    if mqtt:
        topic = "homeassistant/device/gateway_strap/config"
    environ = {"DBUS_SYSTEM_BUS_ADDRESS": bus.address}
    async with EmbeddedBroker() as broker, BlueZ(bus, strap(), adapters={"hci0": True}):
        address = f"{broker.host}:{broker.port}"
        config.write_text(
            SETTINGS.format(broker=address, folder=tmp_path / "outbox", mqtt=mqtt, device=device)
        )
        async with Subscriber(broker.port) as subscriber:
            imported = await imported_by(config, environ, subscriber, topic)
    assert profiles_in(imported) == expected
    assert not {name for name in imported if name.startswith("healthd.profiles.fitness_machine")}
    if not mqtt:
        vendors = {name for name in imported if name.startswith("healthd.profiles.vendor.")}
        assert vendors == set()
