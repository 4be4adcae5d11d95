"""What goes wrong between healthd and a broker, and how soon healthd tries again."""

from typing import Self

from healthd.errors import Backoff, HealthdError, Transient

# A broker that is back must have live samples within 3 s, connecting included. A try costs it next
# to nothing; full jitter keeps many gateways from reconnecting in step.
RETRY = Backoff(first_s=1.0, ceiling_s=2.0)

# The broker accepts the connection and ends it again. If it goes on, each try is a CONNECT and all
# retained messages: tried less often, but a broker that is well again has live samples within 10 s.
DROPPED_RETRY = Backoff(first_s=1.0, ceiling_s=10.0)

# Two clients with the same id disconnect each other forever: the slower they are, the fewer samples
# are sent twice. It is the ceiling of ``DROPPED_RETRY`` from the beginning.
TWIN_RETRY = Backoff(first_s=10.0, ceiling_s=10.0)

# Nothing but a suspicion: it starts with short waits.
_PERHAPS_TWIN_RETRY = Backoff(first_s=4.0, ceiling_s=10.0)

# A person has to fix credentials: trying more often only fills the broker's log, and EMQX bans a
# client that connects 15 times a minute.
REFUSED_RETRY = Backoff(first_s=30.0, ceiling_s=900.0)

# A person has to fix a certificate, too. But if the clock has not been set since boot, every
# certificate is not valid yet, and that passes within a minute.
_UNTRUSTED_RETRY = Backoff(first_s=1.0, ceiling_s=10.0)


UNSPECIFIED, _NOT_AUTHORIZED, TOO_LARGE, NO_RETAIN = 0x80, 0x87, 0x95, 0x9A
"""Reason codes of MQTT 5: no reason given; the access rules forbid it; the packet is larger than
the broker accepts; the broker keeps no retained messages."""


# Not authorized, topic name invalid, packet too large, payload format invalid, retain not
# supported. Any other code says that the broker cannot take a message for the moment: RabbitMQ
# answers 0x83 if the queue of a single subscriber rejects it.
ABOUT_THE_TOPIC = frozenset({_NOT_AUTHORIZED, 0x90, TOO_LARGE, 0x99, NO_RETAIN})
"""Reason codes of MQTT 5 that speak of this topic or message."""

_WHAT_TO_DO = {
    _NOT_AUTHORIZED: "allow it in the broker's access rules",
    TOO_LARGE: "raise the broker's limit for packets",
    NO_RETAIN: "set [mqtt] retain = false",
}


SEE_BROKER_LOG = "see the log of the broker"


class ConnectionLost(Transient):
    """The connection to the broker ended, or could not be made.

    Attributes:
        problem: what is wrong; the message is the problem with the advice.
        advice: what a person does about it; empty if there is nothing to do.
        leave: whether another broker of the list, if there is one, should be tried next.
        timed_out: whether the broker might only have needed more time.
        code: the MQTT 5 reason code of the broker's DISCONNECT; None without one.
    """

    code: int | None = None

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
        fault = type(self)(
            self.reason,
            self.problem,
            backoff,
            self.advice,
            leave=self.leave,
            timed_out=self.timed_out,
        )
        fault.code = self.code
        return fault


class PublishRefused(HealthdError):
    """The broker answered a publish with a failure code; the connection stays up.

    Attributes:
        code: the reason code of MQTT 5.
        hint: what a person does about it; None if it passes by itself, or is not known.
        was_sent: False: it was not even sent, because the broker has named its limit.
    """

    def __init__(self, text: str, code: int = UNSPECIFIED, *, was_sent: bool = True) -> None:
        """Say why in words, and with the reason code."""
        super().__init__(text)
        self.code = code
        self.was_sent = was_sent
        self.hint = _WHAT_TO_DO.get(code)


class SubscribeRefused(HealthdError):
    """The broker refused or did not answer a subscribe or unsubscribe; the connection stays up."""


def publish_refused(code: int, text: str, reason: str | None) -> PublishRefused:
    """Return the fault of a PUBACK with a failure code.

    Args:
        code: the MQTT 5 reason code.
        text: the same in words.
        reason: the broker's own words (MQTT 5 section 3.4.2.2.2), or None.
    """
    return PublishRefused(f"{text} ({reason})" if reason else text, code)


def hint(error: BaseException) -> dict[str, str]:
    """Return the field ``hint`` for a line of the log about a refused message; empty if unknown."""
    found = error.hint if isinstance(error, PublishRefused) else None
    return {} if found is None else {"hint": found}


def too_large(size: int, largest: int, *, is_named: bool) -> PublishRefused:
    """Return the fault of a message that is not sent, because the broker would disconnect.

    Args:
        size: of its packet, in bytes.
        largest: the largest packet that may be sent to the broker.
        is_named: whether the broker has named that limit; else it has ended a connection because
            of a packet that was one byte larger.
    """
    limit = f"this broker accepts at most {largest}"
    if not is_named:
        limit = f"this broker names no such limit, but ended a connection because of {largest + 1}"
    return PublishRefused(f"message too large: {size} bytes, {limit}", TOO_LARGE, was_sent=False)


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


def closed_unanswered(
    address: str, version: str, alert: str | None, *, encrypted: bool
) -> ConnectionLost:
    """Return the fault of a connection that ended after CONNECT and before CONNACK.

    Args:
        address: the broker, as in the settings.
        version: of MQTT.
        alert: what TLS said about it, or None.
        encrypted: whether the connection uses TLS.
    """
    problem = f"the broker {address} closed the connection before it answered"
    if alert is not None:
        return ConnectionLost(
            "tls_refused", f"{problem}: {alert}", _UNTRUSTED_RETRY, _CERTIFICATE, leave=True
        )
    advice = SEE_BROKER_LOG
    if not encrypted:
        advice += "; for a TLS port set [mqtt] tls = true"
    if version == "5":
        advice += '; if it may not support MQTT 5, try [mqtt] version = "3.1.1"'
    return ConnectionLost("broker_closed", problem, RETRY, advice, leave=True)


_CERTIFICATE = "check cert_file and key_file: `healthd doctor` shows their dates"


def qos_too_low(address: str) -> ConnectionLost:
    """Return the fault of a broker that accepts no messages with QoS 1 (Maximum QoS 0)."""
    problem = f"the broker {address} accepts messages with QoS 0 only"
    advice = "healthd needs QoS 1 to know what was delivered: allow it at the broker"
    return ConnectionLost("qos_refused", problem, REFUSED_RETRY, advice, leave=True)


def not_mqtt(address: str) -> ConnectionLost:
    """Return the fault of a server that answers CONNECT with something else than MQTT."""
    problem = f"{address} does not answer as an MQTT broker"
    advice = (
        'check the port, or try [mqtt] version = "3.1.1"; for a TLS port set tls = true, and for '
        "WebSockets write the broker as ws:// or wss://"
    )
    return ConnectionLost("protocol_error", problem, DROPPED_RETRY, advice, leave=True)


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
        DROPPED_RETRY,
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
    return ConnectionLost("protocol_error", problem, DROPPED_RETRY, SEE_BROKER_LOG, leave=True)


def stalled(seconds: float) -> ConnectionLost:
    """Return the fault of a broker that acknowledges nothing."""
    problem = f"no acknowledgement for {seconds:.0f} s"
    return ConnectionLost("broker_stalled", problem, RETRY, leave=True)
