"""``healthd run`` in the environment of its unit, against a real mosquitto."""

import asyncio
from pathlib import Path

import pytest

from tests.support.mosquitto import StartMosquitto, needs_mosquitto, password_file
from tests.support.process import Healthd
from tests.support.subscriber import Subscriber
from tests.unit.supervision.listener import Listener

SETTINGS = """
[gateway]
id = "gateway"
[mqtt]
brokers = ["{broker}"]
username = "healthd"
[outbox]
max_size = "1MB"
"""


@needs_mosquitto
@pytest.mark.parametrize(
    ("secret", "status"),
    [
        ("right\n", b"online"),
        ("\ufeffright\r\n", b"online"),
        ("wrong\n", None),
        ("", None),
        ("\n", None),  # the unit's default if the file was removed
    ],
)
async def test_the_password_is_read_from_a_credential(
    mosquitto: StartMosquitto, tmp_path: Path, secret: str, status: bytes | None
) -> None:
    users = password_file(tmp_path, {"healthd": "right"})
    broker = await mosquitto(f"allow_anonymous false\npassword_file {users}")
    folders: dict[str, str] = {}
    for variable in ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY"):
        (tmp_path / variable).mkdir()
        folders[variable] = str(tmp_path / variable)
    (tmp_path / "CREDENTIALS_DIRECTORY/mqtt-password").write_bytes(secret.encode())
    config = tmp_path / "healthd.toml"
    config.write_text(SETTINGS.format(broker=broker.address))
    with Listener(tmp_path / "notify") as systemd:
        environ = {**folders, "NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "1000000"}
        async with (
            Subscriber(broker.port, username="healthd", password="right") as subscriber,
            Healthd("run", "--config", str(config), environ=environ) as healthd,
        ):
            first = await asyncio.to_thread(systemd.next)
            assert first is not None
            assert first["READY"] == "1"
            if status is None:
                # A broker that refuses the gateway stops neither healthd nor the signs of life.
                await healthd.logged("retrying", service="mqtt", reason="credentials_refused")
                assert await asyncio.to_thread(systemd.until, "WATCHDOG", "1")
            else:
                await subscriber.until_payload("healthd/gateway/status", status)
            if not secret.strip():
                line = await healthd.logged("no password", level="warning")
                assert line["error"] == "/etc/healthd/mqtt-password is empty or missing"
            assert await healthd.stopped() == 0
            said = [line for line in healthd.log if line["event"] == "no password"]
            assert len(said) == (0 if secret.strip() else 1)
            assert await asyncio.to_thread(systemd.until, "STOPPING", "1")
    assert (tmp_path / "STATE_DIRECTORY/outbox.sqlite3").exists()
