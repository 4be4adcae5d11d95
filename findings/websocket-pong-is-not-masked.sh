#!/usr/bin/env bash
# Over WebSockets, paho answers a ping in a way that makes a strict server end the connection.
#
# One expects: paho's transport="websockets" speaks RFC 6455, so a server or proxy that sends pings to
#   keep connections open gets its pongs.
# What is true: paho masks what it publishes, but not the pong, nor its answer to a close. RFC 6455,
#   section 5.1: a server must close the connection if a client sends a frame that is not masked. So a
#   connection ends at the first ping, again and again, and MQTT gives no reason.
#
# Version: paho-mqtt 2.2.0; the server is websockets 15.0.1
# Date: 2026-11-30
# Source: paho/mqtt/client.py of 2.2.0 (_WebsocketWrapper._recv_impl calls _create_frame with
#   do_masking=0); RFC 6455, sections 5.1 and 5.5.3
# Whom it hurts: programs that reach a broker through a WebSocket server that sends pings, such as a
#   reverse proxy or a cloud service. With a broker that sends none, everything works.
# What helps: override _WebsocketWrapper._create_frame so that it masks every frame, or use TCP.
#
# Needs Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check paho-mqtt==2.2.0 websockets==15.0.1
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import logging
import sys
from importlib.metadata import version

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

logging.getLogger("websockets").setLevel(logging.CRITICAL)
connected = asyncio.Event()
ended = []


async def broker(stream):
    """Answer CONNECT, then send one ping."""
    try:
        assert (await stream.recv())[0] >> 4 == 1, "not a CONNECT"
        await stream.send(bytes([0x20, 2, 0, 0]))
        connected.set()
        answered = await asyncio.wait_for(await stream.ping(), 10)
        ended.append(f"the ping was answered after {answered:.3f} s")
    except ConnectionClosed as closed:
        ended.append(f"{closed.sent.code}: {closed.sent.reason}" if closed.sent else str(closed))


async def main():
    print(f"paho-mqtt {version('paho-mqtt')}, websockets {version('websockets')}")
    async with serve(broker, "127.0.0.1", 0, subprotocols=["mqtt"], ping_interval=None) as server:
        client = Client(CallbackAPIVersion.VERSION2, transport="websockets")
        client.connect_async("127.0.0.1", server.sockets[0].getsockname()[1])
        client.loop_start()
        await asyncio.wait_for(connected.wait(), 20)
        print("the client is connected; the server sends a ping")
        while not ended:
            await asyncio.sleep(0.05)
        client.loop_stop()
    print("the server:", ended[0])
    return ended[0].startswith("1002")


if asyncio.run(main()):
    print("still so: the answer to a ping ends the connection")
else:
    sys.exit("changed: paho's answer to a ping is accepted")
PYTHON
