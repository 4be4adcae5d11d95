"""The subscriber as a process: records what arrives and when, and evaluates it on request.

A few lines of MQTT on a socket, without a library: at 15,000 messages a second a subscriber with
paho would dominate the measurement. Orders and answers are JSON lines, as in ``orders``:

``forget``  discards what has arrived so far; answers ``{}``.
``await``   waits until ``count`` samples have arrived since, at most ``seconds``. The answer has
            ``count``; ``distinct``: how many without those that arrived again; ``whole``: the
            numbers of every stream have no holes and no duplicates;
            ``history``: how many arrived as history; ``took_s`` from the first to the last of them;
            ``live_ms`` and ``history_ms``: sorted latencies of samples measured after ``since_ns``
            (Unix time), from the notification callback to here.
"""

import argparse
import os
import socket
import sys
import time
from collections import defaultdict
from datetime import datetime
from select import select
from typing import Any

import orjson

from benchmarks.orders import Answer, Order, write_answer
from tests.chaos.wire import PUBLISH, Packets, published

HOST = "127.0.0.1"
FILTER = b"healthd/+/device/#"

# MQTT 5: clean start, no keepalive, no properties.
_NAME = b"tap"
_CONNECT_BODY = b"\x00\x04MQTT\x05\x02\x00\x00\x00" + len(_NAME).to_bytes(2, "big") + _NAME
_SUBSCRIBE_BODY = b"\x00\x01\x00" + len(FILTER).to_bytes(2, "big") + FILTER + b"\x01"

_CHUNK = 1 << 18


class Tap:
    """One subscription with QoS 1; everything is acknowledged."""

    def __init__(self, port: int) -> None:
        """Connect and subscribe."""
        self._socket = socket.create_connection((HOST, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._packets = Packets()
        self._arrived: list[tuple[int, str, bytes]] = []
        self._send(0x10, _CONNECT_BODY)
        self._socket.recv(_CHUNK)
        self._send(0x82, _SUBSCRIBE_BODY)
        self._socket.recv(_CHUNK)

    def _send(self, first: int, body: bytes) -> None:
        self._socket.sendall(bytes((first, len(body))) + body)

    def fileno(self) -> int:
        """For select."""
        return self._socket.fileno()

    def read(self) -> None:
        """Read what has arrived; call it only if there is something."""
        data = self._socket.recv(_CHUNK)
        now_ns = time.time_ns()
        assert data, "the broker has closed the connection"
        answers = bytearray()
        for packet in self._packets.feed(data):
            if packet.type == PUBLISH:
                mid, topic, payload = published(packet)
                answers += b"\x40\x02" + mid.to_bytes(2, "big")
                # Only samples have a number; the info of a device does not.
                if b'"seq":' in payload:
                    self._arrived.append((now_ns, topic, payload))
        self._socket.sendall(answers)

    def obey(self, order: Order) -> Answer:
        """Carry out an order; return the answer."""
        if order["do"] == "forget":
            while select([self], [], [], 0.05)[0]:
                self.read()
            self._arrived.clear()
            return {}
        until = time.monotonic() + order["seconds"]
        while len(self._arrived) < order["count"] and (left_s := until - time.monotonic()) > 0:
            if select([self], [], [], left_s)[0]:
                self.read()
        return judged(self._arrived, order.get("since_ns", 0))


def judged(arrived: list[tuple[int, str, bytes]], since_ns: int = 0) -> Answer:
    """Evaluate what arrived; return the answer to ``await``."""
    numbers: dict[str, list[int]] = defaultdict(list)
    live: list[float] = []
    history: list[float] = []
    late_ns: list[int] = []
    for at_ns, topic, payload in arrived:
        fields = orjson.loads(payload)
        stream = topic.removesuffix("/history")
        numbers[stream].append(fields["seq"])
        late = stream != topic
        if late:
            late_ns.append(at_ns)
        if (taken_ns := _taken_ns(fields)) >= since_ns:
            (history if late else live).append((at_ns - taken_ns) / 1e6)
    return {
        "count": len(arrived),
        "distinct": sum(len(set(one)) for one in numbers.values()),
        "whole": all(_follow(one) for one in numbers.values()),
        "history": len(late_ns),
        "took_s": (max(late_ns) - min(late_ns)) / 1e9 if late_ns else 0.0,
        "live_ms": sorted(live),
        "history_ms": sorted(history),
    }


def _follow(numbers: list[int]) -> bool:
    return sorted(numbers) == list(range(min(numbers), max(numbers) + 1))


def _taken_ns(fields: dict[str, Any]) -> int:
    if "time_ns" in fields:
        taken: int = fields["time_ns"]
        return taken
    return round(datetime.fromisoformat(fields["time"]).timestamp() * 1e6) * 1000


def main() -> None:
    """Run until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tap")
    parser.add_argument("--port", type=int, required=True)
    tap = Tap(parser.parse_args().port)
    write_answer({"ready": True})
    while True:
        ready, _, _ = select([sys.stdin, tap], [], [])
        if tap in ready:
            tap.read()
        if sys.stdin in ready:
            line = os.read(sys.stdin.fileno(), 4096)
            if not line:
                return
            write_answer(tap.obey(orjson.loads(line)))


if __name__ == "__main__":
    main()
