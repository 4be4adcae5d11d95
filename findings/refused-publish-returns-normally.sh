#!/usr/bin/env bash
# A publish that the broker refused returns as if it had succeeded.
#
# One expects: with MQTT 5 and QoS 1, `await client.publish()` raises an exception, or returns the
#   reason code, if the broker refuses the message in its PUBACK (0x87: not authorized).
# What is true: it returns None, as after a success. paho-mqtt passes the reason code to aiomqtt's
#   callback. aiomqtt does not look at it. A SUBACK's reason codes are returned by subscribe().
#
# Version: aiomqtt 2.5.1, paho-mqtt 2.2.0
# Date: 2026-11-30
# Source: aiomqtt/client.py of 2.5.1 (Client.publish, Client._on_publish). The same wish for
#   paho-mqtt: https://github.com/eclipse-paho/paho.mqtt.python/issues/715
#   mosquitto sends this code if its access list forbids the topic:
#   https://github.com/eclipse-paho/paho.mqtt.python/issues/474
# Whom it hurts: all programs that delete a sample once publish() has returned. One wrong line in
#   the broker's access list, and every sample is lost without an error.
# What helps: a subclass of aiomqtt.Client with its own _on_publish, or paho-mqtt's on_publish.
#
# Needs Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check aiomqtt==2.5.1 paho-mqtt==2.2.0
timeout 30 "$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import sys
from importlib.metadata import version

import aiomqtt

NOT_AUTHORIZED = 0x87


async def broker(reader, writer):
    """Accept the connection, refuse every message."""
    while head := await reader.read(1):
        # All packets here are shorter than 128 bytes: one byte of length.
        body = await reader.readexactly((await reader.readexactly(1))[0])
        kind = head[0] >> 4
        if kind == 1:  # CONNECT: CONNACK, no session, success, no properties
            writer.write(bytes([0x20, 3, 0, 0, 0]))
        elif kind == 3:  # PUBLISH with QoS 1: the packet identifier follows the topic
            end = 2 + int.from_bytes(body[:2], "big")
            writer.write(bytes([0x40, 3, *body[end : end + 2], NOT_AUTHORIZED]))
            print(f"broker:  PUBACK with reason code 0x{NOT_AUTHORIZED:02x}, not authorized")
    writer.close()


async def main():
    print(f"aiomqtt {version('aiomqtt')}, paho-mqtt {version('paho-mqtt')}")
    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    v5 = aiomqtt.ProtocolVersion.V5
    async with aiomqtt.Client("127.0.0.1", port, protocol=v5) as client:
        try:
            result = await client.publish("strap/heart_rate", "72", qos=1)
        except aiomqtt.MqttError as error:
            print(f"publish: raised {error!r}")
            return "changed: publish() raises"
        print(f"publish: returned {result!r}, no exception")
        return None if result is None else "changed: publish() returns something"


changed = asyncio.run(main())
print(changed or "still so: a refused publish looks like a successful one")
sys.exit(1 if changed else 0)
PYTHON
