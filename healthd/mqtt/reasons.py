"""What a broker's reason codes mean: the word in logs, the wait, and what a person can do."""

from typing import NamedTuple

from healthd.errors import Backoff
from healthd.mqtt.faults import (
    DROPPED_RETRY,
    REFUSED_RETRY,
    RETRY,
    SEE_BROKER_LOG,
    TWIN_RETRY,
    ConnectionLost,
)
from healthd.printable import printable

# Of a broker's own words. The longest of known brokers have some hundred letters.
_MOST_CELLS = 200

PACKET_TOO_LARGE = "packet_too_large"
"""The reason of a connection that ended because of a packet's size."""


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
            said += f", {printable(self.reason_string, _MOST_CELLS)!r}"
        if self.server_reference:
            said += f", it names the server {printable(self.server_reference, _MOST_CELLS)}"
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
    dropped: Backoff = DROPPED_RETRY
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
_RETAIN = "set [mqtt] retain = false, or allow retained messages at the broker"
_QOS = "the broker does not support QoS 1, which samples need: allow it there"
_ADMIN = "ask the administrator of the broker"
_PASSES = "this passes by itself; healthd tries again"
_OTHER_SERVER = "put the server that the broker names into [mqtt] brokers"
_SLOWER = "raise the broker's limit, or send less: healthd tries again later"

# After a DISCONNECT the wait is never longer than ten seconds, as the broker has accepted the
# client before. After a CONNACK it is, if only a person can fix the cause.
#
# The failure codes of MQTT 5 (section 2.4) that can end a connection. A CONNACK of MQTT 3.1.1 has
# codes of its own, which are translated to these.
_MEANINGS = {
    0x80: _Meaning("unspecified error", "broker_refused", SEE_BROKER_LOG),
    0x81: _Meaning("malformed packet", "protocol_error", SEE_BROKER_LOG, REFUSED_RETRY),
    0x82: _Meaning("protocol error", "protocol_error", SEE_BROKER_LOG, REFUSED_RETRY),
    0x83: _Meaning("implementation specific error", "broker_refused", SEE_BROKER_LOG),
    0x84: _Meaning("unsupported protocol version", "version_refused", _VERSION, REFUSED_RETRY),
    0x85: _Meaning("client identifier not valid", "client_id_refused", _CLIENT_ID, REFUSED_RETRY),
    0x86: _Meaning("bad user name or password", "credentials_refused", _CREDENTIALS, REFUSED_RETRY),
    0x87: _Meaning("not authorized", "credentials_refused", _CREDENTIALS, REFUSED_RETRY),
    0x88: _Meaning("server unavailable", "broker_unavailable", _PASSES, dropped=RETRY),
    0x89: _Meaning("server busy", "broker_unavailable", _PASSES, dropped=RETRY),
    0x8A: _Meaning("banned", "banned", _BANNED, REFUSED_RETRY),
    0x8B: _Meaning("server shutting down", "broker_unavailable", _PASSES, dropped=RETRY),
    0x8C: _Meaning("bad authentication method", "credentials_refused", _CREDENTIALS, REFUSED_RETRY),
    0x8D: _Meaning(
        "keep alive timeout", "keepalive_timeout", "see whether the network loses data", leave=False
    ),
    0x8E: _Meaning("session taken over", "taken_over", _TWIN, TWIN_RETRY, TWIN_RETRY, leave=False),
    0x8F: _Meaning("topic filter invalid", "topic_refused", SEE_BROKER_LOG, REFUSED_RETRY),
    0x90: _Meaning("topic name invalid", "topic_refused", _TOPIC, REFUSED_RETRY),
    0x93: _Meaning("receive maximum exceeded", "protocol_error", SEE_BROKER_LOG, REFUSED_RETRY),
    0x94: _Meaning("topic alias invalid", "protocol_error", SEE_BROKER_LOG, REFUSED_RETRY),
    0x95: _Meaning(
        "packet too large", PACKET_TOO_LARGE, "raise the broker's packet limit", REFUSED_RETRY
    ),
    0x96: _Meaning("message rate too high", "rate_exceeded", _SLOWER, DROPPED_RETRY),
    0x97: _Meaning("quota exceeded", "quota_exceeded", _SLOWER, REFUSED_RETRY),
    0x98: _Meaning("administrative action", "disconnected_by_admin", _ADMIN, DROPPED_RETRY, RETRY),
    0x99: _Meaning("payload format invalid", "protocol_error", SEE_BROKER_LOG, REFUSED_RETRY),
    0x9A: _Meaning("retain not supported", "retain_refused", _RETAIN, REFUSED_RETRY),
    0x9B: _Meaning("QoS not supported", "qos_refused", _QOS, REFUSED_RETRY),
    0x9C: _Meaning("use another server", "use_another_server", _OTHER_SERVER, DROPPED_RETRY),
    0x9D: _Meaning("server moved", "use_another_server", _OTHER_SERVER, REFUSED_RETRY),
    0x9E: _Meaning(
        "shared subscriptions not supported", "protocol_error", SEE_BROKER_LOG, REFUSED_RETRY
    ),
    0x9F: _Meaning("connection rate exceeded", "rate_exceeded", _SLOWER, DROPPED_RETRY),
    0xA0: _Meaning(
        "maximum connect time", "connect_time_exceeded", _PASSES, dropped=RETRY, leave=False
    ),
    0xA1: _Meaning(
        "subscription identifiers not supported", "protocol_error", SEE_BROKER_LOG, REFUSED_RETRY
    ),
    0xA2: _Meaning(
        "wildcard subscriptions not supported", "protocol_error", SEE_BROKER_LOG, REFUSED_RETRY
    ),
}
_OTHER = _Meaning("unknown reason", "broker_refused", SEE_BROKER_LOG, DROPPED_RETRY)


def refused(said: Goodbye, client_id: str, version: str) -> ConnectionLost:
    """Return the fault of a CONNACK with a failure code.

    Args:
        said: the code, and what the broker added.
        client_id: of the client that the broker refuses.
        version: of MQTT that the client speaks.
    """
    meaning = _MEANINGS.get(said.code, _OTHER)
    problem = f"the broker refused the connection: {said}"
    advice = _advice(meaning, said.server_reference, client_id, version)
    return ConnectionLost(meaning.reason, problem, meaning.refused, advice, leave=True)


def disconnected(said: Goodbye, client_id: str, version: str) -> ConnectionLost:
    """Return the fault of a DISCONNECT with a failure code; arguments as in ``refused``."""
    meaning = _MEANINGS.get(said.code, _OTHER)
    problem = f"the broker ended the connection: {said}"
    advice = _advice(meaning, said.server_reference, client_id, version)
    fault = ConnectionLost(meaning.reason, problem, meaning.dropped, advice, leave=meaning.leave)
    fault.code = said.code
    return fault


def _advice(meaning: _Meaning, server: str | None, client_id: str, version: str) -> str:
    other = "3.1.1" if version == "5" else "5"
    advice = meaning.advice.format(client_id=client_id, other_version=other)
    if server and meaning.advice != _OTHER_SERVER:
        advice += f"; to use {printable(server, _MOST_CELLS)} instead, put it into [mqtt] brokers"
    return advice
