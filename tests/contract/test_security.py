"""Rights on a broker set up by config/, and which brokers healthd trusts, with a real mosquitto."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from healthd.doctor.broker import check_brokers
from healthd.doctor.finding import Status
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import ConnectionLost, PublishRefused
from healthd.settings.model import Settings
from tests.support.certificates import Authority
from tests.support.mosquitto import HOST, needs_mosquitto
from tests.support.process import Healthd, complaints
from tests.support.shipped import OWN_ID, Machine, Shipped, needs_broker_command
from tests.support.subscriber import Received

BOUND_S = 15.0
VERSIONS = ["5", "3.1.1"]

pytestmark = [needs_mosquitto, needs_broker_command]

SETTINGS = """
[gateway]
id = "{id}"
[mqtt]
brokers = ["{broker}"]
version = "{version}"
password_file = "{password}"
tls = true
ca_file = "{ca}"
[outbox]
directory = "{outbox}"
max_size = "1MB"
[[peripherals]]
id = "strap"
name = "Polar H10*"
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine with two gateways, a reader, and a controller of the second gateway."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    machine.broker("setup")
    machine.broker("gateway", "kitchen")
    machine.broker("controller", "trainer", "kitchen")
    return machine


@pytest.fixture
async def broker(machine: Machine, tmp_path: Path) -> AsyncIterator[Shipped]:
    """The broker of a copy of this machine."""
    async with Shipped(machine.copy(tmp_path / "root")) as broker:
        yield broker


class Boom(Exception):
    """Breaks a connection, so that the broker publishes the will."""


class Home:
    """Settings, password and outbox of a gateway that uses this broker."""

    def __init__(self, folder: Path, broker: Shipped, version: str = "5") -> None:
        self.config = folder / "healthd.toml"
        self.ca = folder / "ca.crt"
        self.ca.write_bytes(broker.machine.trusted.read_bytes())
        self._values = {
            "id": OWN_ID,
            "version": version,
            "broker": f"localhost:{broker.tls_port}",
            "password": broker.machine.own_password,
            "ca": self.ca,
            "outbox": folder / "outbox",
        }

    def write(self, **values: object) -> str:
        self.config.write_text(SETTINGS.format(**{**self._values, **values}))
        return str(self.config)


async def assert_refused(client: AckedClient, topic: str) -> None:
    """Check that the broker refuses this topic; the client speaks MQTT 5."""
    with pytest.raises(PublishRefused, match=r"(?i)not authorized"):
        await client.send(topic, b"no")


def topics(messages: list[Received]) -> list[str]:
    return [message.topic for message in messages]


# healthd


@pytest.mark.parametrize("version", VERSIONS)
async def test_samples_reach_the_reader_over_tls(
    broker: Shipped, tmp_path: Path, version: str
) -> None:
    config = Home(tmp_path, broker, version).write()
    heart_rate = f"healthd/{OWN_ID}/device/strap/heart_rate"
    async with broker.subscriber("reader") as reader:
        async with Healthd("demo", "--config", config) as healthd:
            await healthd.logged("connected", broker=f"localhost:{broker.tls_port}")
            await reader.until(lambda all_: topics(all_).count(heart_rate) >= 2)
            assert await healthd.stopped() == 0
        await reader.until_payload(f"healthd/{OWN_ID}/status", b"offline")
    assert complaints(healthd.log) == []
    assert any(f"on port {broker.tls_port}" in line for line in broker.log)


async def test_the_doctor_finds_nothing_wrong(broker: Shipped) -> None:
    machine = broker.machine
    mqtt = {
        "brokers": [f"localhost:{broker.tls_port}"],
        "password_file": str(machine.own_password),
        "tls": True,
        "ca_file": str(machine.healthd / "ca.crt"),
    }
    settings = Settings.model_validate({"gateway": {"id": OWN_ID}, "mqtt": mqtt})
    findings = await check_brokers(settings, {})
    assert {finding.status for finding in findings} == {Status.OK}, findings


@pytest.mark.parametrize("wrong", ["authority", "age", "host"])
async def test_an_untrusted_broker_is_logged_and_retried(
    broker: Shipped, tmp_path: Path, wrong: str
) -> None:
    expected = {
        "authority": "the certificate of localhost is not trusted: unable to get local issuer",
        "age": "the certificate of localhost is not trusted: certificate has expired",
        "host": f"the certificate of {HOST} is not trusted: IP address mismatch",
    }[wrong]
    home, pem = Home(tmp_path, broker), broker.machine.pem
    config = home.write()
    good, authority = pem.read_bytes(), Authority(tmp_path, "other")
    if wrong == "host":
        config = home.write(broker=f"{HOST}:{broker.tls_port}")
    else:
        certificate, key = authority.issue("localhost", days=-1 if wrong == "age" else 90)
        pem.write_bytes(key.read_bytes() + certificate.read_bytes())
        await broker.reload()
    if wrong == "age":
        home.ca.write_bytes(authority.certificate.read_bytes() + home.ca.read_bytes())
    environ = {"RUNTIME_DIRECTORY": str(tmp_path)}
    async with Healthd("run", "--config", config, environ=environ) as healthd:
        line = await healthd.logged("retrying", service="mqtt", reason="broker_untrusted")
        assert line["error"].startswith(expected)
        assert not any("connected" in entry["event"] for entry in healthd.log)
        if wrong == "host":
            await broker.broker("setup", HOST)
        else:
            pem.write_bytes(good)
            await broker.reload()
        await healthd.logged("connected")
        assert await healthd.stopped() == 0
    assert complaints(healthd.log) == []


# Rights


async def test_a_client_without_a_user_name_is_refused(broker: Shipped) -> None:
    over_tls = broker.endpoint(None)
    for endpoint in (over_tls, replace(over_tls, port=broker.port, tls=None)):
        for version in VERSIONS:
            with pytest.raises(ConnectionLost) as caught:
                async with AckedClient(replace(endpoint, version=version)):
                    pass
            assert caught.value.reason == "credentials_refused"


async def test_a_reader_can_read_but_not_write(broker: Shipped) -> None:
    forbidden = [
        "healthd/reader/status",
        f"healthd/{OWN_ID}/device/strap/heart_rate",
        f"healthd/{OWN_ID}/request/scan",
        "homeassistant/device/x/config",
        "homeassistant/status",
        "elsewhere",
    ]
    async with (
        AckedClient(broker.endpoint(OWN_ID)) as gateway,
        broker.subscriber("reader") as reader,
    ):
        async with AckedClient(broker.endpoint("reader")) as client:
            for topic in forbidden:
                await assert_refused(client, topic)
        # Before MQTT 5 a refusal looks like success.
        async with AckedClient(broker.endpoint("reader", "3.1.1")) as client:
            for topic in forbidden:
                await client.send(topic, b"no", retain=True)
        written = [f"healthd/{OWN_ID}/x", f"homeassistant/device/{OWN_ID}_strap/config"]
        for topic in written:
            await gateway.send(topic, b"{}")
        await reader.until_payload(written[-1], b"{}")
        assert topics(reader.messages) == written


async def test_a_gateway_writes_only_its_own_topics_and_reads_only_requests(
    broker: Shipped,
) -> None:
    own = f"healthd/{OWN_ID}"
    async with (
        broker.subscriber(OWN_ID) as listening,
        broker.subscriber("reader") as reader,
        AckedClient(broker.endpoint("kitchen")) as kitchen,
        AckedClient(broker.endpoint(OWN_ID)) as gateway,
    ):
        for last in ("status", "device/strap/heart_rate", "request/scan", "response/scan"):
            await assert_refused(gateway, f"healthd/kitchen/{last}")
        await assert_refused(gateway, "healthd/status")
        await assert_refused(gateway, "homeassistant/status")
        async with AckedClient(broker.endpoint(OWN_ID, "3.1.1")) as client:
            await client.send("healthd/kitchen/status", b"no")
        for client, gateway_id in ((kitchen, "kitchen"), (gateway, OWN_ID)):
            await client.send(f"healthd/{gateway_id}/device/strap/heart_rate", b"{}")
        await broker.broker("controller", "trainer", OWN_ID)
        async with AckedClient(broker.endpoint("trainer")) as trainer:
            await trainer.send("homeassistant/status", b"online")
            await trainer.send(f"{own}/request/scan", b"{}")
        await listening.until_payload(f"{own}/request/scan", b"{}")
        # No samples, not even its own, and nothing else that went through the broker.
        assert topics(listening.messages) == ["homeassistant/status", f"{own}/request/scan"]
        assert b"no" not in [message.payload for message in reader.messages]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_will_on_a_forbidden_topic_is_not_published(broker: Shipped, version: str) -> None:
    async with broker.subscriber("reader") as reader:
        for of in ("kitchen", OWN_ID):
            mine = replace(broker.endpoint(OWN_ID, version), will_topic=f"healthd/{of}/status")
            with suppress(Boom, ConnectionLost):
                async with AckedClient(mine):
                    raise Boom
        await reader.until_payload(f"healthd/{OWN_ID}/status", b"offline")
        assert topics(reader.messages) == [f"healthd/{OWN_ID}/status"]


async def test_a_controller_reaches_only_its_own_gateways(broker: Shipped) -> None:
    async with (
        broker.subscriber("kitchen") as kitchen,
        broker.subscriber(OWN_ID) as other,
        broker.subscriber("trainer") as answers,
        AckedClient(broker.endpoint("trainer")) as trainer,
        AckedClient(broker.endpoint("kitchen")) as asked,
        AckedClient(broker.endpoint(OWN_ID)) as gateway,
    ):
        await trainer.send("healthd/kitchen/request/start", b"{}")
        await assert_refused(trainer, f"healthd/{OWN_ID}/request/start")
        for last in ("status", "device/bike/power", "response/start"):
            await assert_refused(trainer, f"healthd/kitchen/{last}")
        await kitchen.until_payload("healthd/kitchen/request/start", b"{}")
        await gateway.send(f"healthd/{OWN_ID}/response/start", b"{}")
        await asked.send("healthd/kitchen/response/start", b"{}")
        await answers.until_payload("healthd/kitchen/response/start", b"{}")
        # It may read its own request as well: that is one of its gateway's topics.
        assert topics(answers.messages) == [
            "healthd/kitchen/request/start",
            "healthd/kitchen/response/start",
        ]
        # Messages keep their order: a stray request would have arrived before this marker.
        await gateway.send(f"healthd/{OWN_ID}/request/marker", b"{}")
        await other.until_payload(f"healthd/{OWN_ID}/request/marker", b"{}")
        assert topics(other.messages) == [f"healthd/{OWN_ID}/request/marker"]


# Changes while the broker runs


async def test_a_gateway_can_be_added_while_others_are_connected(broker: Shipped) -> None:
    async with (
        broker.subscriber("reader") as reader,
        AckedClient(broker.endpoint("kitchen")) as before,
    ):
        output = await broker.broker("gateway", "attic")
        assert 'id = "attic"' in output
        async with AckedClient(broker.endpoint("attic")) as attic:
            await attic.send("healthd/attic/status", b"online")
            await assert_refused(attic, "healthd/kitchen/status")
        await before.send("healthd/kitchen/status", b"online")
        await reader.until_payload("healthd/kitchen/status", b"online")
        assert topics(reader.messages) == ["healthd/attic/status", "healthd/kitchen/status"]


@pytest.mark.parametrize("command", ["password", "remove"])
async def test_an_old_password_is_invalid_at_once(broker: Shipped, command: str) -> None:
    old = broker.endpoint("kitchen")
    async with AckedClient(old) as client:
        await broker.broker(command, "kitchen")
        async with asyncio.timeout(BOUND_S):
            with pytest.raises(ConnectionLost):
                await client.lost()
    with pytest.raises(ConnectionLost) as caught:
        async with AckedClient(old):
            pass
    assert caught.value.reason == "credentials_refused"
    if command == "password":
        async with AckedClient(broker.endpoint("kitchen")) as client:
            await client.send("healthd/kitchen/status", b"online")


async def test_a_renewed_certificate_ends_no_connection(broker: Shipped) -> None:
    async with AckedClient(broker.endpoint("kitchen")) as client:
        before = await server_certificate(broker)
        await broker.broker("renew")
        assert await server_certificate(broker) != before
        await client.send("healthd/kitchen/status", b"online")


async def server_certificate(broker: Shipped) -> bytes | None:
    """Return the certificate that the broker presents, verified."""
    context = ssl.create_default_context(cafile=broker.machine.trusted)
    _, writer = await asyncio.open_connection("localhost", broker.tls_port, ssl=context)
    certificate: bytes | None = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.transport.abort()
    return certificate


# A certificate instead of a password


async def test_a_gateway_can_log_in_by_certificate(broker: Shipped) -> None:
    conf = broker.machine.mosquitto / "conf.d/healthd.conf"
    assert "enable listener 8884" in broker.machine.broker("certificate", "attic")
    text = conf.read_text()
    start = text.index("# listener 8884")
    section, rest = text[start:].split("\n\n", 1)
    conf.write_text(f"{text[:start]}{section.replace('# ', '')}\n\n{rest}")
    output = broker.machine.broker("certificate", "attic")
    assert "enable listener 8884" not in output
    assert 'cert_file = "/etc/healthd/gateway.pem"' in output
    await broker.stop()
    await broker.start()

    def with_certificate(pem: Path) -> Endpoint:
        context = ssl.create_default_context(cafile=broker.machine.trusted)
        context.load_cert_chain(pem)
        return replace(broker.endpoint(None), port=broker.certificate_port, tls=context)

    attic = with_certificate(broker.machine.ca / "attic.pem")
    async with AckedClient(attic) as client:
        await client.send("healthd/attic/status", b"online")
        await assert_refused(client, "healthd/kitchen/status")
    # A user name that the client sends is ignored, and the broker's own certificate is refused.
    async with AckedClient(replace(attic, username="kitchen")) as client:
        await assert_refused(client, "healthd/kitchen/status")
    by_password = replace(broker.endpoint("kitchen"), port=broker.certificate_port)
    with pytest.raises(ConnectionLost):
        async with AckedClient(with_certificate(broker.machine.pem)):
            pass
    with pytest.raises(ConnectionLost):
        async with AckedClient(by_password):
            pass
    await broker.broker("remove", "attic")
    async with AckedClient(attic) as client:
        await assert_refused(client, "healthd/attic/status")


# Oversize packets


async def test_a_client_without_login_cannot_fill_the_memory(broker: Shipped) -> None:
    """mosquitto reads a packet into memory even before the client has logged in."""
    packet = b"\x10" + b"\x80\x80\x80\x64"  # CONNECT, of 200 MB

    def send() -> bytes:
        with socket.create_connection((HOST, broker.port), BOUND_S) as connection:
            connection.sendall(packet)
            return connection.recv(1)

    assert await asyncio.to_thread(send) == b"", "the broker should have disconnected"
    await broker.logged("oversize packet")


async def test_a_client_that_sends_a_too_large_message_is_disconnected(broker: Shipped) -> None:
    # MQTT 3.1.1 does not announce the limit, so the client sends the message.
    endpoint = replace(broker.endpoint("kitchen"), version="3.1.1")
    async with AckedClient(endpoint) as client:
        await client.send("healthd/kitchen/x", b"x" * 900_000)
        client.send("healthd/kitchen/x", b"x" * 1_000_000)
        with pytest.raises(ConnectionLost):
            await client.lost()


async def test_healthd_knows_the_brokers_limit_for_messages(broker: Shipped) -> None:
    async with AckedClient(broker.endpoint("kitchen")) as client:
        await client.send("healthd/kitchen/x", b"x" * 900_000)
        with pytest.raises(PublishRefused, match="too large"):
            await client.send("healthd/kitchen/x", b"x" * 1_000_000)
        await client.send("healthd/kitchen/x", b"x" * 900_000)
