"""Brokers from settings: ports, ids, passwords, and verified TLS."""

import asyncio
import shutil
import ssl
from collections.abc import Mapping
from pathlib import Path
from subprocess import run
from typing import Any

import pytest

from healthd.mqtt.endpoints import Endpoint, endpoints
from healthd.mqtt.topics import Topics
from healthd.settings.model import Settings

TOPICS = Topics("healthd", "home")


def made(environ: Mapping[str, str] | None = None, **mqtt: Any) -> tuple[Endpoint, ...]:
    settings = Settings.model_validate({"gateway": {"id": "home"}, "mqtt": mqtt})
    return endpoints(settings, TOPICS, environ or {})


@pytest.mark.parametrize(("tls", "port"), [(False, 1883), (True, 8883)])
def test_brokers_keep_their_order_and_get_a_port(tls: bool, port: int) -> None:
    found = made(brokers=["one.lan", "two.lan:1234", "[::1]"], tls=tls)
    assert [(endpoint.host, endpoint.port) for endpoint in found] == [
        ("one.lan", port),
        ("two.lan", 1234),
        ("::1", port),
    ]


def test_plain_settings() -> None:
    (endpoint,) = made()
    assert (endpoint.host, endpoint.version) == ("localhost", "5")
    assert (endpoint.username, endpoint.password, endpoint.tls) == (None, None, None)
    assert endpoint.will_topic == "healthd/home/status"


def test_credentials(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n", encoding="utf-8")
    (endpoint,) = made(username="gateway", password_file=str(file), version="3.1.1")
    assert (endpoint.username, endpoint.password, endpoint.version) == (
        "gateway",
        "hunter2",
        "3.1.1",
    )


def test_credentials_of_systemd(tmp_path: Path) -> None:
    (tmp_path / "mqtt-password").write_text("hunter2", encoding="utf-8")
    (endpoint,) = made({"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert (endpoint.username, endpoint.password) == ("home", "hunter2"), (
        "the user name is the gateway's id"
    )
    (tmp_path / "mqtt-password").write_text("", encoding="utf-8")
    (endpoint,) = made({"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert (endpoint.username, endpoint.password) == (None, None)


class TestClientId:
    """It is stable on a machine, differs between machines, and does not reveal the machine's id."""

    @pytest.fixture
    def machine_id(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        file = tmp_path / "machine-id"
        file.write_text("0123456789abcdef0123456789abcdef\n", encoding="ascii")
        monkeypatch.setattr("healthd.mqtt.endpoints._MACHINE_ID", file)
        return file

    def test_has_the_gateways_id_and_is_stable(self, machine_id: Path) -> None:
        first, second = made(brokers=["one", "two"])
        assert first.client_id == second.client_id == made()[0].client_id
        assert first.client_id.startswith("healthd-home-")

    def test_does_not_reveal_the_machines_id(self, machine_id: Path) -> None:
        machine, tail = machine_id.read_text(encoding="ascii").strip(), made()[0].client_id[13:]
        assert len(tail) == 8
        assert tail not in machine

    def test_differs_from_machine_to_machine(self, machine_id: Path) -> None:
        before = made()[0].client_id
        machine_id.write_text("f" * 32, encoding="ascii")
        assert made()[0].client_id != before

    def test_a_machine_without_an_id(self, machine_id: Path) -> None:
        machine_id.unlink()
        assert made()[0].client_id == made()[0].client_id


def test_tls_verifies_certificate_and_host() -> None:
    (endpoint,) = made(tls=True)
    assert endpoint.tls is not None
    assert endpoint.tls.verify_mode is ssl.CERT_REQUIRED
    assert endpoint.tls.check_hostname


@pytest.fixture(scope="module")
def broker_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A throw-away certificate for localhost, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("NOT TESTED: no openssl to make the certificate")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "broker.crt", folder / "broker.key"
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    run([*request.split(), *subject, *files], check=True, capture_output=True, timeout=30)
    return certificate, key


@pytest.mark.parametrize(
    ("own_ca", "host", "trusted"),
    [(True, "localhost", True), (True, "elsewhere.lan", False), (False, "localhost", False)],
)
async def test_handshake(
    broker_certificate: tuple[Path, Path], own_ca: bool, host: str, trusted: bool
) -> None:
    certificate, key = broker_certificate
    (endpoint,) = made(tls=True, ca_file=str(certificate) if own_ca else None)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=serving
    )
    port: int = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(10), server:
        connecting = asyncio.open_connection(
            "127.0.0.1", port, ssl=endpoint.tls, server_hostname=host
        )
        if trusted:
            reader, writer = await connecting
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                await connecting


def test_the_same_settings_with_the_same_files_are_the_same_endpoints(
    broker_certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    authority, secret = tmp_path / "ca.crt", tmp_path / "password"
    authority.write_bytes(broker_certificate[0].read_bytes())
    secret.write_text("hunter2")

    def again() -> tuple[Endpoint, ...]:
        return made(tls=True, ca_file=str(authority), password_file=str(secret))

    before = again()
    assert again() == before
    secret.write_text("hunter3")
    assert again() != before
    secret.write_text("hunter2")
    authority.write_bytes(authority.read_bytes() * 2)
    assert again() != before
