"""The floor as a process: paho alone, with QoS 1 and the same payload; see ``orders``.

With ``--thread`` paho is used as in its documentation: ``loop_start``, and a semaphore for the
window. Without it, in one thread with ``select`` and ``loop_read``: the least that is possible with
paho, and a third less CPU. MQTT 5 as in healthd, but without the properties that healthd sends.
"""

import os
import socket
import sys
import time
from select import select
from threading import Semaphore
from typing import Any

import orjson
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from benchmarks.orders import WINDOW, Answer, Order, Stopwatch, arguments, schedule, write_answer

HOST = "127.0.0.1"
TOPIC = "healthd/floor-{}/device/strap-{}/heart_rate"

# As long as a sample of healthd. The time is a number, because formatting a date takes more than a
# microsecond, which is not part of the floor.
PAYLOAD = (
    b'{"id":"00000000-%d","time_ns":%d,"clock":"synced","seq":%d,"heart_rate_bpm":72,'
    b'"sensor_contact_supported":true,"sensor_contact_detected":true,'
    b'"rr_intervals_ms":[832.03125],"rr_offsets_ms":[-869.4]}'
)


class Floor:
    """One connection."""

    def __init__(self, port: int, peripherals: int) -> None:
        """Connect."""
        self._topics = [TOPIC.format(os.getpid(), n) for n in range(peripherals)]
        self._connected, self._acked = False, 0
        self._numbers = [0] * peripherals
        self._client = client = Client(
            CallbackAPIVersion.VERSION2, client_id="", protocol=MQTTProtocolVersion.MQTTv5
        )
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.connect(HOST, port)
        connection = client.socket()
        assert isinstance(connection, socket.socket)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        while not self._connected:
            self._turn(1.0)

    def _on_connect(self, *_: Any) -> None:
        self._connected = True

    def _on_publish(self, *_: Any) -> None:
        self._acked += 1

    def _turn(self, timeout_s: float) -> None:
        client = self._client
        writing = [self._socket] if client.want_write() else []
        readable, writable, _ = select([self._socket], writing, [], max(timeout_s, 0))
        if readable:
            client.loop_read()
        if writable:
            client.loop_write()

    def _publish(self, strap: int) -> None:
        self._numbers[strap] = number = self._numbers[strap] + 1
        payload = PAYLOAD % (number, time.time_ns(), number)
        self._client.publish(self._topics[strap], payload, 1)

    def idle(self) -> None:
        """Answer the broker's keepalive between two orders."""
        self._client.loop_misc()
        self._turn(0)

    def obey(self, order: Order) -> Answer:
        """Carry out an order; return its cost."""
        self._acked = 0
        watch = Stopwatch()
        straps, sent = len(self._topics), 0
        if order["do"] == "burst":
            count: int = order["count"]
            while self._acked < count:
                while sent < count and sent - self._acked < WINDOW:
                    self._publish(sent % straps)
                    sent += 1
                self._turn(1.0)
            return watch.answer(count)
        start = time.monotonic()
        for due_s, strap in schedule(straps, order["hz"], order["seconds"]):
            while (left_s := start + due_s - time.monotonic()) > 0:
                self._turn(left_s)
            self._publish(strap)
            sent += 1
        while self._acked < sent:
            self._turn(1.0)
        return watch.answer(sent)


class ThreadedFloor(Floor):
    """The floor with paho's own thread for reading and writing."""

    def __init__(self, port: int, peripherals: int) -> None:
        """Connect."""
        super().__init__(port, peripherals)
        self._window = Semaphore(WINDOW)
        self._client.loop_start()

    def _on_publish(self, *_: Any) -> None:
        self._window.release()

    def idle(self) -> None:
        """Do nothing: the thread keeps the connection alive."""

    def obey(self, order: Order) -> Answer:
        """Carry out a burst; return its cost."""
        watch = Stopwatch()
        for number in range(order["count"]):
            self._window.acquire()
            self._publish(number % len(self._topics))
        for _ in range(WINDOW):
            self._window.acquire()
        answer = watch.answer(order["count"])
        self._window.release(WINDOW)
        return answer


def main() -> None:
    """Run until standard input ends."""
    parsed = arguments("floor")
    floor = (ThreadedFloor if parsed.thread else Floor)(parsed.port, parsed.peripherals)
    write_answer({"ready": True})
    while True:
        if not select([sys.stdin], [], [], 5.0)[0]:
            floor.idle()
        elif line := os.read(sys.stdin.fileno(), 4096):
            write_answer(floor.obey(orjson.loads(line)))
        else:
            return


if __name__ == "__main__":
    main()
