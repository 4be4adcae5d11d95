#!/usr/bin/env bash
# paho sends more messages at a time than the broker allows, and lets no program correct it.
#
# One expects: with MQTT 5, a client keeps to the Receive Maximum of the broker's CONNACK. Otherwise
#   the broker may end the connection (0x93). In paho-mqtt `max_inflight_messages` looks like it.
# What is true: it is the program's own limit, 20 by default: of the properties of CONNACK, paho
#   obeys Server Keep Alive alone. A program that reads Receive Maximum in on_connect cannot apply
#   it: on a connection, max_inflight_messages_set() raises RuntimeError. After the broker has ended
#   the connection, paho connects again and sends the same messages, all at once, forever.
#
# Version: paho-mqtt 2.2.0
# Date: 2026-11-30
# Source: paho/mqtt/client.py of 2.2.0 (Client._handle_connack). MQTT 5, section 4.9: the limit must
#   not be exceeded. For Maximum Packet Size: https://github.com/eclipse-paho/paho.mqtt.python/issues/760
# Whom it hurts: programs with QoS 1 or 2 that work with mosquitto, which tolerates it, and never
#   get past the first messages with a broker that does not. HiveMQ's default is 10.
# What helps: set max_inflight_messages to the smallest limit of any broker before connecting, or
#   count the acknowledgements in the program and hold messages back.
#
# Needs Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check paho-mqtt==2.2.0
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import socket
import sys
import threading
import time
from importlib.metadata import version

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

RECEIVE_MAXIMUM = 2
MESSAGES = 20
received = []  # how many unacknowledged messages arrived, by connection


def packet(stream):
    """Read a packet; all are shorter than 128 bytes: one byte of length."""
    head, length = stream.read(2)
    stream.read(length)
    return head >> 4


def serve(listener):
    """Allow two messages at a time; end each connection that sends more (MQTT 5, 4.9)."""
    while True:
        connection, _ = listener.accept()
        received.append(0)
        with connection, connection.makefile("rb") as stream:
            packet(stream)
            # CONNACK with one property, 0x21: Receive Maximum.
            connection.sendall(bytes([0x20, 6, 0, 0, 3, 0x21, 0, RECEIVE_MAXIMUM]))
            connection.settimeout(1.0)
            try:
                while packet(stream) == 3:
                    received[-1] += 1
            except (OSError, ValueError):
                pass
            connection.sendall(bytes([0xE0, 2, 0x93, 0]))


print(f"paho-mqtt {version('paho-mqtt')}")
listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(listener,), daemon=True).start()
announced = []
client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
client.reconnect_delay_set(1, 1)
refusals = []


def on_connect(client, userdata, flags, reason, properties):
    announced.append(properties.ReceiveMaximum)
    try:
        client.max_inflight_messages_set(properties.ReceiveMaximum)
    except RuntimeError as error:
        refusals.append(str(error))


client.on_connect = on_connect
client.connect("127.0.0.1", listener.getsockname()[1])
client.loop_start()
while not announced:
    time.sleep(0.01)
for number in range(MESSAGES):
    client.publish("strap/heart_rate", str(number), qos=1)
deadline = time.monotonic() + 20
while len(received) < 3 and time.monotonic() < deadline:
    time.sleep(0.1)
print("CONNACK, Receive Maximum:", announced[0])
print("max_inflight_messages_set:", *refusals[:1])
print("messages without an acknowledgement, by connection:", received[:2])
if refusals and min(received[:2]) > RECEIVE_MAXIMUM:
    print("still so: paho sends more than the broker allows, again on the next connection")
else:
    sys.exit("changed: paho keeps to Receive Maximum")
PYTHON
