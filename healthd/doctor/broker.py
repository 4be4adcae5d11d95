"""Check each broker step by step: DNS, connection, TLS, credentials, right to publish."""

import asyncio
import ipaddress
import secrets
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from healthd.doctor.certificate import validity
from healthd.doctor.finding import Finding, Status, depend, ok, skipped, warning, wrong
from healthd.doctor.machine import AS_ROOT
from healthd.errors import Fatal
from healthd.host.in_thread import run_in_thread
from healthd.mqtt import connecting
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.connecting import Connection
from healthd.mqtt.endpoints import Endpoint, endpoints
from healthd.mqtt.faults import SEE_BROKER_LOG, ConnectionLost, PublishRefused
from healthd.mqtt.topics import Topics
from healthd.settings.model import Settings

# A resolver tries its servers for 5 s each, twice; later answers are not worth waiting for.
_DNS_TIMEOUT_S = 10.0

# As long as the daemon waits for a broker that was too slow once.
_CONNECT_TIMEOUT_S = 10.0

# As long as the daemon waits for a PUBACK before it considers the connection dead.
_ACK_TIMEOUT_S = 10.0

# A month is enough time to renew a certificate. Once it has expired, samples stay on disk.
_EXPIRES_SOON_DAYS = 30

# Brokers that know each client by its identifier refuse others, with a code or without one.
_DEPENDS_ON_ID = ("client_id_refused", "credentials_refused", "broker_closed")

_STEPS = ("broker_dns", "broker_tcp", "broker_tls", "broker_credentials", "broker_acl")

_RENEW = "if config/broker created it: sudo config/broker setup on the broker's machine"
_TLS_FIX = (
    "set ca_file to the certificate of the authority that signed the broker's certificate, and use "
    "a name in [mqtt] brokers that is in that certificate"
)
# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_TLS_FIXES = {
    9: "check this machine's clock: timedatectl",
    10: f"renew it, or correct the clock if that is wrong; {_RENEW}",
}


async def check_brokers(settings: Settings | None, environ: Mapping[str, str]) -> list[Finding]:
    """Check every broker of the settings.

    Args:
        settings: None if they are invalid.
        environ: the daemon's environment.
    """
    if settings is None:
        return depend(("broker_files", *_STEPS), "settings")
    topics = Topics(settings.mqtt.prefix, settings.gateway.id)
    try:
        brokers = endpoints(settings, topics, environ)
    except Fatal as error:
        if isinstance(error.__cause__, PermissionError):
            # Only root may read it; systemd gives the service a copy.
            files = skipped("broker_files", str(error), AS_ROOT)
        else:
            files = wrong(
                "broker_files", str(error), "name a file that exists and has the right content"
            )
        return [files, *depend(_STEPS, "broker_files")]
    reports = await asyncio.gather(*(_check(broker, topics.doctor) for broker in brokers))
    return [_files(settings.mqtt.cert_file), *(finding for report in reports for finding in report)]


def _files(own_certificate: Path | None) -> Finding:
    """Check the certificate of this gateway; that it can be used has been checked before."""
    if own_certificate is None:
        return ok("broker_files", "password and certificates are readable")
    try:
        begins, ends = validity(own_certificate)
    except (OSError, ValueError) as error:
        return warning(
            "broker_files",
            f"cert_file: {own_certificate}: cannot read its dates: {error}",
            f"look at them with: openssl x509 -noout -dates -in {own_certificate}",
        )
    now, name = datetime.now(UTC), f"cert_file: {own_certificate}: the certificate"
    if now < begins:
        found = f"{name} is not valid before {begins:%Y-%m-%d %H:%M} UTC"
        return wrong("broker_files", found, "check this machine's clock: timedatectl")
    if now > ends:
        found = f"{name} expired on {ends:%Y-%m-%d %H:%M} UTC: the broker refuses it"
        fix = "renew it, or correct the clock if that is wrong: timedatectl"
        return wrong("broker_files", found, fix)
    if ends - now < timedelta(days=_EXPIRES_SOON_DAYS):
        found = f"{name} expires in {(ends - now).days} days"
        return warning("broker_files", found, "renew it; then the broker would refuse it")
    found = f"password and certificates are readable; cert_file is valid until {ends:%Y-%m-%d}"
    return ok("broker_files", found)


async def _check(endpoint: Endpoint, topic: str) -> list[Finding]:
    """Run all steps for one broker; skip the steps after one that failed."""
    of = endpoint.address
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
        reason = str(error) or f"no answer in {_DNS_TIMEOUT_S:.0f} s"
        fix = (
            "check the spelling, look it up with `getent hosts NAME`, or use the address instead "
            "of the name"
        )
        return wrong("broker_dns", f"cannot resolve {endpoint.host}: {reason}", fix, of=of)
    return ok("broker_dns", ", ".join(addresses), of=of)


async def _resolved(endpoint: Endpoint) -> list[str]:
    def resolve() -> list[str]:
        entries = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        return sorted({str(entry[4][0]) for entry in entries})

    return await run_in_thread(resolve, _DNS_TIMEOUT_S)


async def _tcp(endpoint: Endpoint, of: str) -> Finding:
    try:
        (await _connect(replace(endpoint, tls=None, path=None))).close()
    except ConnectionLost as fault:
        fix = f"{fault.advice} (listener, firewall)"
        return wrong("broker_tcp", fault.problem, fix, of=of)
    return ok("broker_tcp", "accepts connections", of=of)


async def _tls(endpoint: Endpoint, of: str) -> Finding:
    if endpoint.tls is None:
        if await _is_local(endpoint):
            return ok("broker_tls", "not used; not needed on the same machine", of=of)
        fix = "set tls = true, and ca_file if you have an authority of your own"
        found = "not used: password and samples cross the network unencrypted"
        return warning("broker_tls", found, fix, of=of)
    try:
        connection = await _connect(replace(endpoint, path=None))
    except ConnectionLost as fault:
        if isinstance(error := fault.__cause__, ssl.SSLCertVerificationError):
            fix = _TLS_FIXES.get(error.verify_code, _TLS_FIX)
            return wrong("broker_tls", f"not trusted: {error.verify_message}", fix, of=of)
        return wrong("broker_tls", fault.problem, fault.advice, of=of)
    certificate = connection.certificate()
    connection.close()
    days = (ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) / 86400
    if days < _EXPIRES_SOON_DAYS:
        fix = f"renew it; {_RENEW}"
        return warning("broker_tls", f"the certificate expires in {days:.0f} days", fix, of=of)
    return ok("broker_tls", f"the certificate is trusted and valid for {days:.0f} days", of=of)


async def _connect(endpoint: Endpoint) -> Connection:
    return await connecting.connect(endpoint, _CONNECT_TIMEOUT_S)


async def _is_local(endpoint: Endpoint) -> bool:
    addresses = await _resolved(endpoint)
    return all(ipaddress.ip_address(text.partition("%")[0]).is_loopback for text in addresses)


async def _mqtt(endpoint: Endpoint, of: str, topic: str) -> list[Finding]:
    # A client id of its own: with the daemon's, the broker would close the daemon's connection.
    identity = f"{endpoint.client_id}-doctor-{secrets.token_hex(4)}"
    try:
        mine = replace(endpoint, client_id=identity, will_topic=None)
        async with AckedClient(mine, timeout_s=_CONNECT_TIMEOUT_S) as client:
            if endpoint.retain and not client.limits.retain:
                found = "the broker keeps no retained messages, and refuses the gateway's will"
                return [wrong("broker_credentials", found, "set [mqtt] retain = false", of=of)]
            user = endpoint.username or "a client without a user name"
            accepted = ok("broker_credentials", f"the broker accepts {user}", of=of)
            return [accepted, await _publish(client, endpoint, of, topic)]
    except ConnectionLost as fault:
        fix = fault.advice
        if fault.reason in _DEPENDS_ON_ID:
            fix += (
                f". This check uses an identifier of its own, {identity}: if the broker knows "
                f"{endpoint.client_id} only, see the log of healthd instead"
            )
        return [wrong("broker_credentials", f"cannot log in: {fault.problem}", fix, of=of)]


async def _publish(client: AckedClient, endpoint: Endpoint, of: str, topic: str) -> Finding:
    """Publish a message, not retained, on a topic that is not used for samples."""
    fix = f"allow {endpoint.username or 'this client'} to write there, as in config/acl"
    try:
        acknowledgement = client.send(topic, b"{}")
        # wait() instead of await: losing the connection cancels the future, but not this task.
        done, _ = await asyncio.wait({acknowledgement}, timeout=_ACK_TIMEOUT_S)
        if not done or acknowledgement.cancelled():
            return wrong("broker_acl", f"no answer to a publish to {topic}", SEE_BROKER_LOG, of=of)
        acknowledgement.result()
    except PublishRefused as error:
        return wrong("broker_acl", f"may not publish to {topic}: {error}", fix, of=of)
    except ConnectionLost as error:
        return wrong(
            "broker_acl",
            f"the broker disconnected after a publish to {topic}: {error.problem}",
            error.advice or fix,
            of=of,
        )
    if endpoint.version != "5":
        found = f"MQTT 3.1.1 cannot report whether {topic} is refused"
        fix = 'set [mqtt] version = "5" if the broker supports it'
        return skipped("broker_acl", found, fix, of=of)
    return ok("broker_acl", f"may publish to {topic}", of=of)
