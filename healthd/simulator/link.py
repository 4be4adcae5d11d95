"""A link as the central sees it: it ends once, and all its requests end with it."""

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
        ended: Done once the link has ended; its result is the HCI reason.
    """

    def __init__(self, connection: Connection, hang_up: Callable[[], None]) -> None:
        """Follow the state of a connection.

        Args:
            connection: The connection, which may have ended just before this call.
            hang_up: Ends the connection from this side.
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

    async def request(self, procedure: Callable[[GattClient], Coroutine[Any, Any, _T]]) -> _T:
        """Run an ATT procedure, unless the link ends first.

        If the caller is cancelled, the procedure still runs to its end, as in bluetoothd: a late
        response must not be taken for the response to the next request.

        Raises:
            BleakGATTProtocolError: The peripheral responded with an ATT error.
            BleakError: There is no link, or it was lost meanwhile.
        """
        if not self.is_up:
            raise BleakError("Not connected")
        task = asyncio.create_task(procedure(self.gatt), name="simulator: ATT request")
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
        # Bumble cancels only the request that waits for a response; the others are still queued.
        # Python 3.11's wait_for swallows a cancellation that coincides with a response; the next
        # request would then wait for half a minute. So cancel in every iteration of the event loop
        # until all requests have ended, which takes a few iterations.
        for task in self._requests:
            task.cancel()
        if self._requests:
            asyncio.get_running_loop().call_soon(self._cancel_requests)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._requests.discard(task)
        if not task.cancelled():
            task.exception()  # Mark it as retrieved, in case the caller was cancelled.
