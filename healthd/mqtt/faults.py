"""What goes wrong between healthd and a broker, and how soon it is tried again."""

from healthd.errors import Backoff, HealthdError, Transient

# A broker that is back must have live samples within seconds, and a try costs it next to nothing;
# full jitter keeps many gateways from returning in step.
RETRY = Backoff(first_s=1.0, ceiling_s=5.0)

# Two clients with one id throw each other out for ever: the slower, the less is sent twice.
_TWIN_RETRY = Backoff(first_s=10.0, ceiling_s=300.0)

# Credentials are mended by a person: asking more often only fills the broker's log.
_REFUSED_RETRY = Backoff(first_s=30.0, ceiling_s=900.0)

# A certificate is mended by a person, too. But to a clock that has not been set since boot every
# one is too young, and that mends itself within a minute.
_UNTRUSTED_RETRY = Backoff(first_s=1.0, ceiling_s=60.0)

# Reason codes of MQTT 5 that say "you may not", not "try later"; paho translates 3.1.1's codes.
_BAD_CREDENTIALS = {0x86, 0x87, 0x8C}
_BAD_VERSION = {0x84}


class ConnectionLost(Transient):
    """The connection to the broker ended, or could not be made."""


class PublishRefused(HealthdError):
    """The broker answered a publish with a failure code; the connection lives on."""


def taken_over(client_id: str) -> ConnectionLost:
    """The fault of two clients that use one id."""
    message = f"another client uses the id {client_id}: is this gateway running twice?"
    return ConnectionLost("taken_over", message, _TWIN_RETRY)


def untrusted(host: str, said: str) -> ConnectionLost:
    """The fault of a broker whose certificate cannot be verified.

    Args:
        host: as the settings call it.
        said: what is wrong with the certificate, in words.
    """
    message = f"the certificate of {host} is not trusted: {said}"
    return ConnectionLost("broker_untrusted", message, _UNTRUSTED_RETRY)


def connection_refused(code: int, said: str) -> ConnectionLost:
    """The fault of a CONNACK with a failure code.

    Args:
        code: reason code of MQTT 5.
        said: the same in words.
    """
    if code in _BAD_CREDENTIALS:
        return ConnectionLost("credentials_refused", said, _REFUSED_RETRY)
    if code in _BAD_VERSION:
        message = 'MQTT version not supported by this broker; try [mqtt] version = "3.1.1"'
        return ConnectionLost("version_refused", message, _REFUSED_RETRY)
    return ConnectionLost("broker_refused", said, RETRY)
