"""A fake bluetoothd in its own process: the part of BlueZ that bleak and healthd use.

It owns org.bluez on the bus of DBUS_SYSTEM_BUS_ADDRESS. Devices advertise while a client scans, and
notify while a client is subscribed. It reads JSON commands from standard input, one per line. To
standard output it writes JSON lines: one for each method call, and one for each finished command.
"""

import asyncio
import json
import sys
from typing import Any, cast

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from tests.support import fake_cuff

# Fast enough for tests, slow enough that single messages do not matter.
PERIOD_S = 0.05

ADAPTER, DEVICE = "org.bluez.Adapter1", "org.bluez.Device1"
SERVICE, CHARACTERISTIC = "org.bluez.GattService1", "org.bluez.GattCharacteristic1"
OBJECTS, PROPERTIES = "org.freedesktop.DBus.ObjectManager", "org.freedesktop.DBus.Properties"

Objects = dict[str, dict[str, dict[str, Variant]]]


def uuid(number: str) -> str:
    """Return a Bluetooth UUID as BlueZ writes it."""
    return f"0000{number}-0000-1000-8000-00805f9b34fb"


def hex_bytes(value: str) -> Variant:
    """Return advertised data as BlueZ does."""
    return Variant("ay", bytes.fromhex(value))


MEASUREMENT = uuid("2a37")


class Refused(Exception):
    """An error reply: the name and the text of the D-Bus error."""


class FakeBlueZ:
    """The objects and the state of one bluetoothd."""

    def __init__(self, bus: MessageBus, setting: dict[str, Any]) -> None:
        """Prepare.

        ``setting`` has ``adapters`` (name: on), ``devices``, ``modalias``, ``notify_every``, and
        ``apart``: whether devices notify one after another, not all in the same round.
        """
        self.bus = bus
        self.objects: Objects = {}
        self.settings: dict[str, dict[str, Any]] = {}
        self.scanners: dict[str, set[str]] = {}
        self.filters: dict[str, dict[str, Any]] = {}
        self.sent: dict[str, dict[str, Any]] = {}
        self.written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.foreign: asyncio.Task[None] | None = None
        self.listened: dict[str, set[str]] = {}
        self.hanging: set[str] = set()
        self.failing: dict[str, tuple[str, str]] = {}
        self.agents: dict[str, tuple[str, str]] = {}
        self.objects["/org/bluez"] = {"org.bluez.AgentManager1": {}}
        self.modalias: str = setting["modalias"]
        self.notify_every: int = setting["notify_every"]
        self.apart: bool = setting["apart"]
        self.silent = self.muted = False
        self.pairings: dict[str, asyncio.Task[None]] = {}
        self.default_agent = ""
        self.cuffs: dict[str, fake_cuff.FakeCuff] = {}
        self.beat = 0
        for name, on in setting["adapters"].items():
            self.objects[f"/org/bluez/{name}"] = {ADAPTER: self.adapter(name, on)}
        for device in setting["devices"]:
            # An object keeps the path from when the device was first heard.
            heard = device.get("heard_as", device["address"])
            path = f"/org/bluez/{device['adapter']}/dev_{heard.replace(':', '_')}"
            self.settings[path] = device
            if (cuff := device.get("cuff")) is not None:
                self.cuffs[path] = fake_cuff.FakeCuff(cuff)
            if device.get("known") or device.get("connected"):
                self.objects[path] = {DEVICE: self.device(path)}
            if device.get("connected"):
                self.objects[path][DEVICE]["Connected"] = Variant("b", True)

    def adapter(self, name: str, on: bool) -> dict[str, Variant]:
        """Return the properties of an adapter."""
        return {
            "Address": Variant("s", "00:00:00:00:00:00"),
            "Name": Variant("s", name),
            "Powered": Variant("b", on),
            "Discovering": Variant("b", False),
            "Roles": Variant("as", ["central"]),
            "Modalias": Variant("s", self.modalias),
        }

    def device(self, path: str) -> dict[str, Variant]:
        """Return the properties of a device that is not connected."""
        setting = self.settings[path]
        name = setting["name"]
        return {
            "Address": Variant("s", setting["address"]),
            "AddressType": Variant("s", "random"),
            **({"Name": Variant("s", name)} if name else {}),
            "Alias": Variant("s", name or setting["address"].replace(":", "-")),
            "Adapter": Variant("o", path.rpartition("/")[0]),
            "UUIDs": Variant("as", setting.get("uuids", [uuid("180d")])),
            "Paired": Variant("b", bool(setting.get("bonded"))),
            "Bonded": Variant("b", bool(setting.get("bonded"))),
            "Connected": Variant("b", False),
            "ServicesResolved": Variant("b", False),
        }

    def data(self, path: str) -> dict[str, Variant]:
        """Return the data that a device advertises, as properties."""
        setting, properties = self.settings[path], dict[str, Variant]()
        if (by_company := setting.get("manufacturer_data")) is not None:
            values = {int(company, 16): hex_bytes(value) for company, value in by_company.items()}
            properties["ManufacturerData"] = Variant("a{qv}", values)
        if (by_uuid := setting.get("service_data")) is not None:
            values = {full: hex_bytes(value) for full, value in by_uuid.items()}
            properties["ServiceData"] = Variant("a{sv}", values)
        return properties

    def is_filtered(self, path: str) -> bool:
        """Return whether every client that scans asks for other devices."""
        setting, scanners = self.settings[path], self.scanners.get(path.rpartition("/")[0], set())
        patterns = [self.filters.get(client, {}).get("Pattern", "") for client in scanners]
        names = (setting["address"], setting["name"] or "")
        return not any(name.startswith(pattern) for pattern in patterns for name in names)

    # Signals

    def emit(self, path: str, interface: str, member: str, signature: str, *body: Any) -> None:
        """Send a signal."""
        signal = Message.new_signal(path, interface, member, signature, list(body))
        self.written = self.bus.send(signal)  # pyright: ignore[reportUnknownMemberType]

    def add(self, path: str, interface: str, properties: dict[str, Variant]) -> None:
        """Add an object."""
        self.objects[path] = {interface: properties}
        self.emit("/", OBJECTS, "InterfacesAdded", "oa{sa{sv}}", path, self.objects[path])

    def remove(self, path: str) -> None:
        """Remove an object, after all objects below it."""
        for child in [child for child in self.objects if child.startswith(f"{path}/")]:
            self.remove(child)
        interfaces = list(self.objects.pop(path, {}))
        self.listened.pop(path, None)
        if interfaces:
            self.emit("/", OBJECTS, "InterfacesRemoved", "oas", path, interfaces)

    def change(self, path: str, interface: str, **properties: Variant) -> None:
        """Change properties."""
        self.objects[path][interface].update(properties)
        self.emit(
            path, PROPERTIES, "PropertiesChanged", "sa{sv}as", interface, dict(properties), []
        )

    # What happens

    def power(self, path: str, on: bool) -> None:
        """Switch an adapter on or off."""
        if not on:
            self.scanners.pop(path, None)
            for device in [child for child in self.objects if child.startswith(f"{path}/dev_")]:
                if device in self.objects and DEVICE in self.objects[device]:
                    self.unlink(device)
        self.change(path, ADAPTER, Powered=Variant("b", on))

    def resolve(self, path: str) -> None:
        """Add the services of a linked device."""
        if path not in self.objects or not self.objects[path][DEVICE]["Connected"].value:
            return
        strap = {uuid("180d"): {MEASUREMENT: ["notify"]}}
        if not self.settings[path].get("empty"):
            self.add_services(path, fake_cuff.GATT if path in self.cuffs else strap)
        self.change(path, DEVICE, ServicesResolved=Variant("b", True))

    def add_services(self, path: str, gatt: dict[str, dict[str, list[str]]]) -> None:
        """Add services: UUIDs of characteristics and their flags, by UUID."""
        handle = 0
        for full, characteristics in gatt.items():
            handle += 1
            service = f"{path}/service{handle:04x}"
            properties = {
                "UUID": Variant("s", full),
                "Device": Variant("o", path),
                "Primary": Variant("b", True),
            }
            self.add(service, SERVICE, properties)
            for characteristic, flags in characteristics.items():
                handle += 1
                properties = {
                    "UUID": Variant("s", characteristic),
                    "Service": Variant("o", service),
                    "Flags": Variant("as", flags),
                    "Notifying": Variant("b", False),
                }
                self.add(f"{service}/char{handle:04x}", CHARACTERISTIC, properties)

    def unlink(self, path: str) -> None:
        """End a link."""
        if not self.objects[path][DEVICE]["Connected"].value:
            return
        for child in [child for child in self.objects if child.startswith(f"{path}/")]:
            self.remove(child)
        self.change(path, DEVICE, ServicesResolved=Variant("b", False))
        self.change(path, DEVICE, Connected=Variant("b", False))

    def tick(self) -> None:
        """Let unlinked devices advertise, and subscribed characteristics notify."""
        self.beat += 1
        for path, setting in self.settings.items():
            adapter = path.rpartition("/")[0]
            if self.silent or not self.scanners.get(adapter) or setting.get("away"):
                continue
            if self.is_filtered(path):
                continue
            rssi, data = {"RSSI": Variant("n", -50 - self.beat % 2)}, self.data(path)
            if path not in self.objects:
                self.add(path, DEVICE, {**self.device(path), **data, **rssi})
            elif not self.objects[path][DEVICE]["Connected"].value:
                self.change(
                    path, DEVICE, **(data if self.repeats(adapter, path, data) else {}), **rssi
                )
            self.sent[path] = data
        for path, listeners in self.listened.items():
            measures = self.objects[path][CHARACTERISTIC]["UUID"].value == MEASUREMENT
            is_due = not self.muted and self.beat % self.notify_every == self.turn(path)
            if measures and listeners and is_due:
                self.change(path, CHARACTERISTIC, Value=Variant("ay", bytes([0, self.beat % 256])))

    def turn(self, characteristic: str) -> int:
        """Return in which of ``notify_every`` rounds its device notifies."""
        if not self.apart:
            return 0
        number = list(self.settings).index(characteristic.partition("/service")[0])
        return number * self.notify_every // len(self.settings)

    def repeats(self, adapter: str, path: str, data: dict[str, Variant]) -> bool:
        """Return whether a signal has the advertised data: always, or only if it has changed."""
        clients = self.scanners.get(adapter, set())
        duplicates = any(self.filters.get(one, {}).get("DuplicateData") for one in clients)
        return duplicates or self.sent.get(path) != data

    async def advertise_foreign(self, adapter: str, count: int, per_s: float) -> None:
        """Let foreign devices advertise one after another while a client scans."""
        properties = {"name": "Foreign", "uuids": [uuid("fe9f")], "adapter": adapter}
        number, loop = 0, asyncio.get_running_loop()
        paths: list[str] = []
        for index in range(count):
            address = f"D0:00:00:00:{index >> 8:02X}:{index & 255:02X}"
            paths.append(f"/org/bluez/{adapter}/dev_{address.replace(':', '_')}")
            self.settings[paths[-1]] = {"address": address, "away": True, **properties}
        due = loop.time()
        while True:
            number, due = number + 1, due + 1 / per_s
            if (left := due - loop.time()) > 0:
                await asyncio.sleep(left)
            path = paths[number % count]
            if not self.scanners.get(f"/org/bluez/{adapter}") or self.is_filtered(path):
                continue
            payload = {"004c": bytes([number % 256] * 20).hex()}
            self.settings[path]["manufacturer_data"] = payload
            heard = {**self.data(path), "RSSI": Variant("n", -60 - number % 30)}
            if path in self.objects:
                self.change(path, DEVICE, **heard)
            else:
                self.add(path, DEVICE, {**self.device(path), **heard})
            # dbus-fast ends the connection if several messages wait and the socket is full.
            await self.written

    # Calls

    def on_message(self, message: Message) -> Message | bool | None:
        """Answer a call, or never, if that is set."""
        if message.message_type is MessageType.SIGNAL:
            if message.member == "NameOwnerChanged" and not message.body[2]:
                self.forget_client(message.body[0])
            return None
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        member, path = message.member or "", message.path or ""
        write_line({"call": member, "path": path, "sender": message.sender})
        if member in self.hanging:
            return True
        try:
            if member in self.failing:
                raise Refused(*self.failing[member])
            return self.answer(message, path, member)
        except Refused as refused:
            return Message.new_error(message, *refused.args)

    def answer(self, message: Message, path: str, member: str) -> Message | bool:
        """Return the reply to a call; True if it comes later."""
        done = Message.new_method_return(message)
        if member == "GetManagedObjects":
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [self.objects])
        if path not in self.objects:
            raise Refused("org.freedesktop.DBus.Error.UnknownObject", f"no object at {path}")
        match member:
            case "Set":
                interface, name, value = message.body
                if (interface, name) == (ADAPTER, "Powered"):
                    self.power(path, value.value)
                elif (interface, name) == (DEVICE, "Trusted"):
                    self.change(path, DEVICE, Trusted=value)
            case "StartDiscovery":
                self.start_discovery(path, message.sender or "")
            case "StopDiscovery":
                if (message.sender or "") not in self.scanners.get(path, set()):
                    raise Refused("org.bluez.Error.Failed", "No discovery started")
                self.scanners[path].discard(message.sender or "")
                self.end_scan(path)
            case "RemoveDevice":
                self.remove(message.body[0])
                self.settings[message.body[0]]["bonded"] = False
                self.settings[message.body[0]].update(
                    self.settings[message.body[0]].get("then", {})
                )
            case "RegisterAgent":
                if (sender := message.sender or "") in self.agents:
                    raise Refused("org.bluez.Error.AlreadyExists", "Already Exists")
                self.agents[sender] = (message.body[0], message.body[1])
            case "UnregisterAgent":
                if self.agents.pop(message.sender or "", None) is None:
                    raise Refused("org.bluez.Error.DoesNotExist", "Does Not Exist")
            case "RequestDefaultAgent":
                self.default_agent = message.sender or ""
            case "Pair":
                if self.objects[path][DEVICE]["Bonded"].value:
                    raise Refused("org.bluez.Error.AlreadyExists", "Already Exists")
                pairing = self.pair(message, path)
                self.pairings[path] = asyncio.create_task(pairing, name="pairing")
                return True
            case "CancelPairing":
                pass
            case "Connect":
                self.connect(path)
            case "Disconnect":
                self.unlink(path)
            case "StartNotify":
                self.listened.setdefault(path, set()).add(message.sender or "")
                self.on_subscribed(path)
            case "WriteValue":
                self.on_written(path, bytes(message.body[0]))
            case "StopNotify":
                self.listened.get(path, set()).discard(message.sender or "")
            case "SetDiscoveryFilter":
                found = {name: value.value for name, value in message.body[0].items()}
                self.filters[message.sender or ""] = found
                write_line({"filter": found})
            case _:
                raise Refused("org.freedesktop.DBus.Error.UnknownMethod", member)
        return done

    def end_scan(self, adapter: str) -> None:
        """Forget devices that cannot be connected, and all signal strengths, if no client scans."""
        if self.scanners[adapter]:
            return
        for path, setting in self.settings.items():
            if path not in self.objects or path.rpartition("/")[0] != adapter:
                continue
            if setting.get("connectable", True):
                self.objects[path][DEVICE].pop("RSSI", None)
                none: dict[str, Variant] = {}
                self.emit(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", DEVICE, none, ["RSSI"])
            else:
                self.remove(path)

    def start_discovery(self, path: str, sender: str) -> None:
        """Let a client scan; refuse a second scan of the same client, as BlueZ does."""
        if not self.objects[path][ADAPTER]["Powered"].value:
            raise Refused("org.bluez.Error.NotReady", "Resource Not Ready")
        if sender in self.scanners.setdefault(path, set()):
            raise Refused("org.bluez.Error.InProgress", "Operation already in progress")
        self.scanners[path].add(sender)

    def connect(self, path: str) -> None:
        """Link a device."""
        if self.objects[path][DEVICE]["Connected"].value:
            raise Refused("org.bluez.Error.AlreadyConnected", "Already Connected")
        self.change(path, DEVICE, Connected=Variant("b", True))
        asyncio.get_running_loop().call_later(PERIOD_S, self.resolve, path)

    async def pair(self, message: Message, path: str) -> None:
        """Pair as BlueZ does: link, ask the caller's agent, store the bond, resolve the address."""
        setting = self.settings[path]
        if not self.objects[path][DEVICE]["Connected"].value:
            self.connect(path)
        elif setting.get("stuck"):
            return  # as in BlueZ 5.82 after a pairing by itself has failed over this link
        if (error := await self.pairing_error(message.sender or "", path)) is not None:
            self.bus.send(  # pyright: ignore[reportUnknownMemberType]
                Message.new_error(message, f"org.bluez.Error.{error}", error)
            )
            return
        setting["bonded"] = True
        if identity := setting.get("identity"):
            setting["address"] = identity
            self.change(path, DEVICE, Address=Variant("s", identity))
        self.change(path, DEVICE, Bonded=Variant("b", True), Paired=Variant("b", True))
        self.bus.send(Message.new_method_return(message))  # pyright: ignore[reportUnknownMemberType]

    def on_subscribed(self, path: str) -> None:
        """Let a cuff ask for a bond."""
        device = path.partition("/service")[0]
        cuff, full = self.cuffs.get(device), self.objects[path][CHARACTERISTIC]["UUID"].value
        if cuff is not None and cuff.wants_bond(full):
            self.pairings[device] = asyncio.create_task(self.bond(device), name="asked to bond")

    async def bond(self, path: str) -> None:
        """Make the bond that a device has asked for, if the default agent agrees."""
        agent, _ = self.agents.get(self.default_agent, ("", ""))
        if not agent:
            return
        call = Message(
            destination=self.default_agent,
            path=agent,
            interface="org.bluez.Agent1",
            member="RequestAuthorization",
            signature="o",
            body=[path],
        )
        reply = await self.bus.call(call)
        if reply.message_type is not MessageType.ERROR:
            self.settings[path]["bonded"] = self.cuffs[path].bonded = True
            self.change(path, DEVICE, Bonded=Variant("b", True), Paired=Variant("b", True))

    def on_written(self, path: str, value: bytes) -> None:
        """Let a cuff answer a request."""
        write_line({"call": f"written {value.hex()}", "path": path})
        device = path.partition("/service")[0]
        full = self.objects[path][CHARACTERISTIC]["UUID"].value
        answer = self.cuffs[device].answer(full, value) if device in self.cuffs else b""
        if answer is None:
            self.unlink(device)
        elif answer and self.listened.get(path):
            self.change(path, CHARACTERISTIC, Value=Variant("ay", answer))

    async def pairing_error(self, client: str, path: str) -> str | None:
        """Pair the device with a client's agent; return the error if that fails."""
        setting = self.settings[path]
        agent, capability = self.agents.get(client, ("", "NoInputNoOutput"))
        write_line({"call": f"capability {capability}", "path": path})
        if setting.get("refuses"):
            return "AuthenticationFailed"
        if (wanted := setting.get("passkey")) is None:
            return None  # "just works": the caller of Pair has already agreed
        if capability == "NoInputNoOutput":
            return "AuthenticationFailed"
        call = Message(
            destination=client,
            path=agent,
            interface="org.bluez.Agent1",
            member="RequestPasskey",
            signature="o",
            body=[path],
        )
        reply = await self.bus.call(call)
        if reply.message_type is MessageType.ERROR:
            return "AuthenticationRejected"
        return None if reply.body == [wanted] else "AuthenticationFailed"

    def forget_client(self, client: str) -> None:
        """Remove a client that has left the bus from scanners and subscribers."""
        self.agents.pop(client, None)
        for clients in (*self.scanners.values(), *self.listened.values()):
            clients.discard(client)

    # Commands

    def rename(self, path: str) -> None:
        """Signal another name or other services of a device, if they have changed."""
        if path not in self.objects:
            return
        before, now = self.objects[path][DEVICE], self.device(path)
        changed = {name: now[name] for name in ("Name", "Alias", "UUIDs") if name in now}
        changed = {name: value for name, value in changed.items() if before.get(name) != value}
        if changed:
            self.change(path, DEVICE, **changed)

    def execute(self, do: str, **how: Any) -> None:
        """Carry out a command of a test."""
        adapter = f"/org/bluez/{how.get('adapter')}"
        match do:
            case "power":
                self.power(adapter, how["on"])
            case "plug":
                self.add(adapter, ADAPTER, self.adapter(how["adapter"], how["on"]))
            case "unplug":
                self.scanners.pop(adapter, None)
                self.remove(adapter)
            case "hang":
                self.hanging = set(how["members"])
            case "fail":
                self.failing = {
                    member: (error, text) for member, (error, text) in how["members"].items()
                }
            case "foreign":
                advertising = self.advertise_foreign(how["adapter"], how["count"], how["per_s"])
                self.foreign = asyncio.create_task(advertising, name="foreign")
            case "silence":
                self.silent = how["on"]
            case "mute":
                self.muted = how["on"]
            case "unlink":
                for path, setting in list(self.settings.items()):
                    if setting["address"] == how["address"]:
                        self.unlink(path)
            case "set":
                for path, setting in self.settings.items():
                    if setting["address"] == how["address"]:
                        setting.update(how["to"])
                        self.rename(path)
            case _:
                raise ValueError(do)


def write_line(line: dict[str, Any]) -> None:
    """Write one line for the test."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def main() -> None:
    """Serve until standard input ends."""
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    setting = json.loads(sys.argv[1])
    bluez, period_s = FakeBlueZ(bus, setting), setting["period_s"]
    bus.add_message_handler(bluez.on_message)
    rule = "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged'"
    await bus.call(
        Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="AddMatch",
            signature="s",
            body=[rule],
        )
    )
    await bus.request_name("org.bluez")
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    write_line({"ready": True})
    commands = asyncio.create_task(execute_all(reader, bluez), name="commands")
    while not commands.done():
        bluez.tick()
        await asyncio.sleep(period_s)
    await commands


async def execute_all(reader: asyncio.StreamReader, bluez: FakeBlueZ) -> None:
    """Execute the commands, one per line."""
    async for line in reader:
        bluez.execute(**cast("dict[str, Any]", json.loads(line)))
        write_line({"done": True})


if __name__ == "__main__":
    asyncio.run(main())
