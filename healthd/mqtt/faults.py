"""What goes wrong between healthd and a broker, and how soon healthd tries again."""

from healthd.errors import Backoff, HealthdError, Transient

# Once a broker is back it must have live samples within seconds, and an attempt costs it next to
# nothing; full jitter keeps many gateways from reconnecting in step.
RETRY = Backoff(first_s=1.0, ceiling_s=5.0)

# Two clients with the same id disconnect each other forever: the slower they are, the fewer samples
# are sent twice.
_TWIN_RETRY = Backoff(first_s=10.0, ceiling_s=300.0)

# A person has to fix credentials: trying more often only fills the broker's log.
_REFUSED_RETRY = Backoff(first_s=30.0, ceiling_s=900.0)

# A person has to fix a certificate, too. But if the clock has not been set since boot, every
# certificate is not valid yet, and that passes within a minute.
_UNTRUSTED_RETRY = Backoff(first_s=1.0, ceiling_s=60.0)

# MQTT 5 reason codes that mean "not allowed" rather than "try later"; paho translates the codes of
# 3.1.1 to them.
_BAD_CREDENTIALS = {0x86, 0x87, 0x8C}
_BAD_VERSION = {0x84}


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


class ConnectionLost(Transient):
    """The connection to the broker ended, or could not be made."""


class PublishRefused(HealthdError):
    """The broker answered a publish with a failure code; the connection stays up.

    Attributes:
        code: the reason code of MQTT 5.
    """

    def __init__(self, text: str, code: int = UNSPECIFIED) -> None:
        """Say why in words, and with the reason code."""
        super().__init__(text)
        self.code = code


class SubscribeRefused(HealthdError):
    """The broker refused or did not answer a subscribe or unsubscribe; the connection stays up."""


def publish_refused(code: int, text: str, reason: str | None) -> PublishRefused:
    """Return the fault of a PUBACK with a failure code.

    Args:
        code: the MQTT 5 reason code.
        text: the same in words.
        reason: the broker's own words (MQTT 5 section 3.4.2.2.2), or None.
    """
    what = f"{text} ({reason})" if reason else text
    to_do = _WHAT_TO_DO.get(code)
    return PublishRefused(f"{what}: {to_do}" if to_do else what, code)


def too_large(size: int, largest: int) -> PublishRefused:
    """Return the fault of a message that is not sent, because the broker would disconnect.

    Args:
        size: of its packet, in bytes.
        largest: the largest packet that the broker accepts.
    """
    what = f"message too large: {size} bytes, this broker accepts at most {largest}"
    return PublishRefused(f"{what}: {_WHAT_TO_DO[TOO_LARGE]}", TOO_LARGE)


def taken_over(client_id: str) -> ConnectionLost:
    """Return the fault of two clients that use the same id."""
    message = f"another client uses the id {client_id}: is this gateway running twice?"
    return ConnectionLost("taken_over", message, _TWIN_RETRY)


def untrusted(host: str, problem: str) -> ConnectionLost:
    """Return the fault of a broker whose certificate cannot be verified.

    Args:
        host: the broker's name in the settings.
        problem: what is wrong with the certificate, in words.
    """
    message = f"the certificate of {host} is not trusted: {problem}"
    return ConnectionLost("broker_untrusted", message, _UNTRUSTED_RETRY)


def connection_refused(code: int, text: str) -> ConnectionLost:
    """Return the fault of a CONNACK with a failure code.

    Args:
        code: the MQTT 5 reason code.
        text: the same in words.
    """
    if code in _BAD_CREDENTIALS:
        return ConnectionLost("credentials_refused", text, _REFUSED_RETRY)
    if code in _BAD_VERSION:
        message = 'MQTT version not supported by this broker; try [mqtt] version = "3.1.1"'
        return ConnectionLost("version_refused", message, _REFUSED_RETRY)
    return ConnectionLost("broker_refused", text, RETRY)
