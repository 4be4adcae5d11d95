#!/usr/bin/env bash
# A connect that was cancelled connects all the same, later, and stays connected.
#
# One expects: after `async with asyncio.timeout(1): async with aiomqtt.Client(...)` has raised
#   TimeoutError, this client is given up, and another broker can be tried.
# What is true: the connect goes on in a thread, which cannot be cancelled. When the broker can be
#   reached again, the CONNECT is sent. The client, to which no reference is left, is then connected:
#   it answers the broker, sends its pings, and holds the will and the client id.
#
# Version: aiomqtt 2.5.1, paho-mqtt 2.2.0
# Date: 2026-11-30
# Source: aiomqtt/client.py of 2.5.1: Client.__aenter__ runs _client_connect in the executor of the
#   event loop; a cancellation there neither disconnects nor stops the thread, and Client._on_socket_open
#   adds the socket to the loop whenever the thread has opened it.
# Whom it hurts: programs that try one broker after the other. The next try has the same client id,
#   and the two clients take each other's place at the broker: "is this program running twice?"
#   At its end the program also waits for the thread, whatever that waits for (a name server).
# What helps: open the connection in a way that can be cancelled before paho gets it, or disconnect
#   the client in its on_socket_open if it was given up.
#
# Needs Linux and Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check aiomqtt==2.5.1 paho-mqtt==2.2.0
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import contextlib
import gc
import socket
import sys
from importlib.metadata import version

import aiomqtt

CONNECT, PINGREQ, DISCONNECT = 1, 12, 14
seen = []


async def serve(reader, writer):
    """Accept the connection, answer pings, and note the packets."""
    # Cancelled at the end of the program.
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        while head := await reader.read(1):
            # All packets here are shorter than 128 bytes: one byte of length.
            await reader.readexactly((await reader.readexactly(1))[0])
            seen.append(head[0] >> 4)
            if seen[-1] == CONNECT:
                writer.write(bytes([0x20, 2, 0, 0]))
            elif seen[-1] == PINGREQ:
                writer.write(bytes([0xD0, 0]))
    writer.close()


async def main():
    print(f"aiomqtt {version('aiomqtt')}, paho-mqtt {version('paho-mqtt')}")
    # A broker that is too busy to accept: its queue is full, the kernel drops further attempts.
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = listener.getsockname()[1]
    queued = socket.create_connection(("127.0.0.1", port))
    try:
        async with asyncio.timeout(0.5):
            async with aiomqtt.Client("127.0.0.1", port, keepalive=3):
                sys.exit("changed: it connected to a broker that accepts nothing")
    except TimeoutError:
        print("the program: the connect is cancelled; packets so far:", seen)
    gc.collect()
    # The broker is well again. The kernel repeats the attempt after a second.
    queued.close()
    server = await asyncio.start_server(serve, sock=listener)
    async with server:
        for _ in range(200):
            if seen.count(PINGREQ) >= 2:
                break
            await asyncio.sleep(0.1)
    print("the broker: packets of the cancelled client:", seen)
    return seen[:1] == [CONNECT] and seen.count(PINGREQ) >= 2 and DISCONNECT not in seen


if asyncio.run(main()):
    print("still so: the cancelled client is connected and stays so")
else:
    sys.exit("changed: a cancelled connect does not stay connected")
PYTHON
