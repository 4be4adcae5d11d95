"""Opens the connection to a broker: name, TCP, TLS and WebSocket, all of it within one time limit.

paho and aiomqtt do this in a thread of the event loop's pool, without a limit for the name. The
process would wait for that thread at its end, however long a name server is silent.
"""

import re
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import Any

from paho.mqtt.client import (
    WebsocketConnectionError,
    _WebsocketWrapper,  # pyright: ignore[reportPrivateUsage]
)

from healthd.host.in_thread import run_in_thread
from healthd.mqtt import faults
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import ConnectionLost

CONNECT_TIMEOUT_S = 3.0
"""One broker of a list may be dead: after this long without a CONNACK the next one is tried."""

# Even if a slow broker gets more time: a lost SYN is sent again ever more rarely, so a new
# connection finds a broker that is back sooner than an old one does.
_TCP_TIMEOUT_S = 3.0

# Over 3.1.1 a broker may send a larger packet than healthd keeps, and all of it in one frame. A
# larger frame than this ends the connection.
_LARGEST_FRAME = 1_048_576

_LOOK_UP = "looking up the name takes too long"
_TCP = "no answer from the address"
_TLS = "no answer to the TLS handshake"
_WEBSOCKET = "no answer to the WebSocket handshake"


class WebSocket(_WebsocketWrapper):
    """paho's WebSocket with three of its faults fixed."""

    def _buffered_read(self, length: int) -> bytearray:
        # paho collects a frame of any size. Brokers send each packet as a frame of its own.
        if length > _LARGEST_FRAME:
            raise ConnectionAbortedError
        return super()._buffered_read(length)

    def _create_frame(self, opcode: int, data: bytearray, do_masking: int = 1) -> bytearray:
        # paho does not mask PONG and CLOSE; a server must close the connection then (RFC 6455,
        # section 5.1).
        return super()._create_frame(opcode, data)

    def _send_impl(self, data: bytes | bytearray) -> int:
        # paho drops a packet of which nothing was sent, although half of its frame may be.
        if (sent := super()._send_impl(data)) == 0:
            raise BlockingIOError
        return sent


class Connection:
    """An open connection.

    Attributes:
        socket: the socket, TLS included.
        stream: what MQTT packets are read from and written to: the socket, or a WebSocket over it.
    """

    def __init__(self, opened: socket.socket, stream: Any) -> None:
        """Keep both."""
        self.socket = opened
        self.stream = stream

    def certificate(self) -> dict[str, Any]:
        """Return the broker's certificate as ``SSLSocket.getpeercert`` does; empty without TLS."""
        if isinstance(self.socket, ssl.SSLSocket):
            return dict(self.socket.getpeercert() or {})
        return {}

    def close(self) -> None:
        """Close it without another word."""
        self.socket.close()


def words(error: OSError) -> str:
    """Return an error of a socket in words; for one of TLS that includes the alert."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return tls_words(error.reason)
    return error.strerror or str(error)


def tls_words(reason: str) -> str:
    """Return OpenSSL's name of an error in words."""
    # Such as SSLV3_ALERT_CERTIFICATE_EXPIRED, whatever the version.
    return re.sub("^(SSLV3|TLSV1|TLSV13)_", "", reason).replace("_", " ").lower()


def _encoded(host: str) -> str | bytes:
    """Return a usual host in bytes: for text, even 127.0.0.1, Python loads a codec of 0.4 MB."""
    is_usual = host.isascii() and all(0 < len(label) < 64 for label in host.split("."))
    # The codec also explains what is not a host name.
    return host.encode("ascii") if is_usual else host


async def connect(endpoint: Endpoint, timeout_s: float) -> Connection:
    """Open a connection to the broker.

    Args:
        endpoint: the broker.
        timeout_s: for everything together.

    Raises:
        ConnectionLost: it cannot be reached, or not in time.
    """
    attempt = _Attempt(endpoint, timeout_s)
    try:
        return await run_in_thread(attempt.run, timeout_s)
    except TimeoutError as error:
        attempt.give_up()
        raise attempt.fault(error) from error
    except OSError as error:
        raise attempt.fault(error) from error
    except UnicodeError as error:
        raise faults.unresolved(endpoint.host, "this is not a host name") from error
    except BaseException:
        attempt.give_up()
        raise


class _Attempt:
    """One attempt to connect, which its caller may give up at any time.

    Attributes:
        step: what the attempt waits for, in words.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self.step = _LOOK_UP
        self._endpoint = endpoint
        self._started_at = time.monotonic()
        self._ends_at = self._started_at + timeout_s
        self._lock = threading.Lock()
        self._given_up = False
        self._socket: socket.socket | None = None

    def run(self) -> Connection:
        """Connect; called in a thread."""
        try:
            return self._opened()
        except BaseException:
            if self._socket is not None:
                self._socket.close()
            raise

    def give_up(self) -> None:
        """Close what is open, or will be."""
        with self._lock:
            self._given_up = True
            if self._socket is not None:
                # Wakes the thread, if it still waits for an answer. ``SSLSocket.shutdown`` would
                # also take away the object that the thread uses.
                with suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
                self._socket.close()

    def fault(self, error: OSError) -> ConnectionLost:
        """Return what an error of ``run`` means."""
        endpoint = self._endpoint
        if isinstance(error, TimeoutError):
            seconds = time.monotonic() - self._started_at
            return faults.too_slow(endpoint.address, self.step, seconds, self.step != _TCP)
        if isinstance(error, ssl.SSLCertVerificationError):
            return faults.untrusted(endpoint.host, error.verify_message)
        text = words(error)
        if self.step == _LOOK_UP:
            return faults.unresolved(endpoint.host, text)
        if self.step == _TLS:
            return faults.tls_failed(endpoint.address, text)
        if self.step == _WEBSOCKET:
            return faults.websocket_failed(endpoint.address, endpoint.path or "", text)
        return faults.unreachable(endpoint.address, text)

    def _opened(self) -> Connection:
        endpoint = self._endpoint
        opened = self._reached()
        # Nagle and the broker's delayed ACKs limit small acknowledged messages to 200 a second.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if endpoint.tls is not None:
            self.step = _TLS
            opened.settimeout(self._left_s())
            # It takes over the descriptor, so the handshake must not start before it is kept.
            opened = endpoint.tls.wrap_socket(
                opened, server_hostname=_encoded(endpoint.host), do_handshake_on_connect=False
            )
            self._keep(opened)
            opened.do_handshake()
        stream: Any = opened
        if endpoint.path is not None:
            self.step = _WEBSOCKET
            opened.settimeout(self._left_s())
            stream = self._websocket(opened, endpoint.path)
        with self._lock:
            if self._given_up:
                raise TimeoutError(self.step)
        return Connection(opened, stream)

    def _reached(self) -> socket.socket:
        """Return a TCP connection to the first of the broker's addresses that answers."""
        endpoint = self._endpoint
        host = _encoded(endpoint.host)
        entries = socket.getaddrinfo(host, endpoint.port, type=socket.SOCK_STREAM)
        self.step = _TCP
        problem: OSError = OSError("the name has no address")
        for index, (family, kind, protocol, _, address) in enumerate(entries):
            candidate = socket.socket(family, kind, protocol)
            self._keep(candidate)
            # A dead address must leave time for the next one.
            share_s = self._left_s() / (len(entries) - index)
            candidate.settimeout(min(share_s, _TCP_TIMEOUT_S))
            try:
                candidate.connect(address)
            except OSError as error:
                candidate.close()
                problem = error
            else:
                return candidate
        raise problem

    def _websocket(self, opened: socket.socket, path: str) -> WebSocket:
        endpoint = self._endpoint
        secure = endpoint.tls is not None
        try:
            return WebSocket(opened, endpoint.host, endpoint.port, secure, path, None)
        except WebsocketConnectionError as error:
            raise ConnectionError(str(error)) from error
        except (IndexError, ValueError) as error:
            # paho takes the answer for a WebSocket's without a look.
            raise ConnectionError("the answer is not a WebSocket handshake") from error

    def _keep(self, opened: socket.socket) -> None:
        with self._lock:
            self._socket = opened
            if self._given_up:
                raise TimeoutError(self.step)

    def _left_s(self) -> float:
        left_s = self._ends_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(self.step)
        return left_s
