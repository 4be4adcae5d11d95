"""The whole daemon on devices that behave as users reported, and what reaches MQTT.

A test describes its device with the helpers below, starts the daemon with `Field.gateway`, and
compares what arrives at the topics of the peripheral.
"""

import asyncio
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue

from healthd.profiles import registry
from healthd.simulator.air import Air
from healthd.simulator.attributes import Number, readable, service
from healthd.simulator.device import VirtualDevice
from healthd.simulator.feed import ControlPoint
from healthd.simulator.part import Part, Payloads
from healthd.simulator.peripheral import VirtualPeripheral
from tests.end_to_end.simulated_gateway import BOUND_S, add, address, gateway
from tests.support.conformity import conform
from tests.support.subscriber import Subscriber

ROOT = "healthd/gateway"
# Keys that every sample has, and that differ from run to run.
ENVELOPE = ("id", "time", "clock", "seq")
SUCCESS = 0x01

_INFORMATION = {"manufacturer": 0x2A29, "model": 0x2A24, "serial": 0x2A25, "firmware": 0x2A26}

P = Characteristic.Properties


class Field:
    """A broker, a subscriber, and the daemon as often as a test starts it.

    Attributes:
        subscriber: has received everything since the beginning of the test.
        port: the broker's.
        settings: all sections without the peripherals; a test may change them.
        known: what the daemon reads; a test may add a profile.
    """

    def __init__(self, port: int, subscriber: Subscriber, settings: dict[str, Any]) -> None:
        self.subscriber = subscriber
        self.settings = settings
        self.port = port
        self.known = registry.load()

    @asynccontextmanager
    async def gateway(
        self, entry: Mapping[str, Any], *devices: VirtualDevice, **sections: Mapping[str, Any]
    ) -> AsyncGenerator[Air]:
        """Run the daemon with one peripheral in its settings and these devices in range.

        After the block the daemon has stopped and delivered everything, and all messages fulfil the
        published schema. A second block is a restart: with the same outbox, and with new devices.

        Args:
            entry: the peripheral in the settings.
            devices: what is in range from the beginning.
            sections: keys to add to sections of the settings, for example ``mqtt={...}``.
        """
        settings = dict(self.settings)
        for name, keys in sections.items():
            settings[name] = {**settings.get(name, {}), **keys}
        async with gateway(self.subscriber, settings, [entry], known=self.known) as air:
            await add(air, *devices)
            yield air
        conform(one for one in self.subscriber.messages if one.topic.startswith(f"{ROOT}/"))

    def request(self, verb: str, payload: str) -> None:
        """Publish a request; `mqtt` has to allow it: ``mqtt={"requests": [...]}``."""
        self.subscriber.send(f"{ROOT}/request/{verb}", payload)

    def received(self, peripheral: str, kind: str) -> list[dict[str, Any]]:
        """Return the payloads that arrived at a topic of a peripheral, whole."""
        messages = self.subscriber.at(f"{ROOT}/device/{peripheral}/{kind}")
        return [message.json() for message in messages if message.payload]

    def values(self, peripheral: str, kind: str) -> list[dict[str, Any]]:
        """Return the samples that arrived, without their id, time, clock and number."""
        return [without_envelope(one) for one in self.received(peripheral, kind)]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of a kind."""
        return [message.json() for message in self.subscriber.at(f"{ROOT}/event/{kind}")]

    async def until_values(
        self, peripheral: str, kind: str, number: int = 1, at_most: float = BOUND_S
    ) -> list[dict[str, Any]]:
        """Wait for a number of samples; return all that have arrived by then."""
        await self.until(lambda: len(self.received(peripheral, kind)) >= number, at_most)
        return self.values(peripheral, kind)

    async def until_info(
        self, peripheral: str, is_so: Callable[[dict[str, Any]], bool], at_most: float = BOUND_S
    ) -> dict[str, Any]:
        """Wait until the newest info of a peripheral fulfils a condition; return it."""

        def newest() -> dict[str, Any]:
            return (self.received(peripheral, "info") or [{}])[-1]

        await self.until(lambda: is_so(newest()), at_most)
        return newest()

    async def until(self, is_so: Callable[[], bool], at_most: float = BOUND_S) -> None:
        """Wait until a condition holds; it is checked whenever a message arrives."""
        await self.subscriber.until(lambda _: is_so(), at_most)

    async def retained(self, peripheral: str) -> dict[str, dict[str, Any]]:
        """Return what the broker retains of a peripheral, by the rest of the topic."""
        start, marker = f"{ROOT}/device/{peripheral}/", "tests/end-of-retained"
        async with Subscriber(self.port, f"{start}#", marker, name="late-subscriber") as late:
            late.send(marker)
            await late.until(lambda all_: any(one.topic == marker for one in all_))
            kept = [one for one in late.messages if one.retained and one.payload[:1] == b"{"]
        return {one.topic.removeprefix(start): without_envelope(one.json()) for one in kept}


def without_envelope(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a payload without the keys that differ from run to run."""
    return {key: value for key, value in payload.items() if key not in ENVELOPE}


def device(name: str, *parts: Part, number: int = 1) -> VirtualPeripheral:
    """Return a device with this advertised name; `number` is the end of its address."""
    return VirtualPeripheral(name, address(number), parts)


def part(
    number: Number,
    streams: Mapping[Characteristic[bytes], Payloads],
    *others: Characteristic[bytes],
    advertised: bool = True,
) -> Part:
    """Return a service: characteristics that send, and others."""
    return Part(service(number, [*streams, *others]), dict(streams), advertised)


def information(**texts: str) -> Part:
    """Return Device Information with a manufacturer, model, serial or firmware."""
    values = [readable(_INFORMATION[name], text.encode()) for name, text in texts.items()]
    return Part(service(0x180A, values))


def raw(
    number: Number,
    properties: Characteristic.Properties,
    value: bytes | Callable[[], bytes | Awaitable[bytes]] = b"",
) -> Characteristic[bytes]:
    """Return a characteristic with exactly these properties: ``raw(0x2A9D, P.READ | P.NOTIFY)``.

    Args:
        number: its number or UUID.
        properties: what a central may do with it.
        value: what is read; a function is called for each read, and may let the reader wait.
    """
    permissions = Characteristic.Permissions(0)
    if properties & P.READ:
        permissions |= Characteristic.READABLE
    if properties & (P.WRITE | P.WRITE_WITHOUT_RESPONSE):
        permissions |= Characteristic.WRITEABLE
    uuid = UUID(number) if isinstance(number, str) else UUID.from_16_bits(number)
    if isinstance(value, bytes):
        return Characteristic(uuid, properties, permissions, value)

    async def read(_connection: Connection) -> bytes:
        found = value()
        return found if isinstance(found, bytes) else await found

    return Characteristic(uuid, properties, permissions, CharacteristicValue[bytes](read=read))


def script(*steps: tuple[float, bytes]) -> Payloads:
    """Return a source of payloads, each after a pause in seconds; it starts with each link.

    After the last one nothing is sent, and the link stays.
    """

    async def payloads() -> AsyncGenerator[bytes, None]:
        for delay_s, payload in steps:
            await asyncio.sleep(delay_s)
            yield payload
        await asyncio.Event().wait()

    return payloads


def at_once(*values: str, pause_s: float = 0.05) -> Payloads:
    """Return a source that sends these values, in hex, shortly after one another."""
    return script(*((pause_s, bytes.fromhex(value)) for value in values))


def silent() -> Payloads:
    """Return a source that never sends anything."""
    return script()


def machine_features(features: int, targets: int = 0) -> Characteristic[bytes]:
    """Return Fitness Machine Feature (0x2ACC): both halves as bits."""
    return readable(0x2ACC, struct.pack("<II", features, targets))


class Machine:
    """The Fitness Machine Control Point (0x2AD9) of an odd machine.

    Attributes:
        writes: everything that was written to it, in hex.
        started: set once Start or Resume (0x07) was written.
        point: the control point.
        streams: for `part`, together with the machine's data.
    """

    def __init__(self, results: Callable[[bytes], int | None] = lambda _: SUCCESS) -> None:
        """Prepare.

        Args:
            results: returns the result code of a request; None: it does not answer.
        """
        self.writes: list[str] = []
        self.started = asyncio.Event()
        self._results = results
        self.point = ControlPoint(0x2AD9, self._answer)
        self.streams = {self.point.characteristic: self.point.feed.payloads}

    def _answer(self, request: bytes) -> bytes | None:
        self.writes.append(request.hex())
        result = self._results(request)
        if request[:1] == b"\x07" and result == SUCCESS:
            self.started.set()
        return None if result is None else bytes([0x80, request[0], result])
