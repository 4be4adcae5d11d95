"""A broker, step by step: its name, a connection, TLS, who we are, and whether we may publish."""

import asyncio
import ipaddress
import secrets
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from healthd.doctor.aside import aside
from healthd.doctor.finding import Finding, Status, depend, ok, skipped, warning, wrong
from healthd.doctor.machine import AS_ROOT
from healthd.errors import Fatal
from healthd.mqtt.acked_client import CONNECT_TIMEOUT_S, AckedClient
from healthd.mqtt.endpoints import Endpoint, endpoints
from healthd.mqtt.faults import ConnectionLost, PublishRefused
from healthd.mqtt.topics import Topics
from healthd.settings.model import Settings

# A resolver asks its servers for 5 s each, twice; who is not known by then is not known.
_DNS_TIMEOUT_S = 10.0

# As long as the daemon waits for a PUBACK before it takes the connection for dead.
_ACK_TIMEOUT_S = 10.0

# A month to renew a certificate in: once it has expired, samples only wait on the gateway's disk.
_EXPIRES_SOON_DAYS = 30

_STEPS = ("broker_dns", "broker_tcp", "broker_tls", "broker_credentials", "broker_acl")

_RENEW = "one that config/broker has made: sudo config/broker setup, where the broker runs"
_TLS_FIX = (
    "is ca_file that of the authority which signed the broker's certificate, and is the broker "
    "called here as its certificate has it?"
)
# By X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL.
_TLS_FIXES = {
    9: "does this machine's clock go right? timedatectl",
    10: f"renew it, unless it is the clock that is wrong; {_RENEW}",
}

_FIXES = {
    "credentials_refused": (
        "compare [mqtt] username and the content of password_file (or /etc/healthd/mqtt-password) "
        "with the broker's own"
    ),
    "version_refused": 'set [mqtt] version = "3.1.1"',
    "broker_unreachable": "is it a TLS port, or no MQTT at all? [mqtt] tls = true is for the first",
}
_FIX = "the broker's own log says more"


async def check_brokers(settings: Settings | None, environ: Mapping[str, str]) -> list[Finding]:
    """Every broker of the settings.

    Args:
        settings: None where they are bad.
        environ: what the daemon's is.
    """
    if settings is None:
        return depend(("broker_files", *_STEPS), "settings")
    topics = Topics(settings.mqtt.prefix, settings.gateway.id)
    try:
        brokers = endpoints(settings, topics, environ)
    except Fatal as error:
        if isinstance(error.__cause__, PermissionError):
            # The unit is given a copy of what only root may read.
            files = skipped("broker_files", str(error), AS_ROOT)
        else:
            files = wrong("broker_files", str(error), "name a file of the right kind")
        return [files, *depend(_STEPS, "broker_files")]
    reports = await asyncio.gather(*(_check(one, topics.doctor) for one in brokers))
    files = ok("broker_files", "password and certificates can be read")
    return [files, *(finding for report in reports for finding in report)]


async def _check(endpoint: Endpoint, topic: str) -> list[Finding]:
    """What the steps found; those behind one that failed are skipped."""
    of = f"{endpoint.host}:{endpoint.port}"
    found: list[Finding] = []
    for step in (_dns, _tcp, _tls):
        found.append(await step(endpoint, of))
        if found[-1].status is Status.WRONG:
            break
    else:
        found += await _mqtt(endpoint, of, topic)
    return [*found, *depend(_STEPS[len(found) :], found[-1].check, of=of)]


async def _dns(endpoint: Endpoint, of: str) -> Finding:
    try:
        addresses = await _resolved(endpoint)
    except (OSError, TimeoutError, UnicodeError) as error:
        said = str(error) or f"no answer in {_DNS_TIMEOUT_S:.0f} s"
        fix = "is it spelt right? `getent hosts NAME` asks as healthd does; or write its address"
        return wrong("broker_dns", f"no address of {endpoint.host}: {said}", fix, of=of)
    return ok("broker_dns", ", ".join(addresses), of=of)


async def _resolved(endpoint: Endpoint) -> list[str]:
    def resolve() -> list[str]:
        entries = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        return sorted({str(entry[4][0]) for entry in entries})

    return await aside(resolve, _DNS_TIMEOUT_S)


async def _tcp(endpoint: Endpoint, of: str) -> Finding:
    try:
        await _connected(endpoint, None)
    except (OSError, TimeoutError) as error:
        said = str(error) or f"no answer in {CONNECT_TIMEOUT_S:.0f} s"
        fix = "does the broker run, and listen to this machine (listener, firewall)?"
        return wrong("broker_tcp", f"no connection: {said}", fix, of=of)
    return ok("broker_tcp", "accepts connections", of=of)


async def _tls(endpoint: Endpoint, of: str) -> Finding:
    if endpoint.tls is None:
        if await _is_here(endpoint):
            return ok("broker_tls", "not used, nor needed on this machine", of=of)
        fix = "encrypt: tls = true, and ca_file where the authority is your own"
        found = "not used: password and samples can be read on the way"
        return warning("broker_tls", found, fix, of=of)
    try:
        certificate = await _connected(endpoint, endpoint.tls)
    except ssl.SSLCertVerificationError as error:
        fix = _TLS_FIXES.get(error.verify_code, _TLS_FIX)
        return wrong("broker_tls", f"not trusted: {error.verify_message}", fix, of=of)
    except (OSError, TimeoutError) as error:
        said = str(error) or f"no answer in {CONNECT_TIMEOUT_S:.0f} s"
        fix = "does this port speak TLS (8883 usually), and want a certificate of ours?"
        return wrong("broker_tls", f"no TLS: {said}", fix, of=of)
    days = (ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) / 86400
    if days < _EXPIRES_SOON_DAYS:
        fix = f"renew it in time; {_RENEW}"
        return warning("broker_tls", f"the certificate expires in {days:.0f} days", fix, of=of)
    return ok("broker_tls", f"the certificate is trusted, {days:.0f} days more", of=of)


async def _is_here(endpoint: Endpoint) -> bool:
    addresses = await _resolved(endpoint)
    return all(ipaddress.ip_address(one.partition("%")[0]).is_loopback for one in addresses)


async def _connected(endpoint: Endpoint, tls: ssl.SSLContext | None) -> dict[str, Any]:
    """Connect and hang up again; the broker's certificate, nothing without TLS."""
    name = None if tls is None else endpoint.host
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        _, writer = await asyncio.open_connection(
            endpoint.host, endpoint.port, ssl=tls, server_hostname=name
        )
    certificate: dict[str, Any] = writer.get_extra_info("peercert", {})
    writer.transport.abort()
    return certificate


async def _mqtt(endpoint: Endpoint, of: str, topic: str) -> list[Finding]:
    # An id of our own: with the daemon's we would take its connection over, and its will with it.
    identity = f"{endpoint.client_id}-doctor-{secrets.token_hex(4)}"
    try:
        async with AckedClient(replace(endpoint, client_id=identity, will_topic=None)) as client:
            who = endpoint.username or "a client without a name"
            known = ok("broker_credentials", f"takes {who}", of=of)
            return [known, await _publish(client, endpoint, of, topic)]
    except ConnectionLost as error:
        fix = _FIXES.get(error.reason, _FIX)
        return [wrong("broker_credentials", f"refuses us: {error}", fix, of=of)]


async def _publish(client: AckedClient, endpoint: Endpoint, of: str, topic: str) -> Finding:
    """Publish for real, to a topic that nobody takes for a sample and that no broker keeps."""
    fix = f"let {endpoint.username or 'it'} write there: see config/acl"
    try:
        acknowledgement = client.send(topic, b"{}")
        # It is cancelled with its connection, and that is no cancellation of ours.
        done, _ = await asyncio.wait({acknowledgement}, timeout=_ACK_TIMEOUT_S)
        if not done or acknowledgement.cancelled():
            return wrong("broker_acl", f"no answer to a publish to {topic}", _FIX, of=of)
        acknowledgement.result()
    except PublishRefused as error:
        return wrong("broker_acl", f"may not publish to {topic}: {error}", fix, of=of)
    except ConnectionLost as error:
        return wrong("broker_acl", f"hung up on a publish to {topic}: {error}", fix, of=of)
    if endpoint.version != "5":
        found = f"MQTT 3.1.1 acknowledges also what it refuses, such as {topic}"
        return skipped("broker_acl", found, 'where the broker can: [mqtt] version = "5"', of=of)
    return ok("broker_acl", f"may publish to {topic}", of=of)
