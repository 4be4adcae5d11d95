#!/usr/bin/env bash
# A client that lost its connection and is entered again does not wait for the broker's answer.
#
# One expects: `async with client:` waits for the CONNACK every time, and raises MqttConnectError if
#   the broker refuses. aiomqtt's page about reconnection enters one Client in a loop.
# What is true: only the first time. After a lost connection the Client still counts as connected.
#   The next `async with` opens the socket and enters at once; the CONNACK, even a refusal, is
#   ignored. The program then sees a lost connection, without the reason.
#
# Version: aiomqtt 2.5.1, paho-mqtt 2.2.0
# Date: 2026-11-30
# Source: aiomqtt/client.py of 2.5.1: Client.__aexit__ returns early after a lost connection, before
#   it resets the future _connected, for which Client.__aenter__ waits. The loop is recommended in:
#   https://github.com/empicano/aiomqtt/blob/main/docs/reconnection.md
#   A loop of this kind that never recovers, until there is a new Client per connection (the issue
#   does not name the cause): https://github.com/empicano/aiomqtt/issues/369
# Whom it hurts: programs with such a loop. They report "connected" for a broker that has not
#   answered, send packets before the CONNACK, and cannot see that their password is wrong.
# What helps: a new Client for every connection.
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

ACCEPTED, NOT_AUTHORIZED = 0, 5  # MQTT 3.1.1


class Broker:
    """Accepts the first connection and then closes it; refuses all later ones."""

    def __init__(self):
        self.connections = 0
        self.answered = False
        self.entered = asyncio.Event()

    async def serve(self, reader, writer):
        self.connections += 1
        first = self.connections == 1
        await reader.readexactly(1)  # CONNECT, shorter than 128 bytes: one byte of length
        await reader.readexactly((await reader.readexactly(1))[0])
        if not first:
            # Answer when the program is inside `async with`, or after 2 s.
            try:
                await asyncio.wait_for(self.entered.wait(), 2)
            except TimeoutError:
                pass
        self.answered = True
        code = ACCEPTED if first else NOT_AUTHORIZED
        print(f"broker:  CONNACK with return code {code}")
        writer.write(bytes([0x20, 2, 0, code]))
        await writer.drain()
        if first:
            await self.entered.wait()
        writer.close()


async def connect(client, broker):
    """Return whether the client was entered before the broker had answered."""
    broker.answered = False
    broker.entered.clear()
    early = False
    try:
        async with client:
            early = not broker.answered
            print(f"program: entered, {'before' if early else 'after'} the CONNACK")
            broker.entered.set()
            async for _ in client.messages:
                pass
    except aiomqtt.MqttError as error:
        print(f"program: {type(error).__name__}: {error}")
    return early


async def main():
    print(f"aiomqtt {version('aiomqtt')}, paho-mqtt {version('paho-mqtt')}")
    broker = Broker()
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = aiomqtt.Client("127.0.0.1", port)
    early = []
    for text, candidate in (
        ("a new client, accepted and then cut off", client),
        ("the same client again, refused", client),
        ("a new client, refused", aiomqtt.Client("127.0.0.1", port)),
    ):
        print(f"{text}:")
        early.append(await connect(candidate, broker))
    return early


if asyncio.run(main()) == [False, True, False]:
    print("still so: the client that was entered again did not wait for the CONNACK")
else:
    sys.exit("changed: a client that is entered again waits for the CONNACK")
PYTHON
