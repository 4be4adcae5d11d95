#!/usr/bin/env bash
# A publish that waits for its PUBACK does not notice that the connection has ended.
#
# One expects: the end of the connection makes a waiting `await client.publish(qos=1)` fail at once,
#   as it does with `async for message in client.messages`.
# What is true: publish() waits until its own timeout, 10 s by default. Its
#   exception says "Operation timed out", not that the connection is gone.
#
# Version: aiomqtt 2.5.1, paho-mqtt 2.2.0
# Date: 2026-11-30
# Source: aiomqtt/client.py of 2.5.1 (Client.publish and Client._wait_for do not use the future
#   _disconnected; MessagesIterator does). The maintainer expects the failure, too:
#   https://github.com/empicano/aiomqtt/pull/287 (comment of 2024-06-05)
# Whom it hurts: programs that publish and reconnect in one task. Each broken connection costs 10 s,
#   in which nothing is sent. A short timeout is no cure: it fails slow brokers.
# What helps: watch the connection in another task, and cancel the publishes when it ends.
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
from time import monotonic

import aiomqtt

TIMEOUT_S = 4.0
closed_at = 0.0


async def broker(reader, writer):
    """Accept the connection, close it when the first message arrives."""
    global closed_at
    while head := await reader.read(1):
        # All packets here are shorter than 128 bytes: one byte of length.
        await reader.readexactly((await reader.readexactly(1))[0])
        kind = head[0] >> 4
        if kind == 1:  # CONNECT: CONNACK
            writer.write(bytes([0x20, 2, 0, 0]))
        elif kind == 3:  # PUBLISH
            break
    writer.close()
    closed_at = monotonic()


async def read(client):
    try:
        async for _ in client.messages:
            pass
    except aiomqtt.MqttError as error:
        return monotonic() - closed_at, error


async def publish(client):
    try:
        await client.publish("strap/heart_rate", "72", qos=1, timeout=TIMEOUT_S)
    except aiomqtt.MqttError as error:
        return monotonic() - closed_at, error


async def main():
    print(f"aiomqtt {version('aiomqtt')}, paho-mqtt {version('paho-mqtt')}")
    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with aiomqtt.Client("127.0.0.1", port) as client:
            reading = asyncio.create_task(read(client))
            publish_s, publish_error = await publish(client)
            read_s, read_error = await reading
    except aiomqtt.MqttError:
        pass  # the connection is gone, as planned
    print(f"reader:  {read_s:.2f} s after the end: {read_error}")
    print(f"publish: {publish_s:.2f} s after the end: {publish_error} (timeout {TIMEOUT_S} s)")
    # The client had noticed long before the publish returned.
    return read_s < TIMEOUT_S / 2 and publish_s > TIMEOUT_S - 1


if asyncio.run(main()):
    print("still so: publish() waits out its timeout although the connection is gone")
else:
    sys.exit("changed: publish() notices the end of the connection")
PYTHON
