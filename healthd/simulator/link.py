"""One link, seen from the central: it ends once, and every request ends with it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from bleak.exc import BleakError, BleakGATTProtocolError
from bumble.att import ATT_Error
from bumble.core import BaseBumbleError
from bumble.device import Connection
from bumble.hci import HCI_ErrorCode

from healthd.simulator.gatt import GattClient

_T = TypeVar("_T")


class Link:
    """A link to one peripheral.

    Attributes:
        gatt: bumble's GATT client on this link.
        ended: done, with the HCI reason, once the link has ended.
    """

    def __init__(self, connection: Connection, hang_up: Callable[[], None]) -> None:
        """Watch a connection.

        Args:
            connection: the connection, which may have ended a moment ago.
            hang_up: ends the connection from this side.
        """
        self.gatt = cast(GattClient, connection.gatt_client)
        self.hang_up = hang_up
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._requests: set[asyncio.Task[Any]] = set()
        connection.on(connection.EVENT_DISCONNECTION, self._on_end)
        if connection.device.lookup_connection(connection.handle) is not connection:
            self.ended.set_result(HCI_ErrorCode.CONNECTION_FAILED_TO_BE_ESTABLISHED_ERROR)

    @property
    def is_up(self) -> bool:
        """Whether the link still exists."""
        return not self.ended.done()

    @property
    def mtu(self) -> int:
        """The ATT MTU that both sides agreed on, in bytes."""
        return self._connection.att_mtu

    async def ask(self, request: Callable[[GattClient], Coroutine[Any, Any, _T]]) -> _T:
        """Carry out an ATT procedure, unless the link ends first.

        A cancelled caller stops waiting, but the procedure goes on to its end, as it does in
        bluetoothd: an answer that comes late must not be taken for the answer to the next request.

        Raises:
            BleakGATTProtocolError: the peripheral answered with an ATT error.
            BleakError: the link is, or was, lost.
        """
        if not self.is_up:
            raise BleakError("Not connected")
        task = asyncio.create_task(request(self.gatt))
        self._requests.add(task)
        task.add_done_callback(self._forget)
        await asyncio.wait({task, self.ended}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done() or task.cancelled():
            raise BleakError("Disconnected while a request was pending")
        try:
            return task.result()
        except ATT_Error as error:
            raise BleakGATTProtocolError(int(error.error_code)) from error
        except BaseBumbleError as error:
            raise BleakError(f"the request failed: {error}") from error

    def _on_end(self, reason: int) -> None:
        self.ended.set_result(reason)
        self._cancel_requests()

    def _cancel_requests(self) -> None:
        # Bumble cancels the request that waits for an answer; others queue behind it. Python
        # 3.11's wait_for swallows a cancellation that meets an answer, and the next request would
        # wait for half a minute: hence again, for the few turns of the loop that it takes.
        for task in self._requests:
            task.cancel()
        if self._requests:
            asyncio.get_running_loop().call_soon(self._cancel_requests)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._requests.discard(task)
        if not task.cancelled():
            task.exception()  # Seen, also when nobody waits for it any more.
