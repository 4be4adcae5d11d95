#!/usr/bin/env bash
# Over WebSockets, mosquitto sends each message of more than 4 kB with pauses of a tenth of a second.
#
# One expects: a WebSocket costs a few bytes more for each message than plain TCP. A fast network
#   carries megabytes a second over both.
# What is true: mosquitto hands a packet to its WebSocket library whole; the library sends it in
#   pieces of 4 kB, and mosquitto calls the library for the next piece once in 0.1 s. So a client gets
#   at most ten messages of 5 kB a second, and one of 200 kB takes five seconds. Small messages are not
#   delayed, unless they follow a large one: a single retained message of some hundred kilobytes holds
#   up everything of that connection, acknowledgements and PINGRESP included, each time it is made.
#
# Version: mosquitto 2.0.11-1.2+deb12u2 (Debian 12), paho-mqtt 2.2.0
# Date: 2026-11-30
# Source: https://github.com/eclipse-mosquitto/mosquitto/issues/1390, and #411 for the cause
# Whom it hurts: programs that connect over ws:// or wss:// and read frames of samples, histories or
#   discovery messages of Home Assistant, which have more than 4 kB. A client that takes a silent broker
#   for dead reconnects forever.
# What helps: plain TCP or TLS; payloads below 4 kB; Maximum Packet Size (MQTT 5) in the client.
#
# Needs Debian 12 and Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
broker=
trap 'if [ -n "$broker" ]; then kill "$broker"; fi; rm -rf "$folder"' EXIT
cd "$folder"
# Without installing anything: the package and its libraries, unpacked here.
apt-get download -qq mosquitto=2.0.11-1.2+deb12u2 libdlt2 libwrap0 libnsl2 libtirpc3 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
libraries=$(dirname "$(find root -name 'libdlt.so.2' | head -n 1)")
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check paho-mqtt==2.2.0

read -r tcp web < <(python3 - <<'PYTHON'
import socket

free = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in free))
PYTHON
)
cat >mosquitto.conf <<CONF
allow_anonymous true
listener $tcp 127.0.0.1
listener $web 127.0.0.1
protocol websockets
CONF
LD_LIBRARY_PATH=$folder/$libraries root/usr/sbin/mosquitto -c mosquitto.conf >mosquitto.log 2>&1 &
broker=$!
timeout 60 venv/bin/python - "$tcp" "$web" <<'PYTHON'
import sys
import threading
import time
from importlib.metadata import version

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

TCP, WEB = map(int, sys.argv[1:])
MESSAGES = 20


def seconds(transport, size):
    """Return how long MESSAGES messages of a size take from publish to the subscriber."""
    arrived, subscribed, connected = threading.Event(), threading.Event(), threading.Event()
    count = 0

    def on_message(*_):
        nonlocal count
        count += 1
        if count == MESSAGES:
            arrived.set()

    reader = Client(CallbackAPIVersion.VERSION2, transport=transport)
    reader.on_message = on_message
    reader.on_connect = lambda client, *_: client.subscribe("samples")
    reader.on_subscribe = lambda *_: subscribed.set()
    writer = Client(CallbackAPIVersion.VERSION2)
    writer.on_connect = lambda *_: connected.set()
    for client, port in ((reader, WEB if transport == "websockets" else TCP), (writer, TCP)):
        for _ in range(50):
            try:
                client.connect("127.0.0.1", port)
                break
            except OSError:
                time.sleep(0.1)
        client.loop_start()
    assert subscribed.wait(10) and connected.wait(10)
    began = time.monotonic()
    for _ in range(MESSAGES):
        writer.publish("samples", bytes(size))
    assert arrived.wait(20), "not delivered"
    took = time.monotonic() - began
    for client in (reader, writer):
        client.disconnect()
        client.loop_stop()
    return took


print(f"mosquitto 2.0.11, paho-mqtt {version('paho-mqtt')}: {MESSAGES} messages")
took = {}
for size in (1000, 5000):
    for transport in ("tcp", "websockets"):
        took[transport, size] = seconds(transport, size)
        print(f"  of {size} bytes over {transport}: {took[transport, size]:.2f} s")
slow = took["websockets", 5000] > 1.0
others = max(time for key, time in took.items() if key != ("websockets", 5000))
same = slow and took["websockets", 5000] > 3 * others
print("as described" if same else "changed")
sys.exit(not same)
PYTHON
