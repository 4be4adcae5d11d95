"""What goes wrong between healthd and a broker, and how soon healthd tries again."""

from typing import NamedTuple, Self

from healthd.errors import Backoff, HealthdError, Transient

# A broker that is back must have live samples within 3 s, connecting included. A try costs it next
# to nothing; full jitter keeps many gateways from reconnecting in step.
RETRY = Backoff(first_s=1.0, ceiling_s=2.0)

# The broker accepts the connection and ends it again. If it goes on, each try is a CONNECT and all
# retained messages: tried less often, but a broker that is well again has live samples within 10 s.
_DROPPED_RETRY = Backoff(first_s=1.0, ceiling_s=10.0)

# Two clients with the same id disconnect each other forever: the slower they are, the fewer samples
# are sent twice. It is the ceiling of ``_DROPPED_RETRY`` from the beginning.
_TWIN_RETRY = Backoff(first_s=10.0, ceiling_s=10.0)

# Nothing but a suspicion: it starts with short waits.
_PERHAPS_TWIN_RETRY = Backoff(first_s=4.0, ceiling_s=10.0)

# A person has to fix credentials: trying more often only fills the broker's log, and EMQX bans a
# client that connects 15 times a minute.
_REFUSED_RETRY = Backoff(first_s=30.0, ceiling_s=900.0)

# A person has to fix a certificate, too. But if the clock has not been set since boot, every
# certificate is not valid yet, and that passes within a minute.
_UNTRUSTED_RETRY = Backoff(first_s=1.0, ceiling_s=10.0)


class ConnectionLost(Transient):
    """The connection to the broker ended, or could not be made.

    Attributes:
        problem: what is wrong; the message is the problem with the advice.
        advice: what a person does about it; empty if there is nothing to do.
        leave: whether another broker of the list, if there is one, should be tried next.
        timed_out: whether the broker might only have needed more time.
    """

    def __init__(
        self,
        reason: str,
        problem: str,
        backoff: Backoff,
        advice: str = "",
        *,
        leave: bool = False,
        timed_out: bool = False,
    ) -> None:
        """Keep what the log and ``healthd doctor`` show."""
        super().__init__(reason, f"{problem}; {advice}" if advice else problem, backoff)
        self.problem = problem
        self.advice = advice
        self.leave = leave
        self.timed_out = timed_out

    def with_backoff(self, backoff: Backoff) -> Self:
        """Return the same fault with another wait."""
        return type(self)(
            self.reason,
            self.problem,
            backoff,
            self.advice,
            leave=self.leave,
            timed_out=self.timed_out,
        )


class PublishRefused(HealthdError):
    """The broker answered a publish with a failure code; the connection stays up."""


class SubscribeRefused(HealthdError):
    """The broker refused or did not answer a subscribe or unsubscribe; the connection stays up."""


class Goodbye(NamedTuple):
    """What a broker says in a CONNACK that refuses, or in a DISCONNECT.

    Attributes:
        code: the MQTT 5 reason code.
        reason_string: the broker's own words (MQTT 5 property 0x1F), or None.
        server_reference: another server to use (MQTT 5 property 0x1C), or None.
    """

    code: int
    reason_string: str | None = None
    server_reference: str | None = None

    def __str__(self) -> str:
        """Return all of it in one line."""
        said = f"{_MEANINGS.get(self.code, _OTHER).name} (0x{self.code:02X})"
        if self.reason_string:
            said += f", {_printable(self.reason_string)!r}"
        if self.server_reference:
            said += f", it names the server {_printable(self.server_reference)}"
        return said


class _Meaning(NamedTuple):
    """What a reason code means for healthd.

    Attributes:
        name: the code's name in the standard.
        reason: the word in logs.
        advice: what a person does about it; ``{client_id}`` and ``{other_version}`` are replaced.
        refused: how soon to try again after a CONNACK with this code.
        dropped: the same after a DISCONNECT.
        leave: whether to try another broker of the list next.
    """

    name: str
    reason: str
    advice: str = ""
    refused: Backoff = RETRY
    dropped: Backoff = _DROPPED_RETRY
    leave: bool = True


_CREDENTIALS = (
    "check [mqtt] username, the password in password_file (or /etc/healthd/mqtt-password), and the "
    "rights of that user at the broker"
)
_VERSION = 'MQTT version not supported by this broker; try [mqtt] version = "{other_version}"'
_CLIENT_ID = (
    "the client id is {client_id}: allow it at the broker, or set [mqtt] client_id to one that the "
    "broker allows"
)
_BANNED = "remove the client {client_id} from the broker's ban list, or wait until the ban ends"
_TWIN = "another client uses the id {client_id}: is this gateway running twice?"
_TOPIC = "the broker does not allow such topics: check [mqtt] prefix and the broker's rules"
_RETAIN = "the broker does not keep retained messages: allow them there"
_QOS = "the broker does not support QoS 1, which samples need: allow it there"
_ADMIN = "ask the administrator of the broker"
_PASSES = "this passes by itself; healthd tries again"
_OTHER_SERVER = "put the server that the broker names into [mqtt] brokers"
_SLOWER = "raise the broker's limit, or send less: healthd tries again later"
_BROKER_LOG = "see the log of the broker"

# After a DISCONNECT the wait is never longer than ten seconds, as the broker has accepted the
# client before. After a CONNACK it is, if only a person can fix the cause.
#
# The failure codes of MQTT 5 (section 2.4) that can end a connection. A CONNACK of MQTT 3.1.1 has
# codes of its own, which are translated to these.
_MEANINGS = {
    0x80: _Meaning("unspecified error", "broker_refused", _BROKER_LOG),
    0x81: _Meaning("malformed packet", "protocol_error", _BROKER_LOG, _REFUSED_RETRY),
    0x82: _Meaning("protocol error", "protocol_error", _BROKER_LOG, _REFUSED_RETRY),
    0x83: _Meaning("implementation specific error", "broker_refused", _BROKER_LOG),
    0x84: _Meaning("unsupported protocol version", "version_refused", _VERSION, _REFUSED_RETRY),
    0x85: _Meaning("client identifier not valid", "client_id_refused", _CLIENT_ID, _REFUSED_RETRY),
    0x86: _Meaning(
        "bad user name or password", "credentials_refused", _CREDENTIALS, _REFUSED_RETRY
    ),
    0x87: _Meaning("not authorized", "credentials_refused", _CREDENTIALS, _REFUSED_RETRY),
    0x88: _Meaning("server unavailable", "broker_unavailable", _PASSES, dropped=RETRY),
    0x89: _Meaning("server busy", "broker_unavailable", _PASSES, dropped=RETRY),
    0x8A: _Meaning("banned", "banned", _BANNED, _REFUSED_RETRY),
    0x8B: _Meaning("server shutting down", "broker_unavailable", _PASSES, dropped=RETRY),
    0x8C: _Meaning(
        "bad authentication method", "credentials_refused", _CREDENTIALS, _REFUSED_RETRY
    ),
    0x8D: _Meaning(
        "keep alive timeout", "keepalive_timeout", "see whether the network loses data", leave=False
    ),
    0x8E: _Meaning(
        "session taken over", "taken_over", _TWIN, _TWIN_RETRY, _TWIN_RETRY, leave=False
    ),
    0x8F: _Meaning("topic filter invalid", "topic_refused", _BROKER_LOG, _REFUSED_RETRY),
    0x90: _Meaning("topic name invalid", "topic_refused", _TOPIC, _REFUSED_RETRY),
    0x93: _Meaning("receive maximum exceeded", "protocol_error", _BROKER_LOG, _REFUSED_RETRY),
    0x94: _Meaning("topic alias invalid", "protocol_error", _BROKER_LOG, _REFUSED_RETRY),
    0x95: _Meaning(
        "packet too large", "packet_too_large", "raise the broker's packet limit", _REFUSED_RETRY
    ),
    0x96: _Meaning("message rate too high", "rate_exceeded", _SLOWER, _DROPPED_RETRY),
    0x97: _Meaning("quota exceeded", "quota_exceeded", _SLOWER, _REFUSED_RETRY),
    0x98: _Meaning("administrative action", "disconnected_by_admin", _ADMIN, _DROPPED_RETRY, RETRY),
    0x99: _Meaning("payload format invalid", "protocol_error", _BROKER_LOG, _REFUSED_RETRY),
    0x9A: _Meaning("retain not supported", "retain_refused", _RETAIN, _REFUSED_RETRY),
    0x9B: _Meaning("QoS not supported", "qos_refused", _QOS, _REFUSED_RETRY),
    0x9C: _Meaning("use another server", "use_another_server", _OTHER_SERVER, _DROPPED_RETRY),
    0x9D: _Meaning("server moved", "use_another_server", _OTHER_SERVER, _REFUSED_RETRY),
    0x9E: _Meaning(
        "shared subscriptions not supported", "protocol_error", _BROKER_LOG, _REFUSED_RETRY
    ),
    0x9F: _Meaning("connection rate exceeded", "rate_exceeded", _SLOWER, _DROPPED_RETRY),
    0xA0: _Meaning(
        "maximum connect time", "connect_time_exceeded", _PASSES, dropped=RETRY, leave=False
    ),
    0xA1: _Meaning(
        "subscription identifiers not supported", "protocol_error", _BROKER_LOG, _REFUSED_RETRY
    ),
    0xA2: _Meaning(
        "wildcard subscriptions not supported", "protocol_error", _BROKER_LOG, _REFUSED_RETRY
    ),
}
_OTHER = _Meaning("unknown reason", "broker_refused", _BROKER_LOG, _DROPPED_RETRY)


def refused(said: Goodbye, client_id: str, version: str) -> ConnectionLost:
    """Return the fault of a CONNACK with a failure code.

    Args:
        said: the code, and what the broker added.
        client_id: of the client that the broker refuses.
        version: of MQTT that the client speaks.
    """
    meaning = _MEANINGS.get(said.code, _OTHER)
    problem = f"the broker refused the connection: {said}"
    advice = _advice(meaning, client_id, version)
    return ConnectionLost(meaning.reason, problem, meaning.refused, advice, leave=True)


def disconnected(said: Goodbye, client_id: str, version: str) -> ConnectionLost:
    """Return the fault of a DISCONNECT with a failure code; arguments as in ``refused``."""
    meaning = _MEANINGS.get(said.code, _OTHER)
    problem = f"the broker ended the connection: {said}"
    advice = _advice(meaning, client_id, version)
    return ConnectionLost(meaning.reason, problem, meaning.dropped, advice, leave=meaning.leave)


def _advice(meaning: _Meaning, client_id: str, version: str) -> str:
    other = "3.1.1" if version == "5" else "5"
    return meaning.advice.format(client_id=client_id, other_version=other)


def closed(address: str) -> ConnectionLost:
    """Return the fault of a connection that ended without a reason from the broker."""
    problem = f"the connection to {address} ended without a reason from the broker"
    return ConnectionLost("broker_lost", problem, RETRY)


def perhaps_taken_over(client_id: str, count: int) -> ConnectionLost:
    """Return the fault of a broker that keeps closing connections without a reason.

    Brokers before MQTT 5, and mosquitto before 2.1, give no reason when another client takes over.
    """
    problem = f"the broker has closed {count} connections in a row without a reason"
    advice = f"perhaps another client uses the id {client_id}: is this gateway running twice?"
    return ConnectionLost("taken_over", problem, _PERHAPS_TWIN_RETRY, advice)


def closed_unanswered(address: str, version: str, alert: str | None) -> ConnectionLost:
    """Return the fault of a connection that ended after CONNECT and before CONNACK.

    Args:
        address: the broker, as in the settings.
        version: of MQTT.
        alert: what TLS said about it, or None.
    """
    problem = f"the broker {address} closed the connection before it answered"
    if alert is not None:
        return ConnectionLost("tls_refused", f"{problem}: {alert}", _UNTRUSTED_RETRY, _CERTIFICATE)
    advice = _BROKER_LOG
    if version == "5":
        advice += ', and if it may not support MQTT 5 try [mqtt] version = "3.1.1"'
    return ConnectionLost("broker_closed", problem, RETRY, advice, leave=True)


_CERTIFICATE = "check cert_file and key_file: `healthd doctor` shows their dates"


def not_mqtt(address: str) -> ConnectionLost:
    """Return the fault of a server that answers CONNECT with something else than MQTT."""
    problem = f"{address} does not answer as an MQTT broker"
    advice = (
        'check the port, or try [mqtt] version = "3.1.1"; for a TLS port set tls = true, and for '
        "WebSockets write the broker as ws:// or wss://"
    )
    return ConnectionLost("protocol_error", problem, _DROPPED_RETRY, advice, leave=True)


def untrusted(host: str, problem: str) -> ConnectionLost:
    """Return the fault of a broker whose certificate cannot be verified.

    Args:
        host: the broker's name in the settings.
        problem: what is wrong with the certificate, in words.
    """
    message = f"the certificate of {host} is not trusted: {problem}"
    return ConnectionLost("broker_untrusted", message, _UNTRUSTED_RETRY, leave=True)


def tls_failed(address: str, problem: str) -> ConnectionLost:
    """Return the fault of a TLS handshake that failed for another reason."""
    return ConnectionLost(
        "tls_failed",
        f"the TLS handshake with {address} failed: {problem}",
        _UNTRUSTED_RETRY,
        "check that this is a TLS port (usually 8883), and whether the broker wants cert_file or "
        "alpn",
        leave=True,
    )


def websocket_failed(address: str, path: str, problem: str) -> ConnectionLost:
    """Return the fault of a server that does not switch to WebSockets."""
    return ConnectionLost(
        "websocket_failed",
        f"{address} does not accept a WebSocket at {path}: {problem}",
        _DROPPED_RETRY,
        "check port and path of the broker in [mqtt] brokers",
        leave=True,
    )


def unresolved(host: str, problem: str) -> ConnectionLost:
    """Return the fault of a name without an address."""
    return ConnectionLost(
        "broker_unreachable",
        f"cannot look up the name {host}: {problem}",
        RETRY,
        "check its spelling and this machine's name server, or use the address instead",
        leave=True,
    )


def unreachable(address: str, problem: str) -> ConnectionLost:
    """Return the fault of a broker that TCP cannot reach."""
    return ConnectionLost(
        "broker_unreachable",
        f"cannot connect to {address}: {problem}",
        RETRY,
        "check that the broker is running and reachable from here",
        leave=True,
    )


def too_slow(address: str, step: str, seconds: float, more_time: bool) -> ConnectionLost:
    """Return the fault of a connection that was not made in time.

    Args:
        address: the broker.
        step: what took too long.
        seconds: how long healthd has waited.
        more_time: whether the broker might only need more time.
    """
    problem = f"no connection to {address} within {seconds:.0f} s: {step}"
    advice = "check that the broker is running, and that nothing in between drops the packets"
    return ConnectionLost(
        "broker_unreachable", problem, RETRY, advice, leave=True, timed_out=more_time
    )


def broken() -> ConnectionLost:
    """Return the fault of a broker that sends something else than MQTT over a connection."""
    problem = "the broker sent a packet that is not valid MQTT"
    return ConnectionLost("protocol_error", problem, _DROPPED_RETRY, _BROKER_LOG, leave=True)


def stalled(seconds: float) -> ConnectionLost:
    """Return the fault of a broker that acknowledges nothing."""
    problem = f"no acknowledgement for {seconds:.0f} s"
    return ConnectionLost("broker_stalled", problem, RETRY, leave=True)


def _printable(text: str) -> str:
    """Return a broker's text, as it goes into a log: short, and without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])
