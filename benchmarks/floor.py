"""The floor as a process: paho alone, with QoS 1 and the same payload; see ``orders``.

With ``--thread`` it is used as paho's documentation has it: ``loop_start``, and a semaphore for the
window. Without, in one thread with ``select`` and ``loop_read``: the least that can be written on
paho, and a third less CPU. MQTT 5, as healthd speaks it, but none of the properties that healthd
sends.
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

from benchmarks.orders import WINDOW, Answer, Order, Stopwatch, arguments, schedule, tell

HOST = "127.0.0.1"
TOPIC = "healthd/floor-{}/device/strap-{}/heart_rate"

# A sample of healthd's, byte for byte as long; its time is a number, because to write a date costs
# more than a microsecond that is not the floor's.
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

    def _publish(self, who: int) -> None:
        self._numbers[who] = number = self._numbers[who] + 1
        payload = PAYLOAD % (number, time.time_ns(), number)
        self._client.publish(self._topics[who], payload, 1)

    def rest(self) -> None:
        """Answer the broker's keepalive between two orders."""
        self._client.loop_misc()
        self._turn(0)

    def obey(self, order: Order) -> Answer:
        """Do it; what it cost."""
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
        for due_s, who in schedule(straps, order["hz"], order["seconds"]):
            while (left_s := start + due_s - time.monotonic()) > 0:
                self._turn(left_s)
            self._publish(who)
            sent += 1
        while self._acked < sent:
            self._turn(1.0)
        return watch.answer(sent)


class ThreadedFloor(Floor):
    """The same, and paho's own thread does the reading and writing."""

    def __init__(self, port: int, peripherals: int) -> None:
        """Connect."""
        super().__init__(port, peripherals)
        self._window = Semaphore(WINDOW)
        self._client.loop_start()

    def _on_publish(self, *_: Any) -> None:
        self._window.release()

    def rest(self) -> None:
        """Leave it to the thread."""

    def obey(self, order: Order) -> Answer:
        """Do a burst; what it cost."""
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
    tell({"ready": True})
    while True:
        if not select([sys.stdin], [], [], 5.0)[0]:
            floor.rest()
        elif line := os.read(sys.stdin.fileno(), 4096):
            tell(floor.obey(orjson.loads(line)))
        else:
            return


if __name__ == "__main__":
    main()
