"""Signals that are not urgent are read in batches."""

import asyncio
import socket

from healthd.central.batches import Batches


class Bus:
    """A D-Bus connection, as far as its reading is concerned."""

    def __init__(self, connection: socket.socket) -> None:
        self.connected = True
        self._connection = connection
        self._fd = connection.fileno()
        self.reads: list[bytes] = []
        self.has_read = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def _read(self) -> None:
        self.reads.append(self._connection.recv(100))
        self.has_read.set()


async def test_what_arrives_during_a_rest_is_read_at_once_after_it() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bus = Bus(ours)
        batches = Batches.of(bus)
        assert batches is not None
        batches.rest()
        for number in b"123":
            theirs.send(bytes([number]))
            await asyncio.sleep(0)
        assert not bus.reads
        await asyncio.wait_for(bus.has_read.wait(), 30)
        assert bus.reads == [b"123"]
        asyncio.get_running_loop().remove_reader(ours)


async def test_a_connection_that_has_ended_is_not_read_again() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bus = Bus(ours)
        batches = Batches.of(bus)
        assert batches is not None
        batches.rest()
        bus.connected = False
        batches.resume()
        assert not asyncio.get_running_loop().remove_reader(ours)


async def test_a_connection_of_an_unknown_kind_is_read_as_usual() -> None:
    assert Batches.of(object()) is None
