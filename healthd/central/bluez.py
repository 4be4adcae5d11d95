"""BlueZ over a D-Bus connection of our own; the only importer of dbus-fast.

It does what bleak does not: it follows the owner of org.bluez and the power of the adapters, and
every call has a timeout and fails with a fault of the table in ``central.faults``.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.unpack import unpack_variants

from healthd.central.agent import Agent, Refusal
from healthd.central.device import Device, device_of
from healthd.central.faults import faults_raised, faults_suppressed, refused
from healthd.supervision.deadline import timeout

# bluetoothd answers in milliseconds, or in about 2 s if it waits for the controller.
CALL_TIMEOUT_S = 10.0

# Connecting (20 s), typing six digits (BlueZ gives an agent 60 s), and exchanging keys (the
# Security Manager gives up after 30 s).
PAIR_TIMEOUT_S = 110.0

_BLUEZ = "org.bluez"
_DBUS = "org.freedesktop.DBus"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_OBJECTS = "org.freedesktop.DBus.ObjectManager"
_ADAPTER = "org.bluez.Adapter1"
_DEVICE = "org.bluez.Device1"
_AGENT = "org.bluez.Agent1"
_AGENTS = "org.bluez.AgentManager1"
_AGENT_PATH = "/org/healthd/agent"

_SIGNALS = (
    f"type='signal',sender='{_DBUS}',member='NameOwnerChanged',arg0='{_BLUEZ}'",
    f"type='signal',sender='{_BLUEZ}',interface='{_OBJECTS}'",
    # Only adapters: devices change with every advertisement, and bleak follows those.
    f"type='signal',sender='{_BLUEZ}',interface='{_PROPERTIES}',arg0='{_ADAPTER}'",
)


class Listener(Protocol):
    """Receives changes in BlueZ. Called in the event loop; must not block."""

    def on_owner(self, *, present: bool) -> None:
        """Handle that bluetoothd has started, or has ended and forgotten everything."""
        ...

    def on_adapter(self, name: str, powered: bool | None) -> None:
        """Handle that an adapter is on (True), off (False) or gone (None)."""
        ...

    def on_forgotten(self, path: str) -> None:
        """Handle that BlueZ has forgotten the device of this object."""
        ...


class BlueZ:
    """One D-Bus connection; used as ``async with BlueZ.connected() as bluez``."""

    def __init__(self, bus: MessageBus, listener: Listener | None) -> None:
        """Use ``connected`` instead."""
        self._bus = bus
        self._listener = listener
        self._agent: Agent | None = None
        self._owner = ""
        self._answers: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def connected(cls, listener: Listener | None = None) -> AsyncGenerator["BlueZ"]:
        """Connect to the system bus; ``listener``, if any, receives all changes from now on.

        Raises:
            LinkFault: there is no bus, or it does not answer.
        """
        bus = MessageBus(bus_type=BusType.SYSTEM)
        bluez = cls(bus, listener)
        try:
            with faults_raised():
                async with timeout(CALL_TIMEOUT_S):
                    await bus.connect()
            bus.add_message_handler(bluez._on_message)
            for rule in _SIGNALS if listener else ():
                await bluez._call(_DBUS, "/org/freedesktop/DBus", _DBUS, "AddMatch", "s", rule)
            yield bluez
        finally:
            bus.disconnect()

    async def lost(self) -> None:
        """Wait until the connection to D-Bus ends.

        Raises:
            LinkFault: always, when the connection has ended.
        """
        with faults_raised():
            await self._bus.wait_for_disconnect()
        raise refused(f"{_DBUS}.Error.Disconnected", "the connection was closed")

    async def is_there(self) -> bool:
        """Return whether bluetoothd runs, without starting it on demand."""
        path, member = "/org/freedesktop/DBus", "NameHasOwner"
        return (await self._call(_DBUS, path, _DBUS, member, "s", _BLUEZ))[0]

    async def state(self) -> tuple[dict[str, bool], list[Device]]:
        """Return whether each adapter is on, and every device."""
        adapters, devices = await self.objects()
        return {name: properties["Powered"] for name, properties in adapters.items()}, devices

    async def objects(self) -> tuple[dict[str, dict[str, Any]], list[Device]]:
        """Return the properties of every adapter, and every device."""
        [objects] = await self._call(_BLUEZ, "/", _OBJECTS, "GetManagedObjects")
        adapters: dict[str, dict[str, Any]] = {}
        devices: list[Device] = []
        for path, interfaces in unpack_variants(objects).items():
            if _ADAPTER in interfaces:
                adapters[_name(path)] = interfaces[_ADAPTER]
            if _DEVICE in interfaces:
                devices.append(device_of(path, interfaces[_DEVICE]))
        return adapters, devices

    async def set_powered(self, adapter: str, on: bool) -> None:
        """Switch an adapter on or off."""
        body = (_ADAPTER, "Powered", Variant("b", on))
        await self._call(_BLUEZ, f"/org/bluez/{adapter}", _PROPERTIES, "Set", "ssv", *body)

    async def disconnect(self, device: str) -> None:
        """End the link of a device, including one that another program made."""
        await self._call(_BLUEZ, device, _DEVICE, "Disconnect")

    async def remove(self, device: str) -> None:
        """Make BlueZ forget a device, its services, and its bond if it has one."""
        adapter = device.rpartition("/")[0]
        await self._call(_BLUEZ, adapter, _ADAPTER, "RemoveDevice", "o", device)

    async def scan(self, adapter: str, on: bool) -> None:
        """Start or stop our own discovery; those of other programs are not affected."""
        member = "StartDiscovery" if on else "StopDiscovery"
        await self._call(_BLUEZ, f"/org/bluez/{adapter}", _ADAPTER, member)

    @asynccontextmanager
    async def answering(self, agent: Agent, *, is_default: bool = False) -> AsyncGenerator[None]:
        """Let an agent answer what BlueZ asks while the block runs.

        It is registered only for this time: each pairing has its own capability, and no agent has
        to be registered again after a restart of bluetoothd.

        Args:
            agent: answers for one device.
            is_default: also answer as the machine's default agent: BlueZ asks that one if a device
                that is already connected wants to be paired.

        Raises:
            LinkFault: BlueZ refuses it.
        """
        path, member = "/org/freedesktop/DBus", "GetNameOwner"
        [self._owner] = await self._call(_DBUS, path, _DBUS, member, "s", _BLUEZ)
        body = (_AGENT_PATH, agent.capability)
        self._agent = agent
        try:
            await self._call(_BLUEZ, "/org/bluez", _AGENTS, "RegisterAgent", "os", *body)
            if is_default:
                await self._call(
                    _BLUEZ, "/org/bluez", _AGENTS, "RequestDefaultAgent", "o", _AGENT_PATH
                )
            yield
        finally:
            self._agent = None
            for task in self._answers:
                task.cancel()
            with faults_suppressed():
                await self._call(_BLUEZ, "/org/bluez", _AGENTS, "UnregisterAgent", "o", _AGENT_PATH)

    async def pair(
        self,
        device: str,
        agent: Agent,
        *,
        is_default: bool = False,
        timeout_s: float = PAIR_TIMEOUT_S,
    ) -> None:
        """Pair with a device; connect to it first if it is not connected.

        Args:
            device: its object.
            agent: answers what BlueZ asks.
            is_default: also answer as the machine's default agent: BlueZ announces that agent's
                capability, not this one's, to a device that is already connected.
            timeout_s: how long it may take.

        Raises:
            LinkFault: the pairing failed.
        """
        async with self.answering(agent, is_default=is_default):
            await self._call(_BLUEZ, device, _DEVICE, "Pair", timeout_s=timeout_s)

    async def trust(self, device: str) -> None:
        """Let a device connect without asking the user, from now on."""
        body = (_DEVICE, "Trusted", Variant("b", True))
        await self._call(_BLUEZ, device, _PROPERTIES, "Set", "ssv", *body)

    async def cancel_pairing(self, device: str) -> None:
        """Cancel a pairing and end the link that was made for it. Never raises."""
        with faults_suppressed():
            await self._call(_BLUEZ, device, _DEVICE, "CancelPairing")
        with faults_suppressed():
            await self.disconnect(device)

    async def _call(
        self,
        to: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        *body: Any,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> list[Any]:
        message = Message(
            destination=to,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        if not self._bus.connected:
            # Cleaning up after a lost connection: dbus-fast would write to a closed file.
            raise refused(f"{_DBUS}.Error.Disconnected", "the connection was closed")
        with faults_raised():
            try:
                async with timeout(timeout_s):
                    reply = await self._bus.call(message)
            except TimeoutError as error:
                raise TimeoutError(f"no answer to {member} in {timeout_s:.0f} s") from error
        if reply.message_type is MessageType.ERROR:
            text = " ".join(map(str, reply.body))
            raise refused(reply.error_name or "", text)
        return reply.body

    def _on_message(self, message: Message) -> Message | bool | None:
        if message.message_type is MessageType.METHOD_CALL:
            return self._on_call(message)
        if message.message_type is MessageType.SIGNAL and self._listener is not None:
            self._on_signal(message, self._listener)
        return None

    def _on_call(self, message: Message) -> Message | bool | None:
        """Pass calls to the agent, but only those from BlueZ: a passkey is a secret."""
        if message.interface != _AGENT or message.path != _AGENT_PATH:
            return None
        if self._agent is None or message.sender != self._owner:
            return Message.new_error(
                message, f"{_BLUEZ}.Error.Rejected", "no pairing is in progress"
            )
        task = asyncio.create_task(self._answer(self._agent, message), name="pairing agent")
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)
        return True

    async def _answer(self, agent: Agent, message: Message) -> None:
        try:
            signature, body = await agent.answer(message.member or "", message.body)
        except Refusal as refusal:
            answer = Message.new_error(message, f"{_BLUEZ}.Error.Rejected", str(refusal))
        else:
            answer = Message.new_method_return(message, signature, body)
        await self._bus.send(answer)  # pyright: ignore[reportUnknownMemberType]

    def _on_signal(self, message: Message, listener: Listener) -> None:
        body: list[Any] = message.body
        match message.member:
            case "NameOwnerChanged" if body[0] == _BLUEZ:
                listener.on_owner(present=bool(body[2]))
            case "InterfacesAdded" if _ADAPTER in body[1]:
                listener.on_adapter(_name(body[0]), body[1][_ADAPTER]["Powered"].value)
            case "InterfacesRemoved" if _ADAPTER in body[1]:
                listener.on_adapter(_name(body[0]), None)
            case "InterfacesRemoved" if _DEVICE in body[1]:
                listener.on_forgotten(body[0])
            case "PropertiesChanged" if body[0] == _ADAPTER and "Powered" in body[1]:
                listener.on_adapter(_name(message.path or ""), body[1]["Powered"].value)
            case _:
                pass


def _name(path: str) -> str:
    return path.rpartition("/")[2]
