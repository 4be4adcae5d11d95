"""Simulated straps, the daemon in this process, a subscriber, and a record of what each saw."""

import asyncio
import statistics
import struct
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from healthd.central.link import Backends
from healthd.gateway import daemon as daemon_module
from healthd.gateway.daemon import Daemon
from healthd.gateway.pipeline import Pipeline
from healthd.profiles import registry
from healthd.profiles.characteristic import Characteristic
from healthd.samples import Measurement
from healthd.settings.model import Settings
from healthd.simulator.air import Air
from healthd.simulator.part import Sent
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import chest_strap
from tests.support.conformity import conform
from tests.support.streams import Stream, streams
from tests.support.subscriber import Subscriber

_REGISTRY = registry.load()
_HEART_RATE = "2a37"
# Keys that do not come from the strap's own packet.
_ADDED = ("id", "time", "clock", "seq", "rr_offsets_ms")
BOUND_S = 20.0


class NumberedHeart:
    """Payloads that all differ, so that none can be confused with another."""

    def __init__(self) -> None:
        self._made = 0

    def payload(self, elapsed: float) -> bytes:
        """See ``HeartSource``; the number is sent as the expended energy."""
        self._made += 1
        flags = 0b11110  # contact supported and detected, energy, RR
        rate, interval = 50 + self._made % 100, 500 + self._made % 500
        return struct.pack("<BBHH", flags, rate, self._made % 0x10000, interval)

    def reset_energy(self) -> None:
        """See ``HeartSource``; the number is not reset."""


@dataclass
class Strap:
    """One strap, and its heart-rate notifications at both ends of the link.

    Attributes:
        id: the id of the peripheral in the settings.
        peripheral: the simulated device, which can be made to fail.
        sent: payloads passed to the link, in order.
        received: payloads that reached the daemon's pipeline, in order.
        link_ends: for each ended link, how many payloads had been sent.
        recoveries_s: seconds from the end of each fault to the first sample at a subscriber.
    """

    id: str
    peripheral: VirtualPeripheral
    sent: list[bytes] = field(default_factory=list[bytes])
    received: list[bytes] = field(default_factory=list[bytes])
    link_ends: list[int] = field(default_factory=list[int])
    recoveries_s: list[float] = field(default_factory=list[float])

    async def note_link_ends(self) -> None:
        """Note each end of a link, forever; a new link takes far longer than noticing its end."""
        while True:
            await self.peripheral.linked.wait()
            await self.peripheral.unlinked.wait()
            self.link_ends.append(len(self.sent))

    def lost_on_air(self) -> list[int]:
        """Return the positions in ``sent`` of lost payloads; check the order of all others."""
        lost: list[int] = []
        received = iter(self.received)
        expected = next(received, None)
        for position, payload in enumerate(self.sent):
            if payload == expected:
                expected = next(received, None)
            else:
                lost.append(position)
        assert expected is None, f"{self.id}: received a payload that was not sent, or out of order"
        return lost


class StrapRig:
    """Straps, daemon and subscriber; an asynchronous context manager around the whole run.

    Attributes:
        straps: by id.
        subscriber: an independent subscriber at the broker.
        heard: set whenever the daemon has received a value.
        air: the simulated radio, to which a test can add devices.
    """

    def __init__(
        self,
        folder: Path,
        broker_port: int,
        patch: pytest.MonkeyPatch,
        *,
        straps: int,
        period_s: float,
        daemon_port: int | None = None,
        silence: Mapping[int, str] | None = None,
        requests: Sequence[str] = (),
        version: str = "5",
    ) -> None:
        """Prepare.

        Args:
            folder: where the outbox is created.
            broker_port: port that the subscriber connects to.
            patch: replaces the daemon's pipeline by one that records values.
            straps: number of straps; their ids are ``strap-1`` and so on.
            period_s: seconds between two notifications of a strap.
            daemon_port: port that the daemon connects to, if not the broker's own.
            silence: by number of the strap, its ``silence`` in the settings.
            requests: verbs that the settings allow.
            version: version of MQTT that the daemon uses.
        """
        self.straps: dict[str, Strap] = {}
        self.subscriber = Subscriber(broker_port)
        entries: list[dict[str, str]] = []
        for number in range(1, straps + 1):
            identity, address = f"strap-{number}", f"C0:5E:5E:00:00:{number:02X}"
            peripheral = chest_strap(
                f"Strap {number}",
                address,
                NumberedHeart(),
                period=period_s,
                record=lambda sent, identity=identity: self._on_sent(identity, sent),
            )
            self.straps[identity] = Strap(identity, peripheral)
            entries.append({"id": identity, "address": address})
            if silence and number in silence:
                entries[-1]["silence"] = silence[number]
        self._settings = Settings.model_validate(
            {
                "gateway": {"id": "gateway"},
                "mqtt": {
                    "brokers": [f"127.0.0.1:{daemon_port or broker_port}"],
                    "requests": requests,
                    "version": version,
                },
                # The outbox writes as much at its start as it may hold.
                "outbox": {"directory": folder / "outbox", "max_size": "16MB"},
                "peripherals": entries,
            }
        )
        self.heard = asyncio.Event()
        self._stop = asyncio.Event()
        self._stack = AsyncExitStack()
        patch.setattr(daemon_module, "Pipeline", self._tapped_pipeline())

    async def __aenter__(self) -> Self:
        """Start everything; no strap is in range yet."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.subscriber)
            self.air = air = await stack.enter_async_context(Air())
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            for strap in self.straps.values():
                await air.add(strap.peripheral)
                noting = tasks.create_task(strap.note_link_ends())
                stack.callback(noting.cancel)
            backends = Backends(air.scanner_backend, air.client_backend)
            daemon = Daemon(self._settings, _REGISTRY, {}, backends)
            running = tasks.create_task(daemon.run(self._stop))
            stack.push_async_callback(asyncio.wait, [running])
            stack.callback(self._stop.set)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the daemon cleanly, then everything else."""
        await self._stack.__aexit__(exc_type, exc, traceback)

    async def stop(self) -> None:
        """Stop the daemon, and wait for its last message."""
        since = len(self.subscriber.messages)
        self._stop.set()
        await self.subscriber.until_payload("healthd/gateway/status", b"offline", since=since)

    def topic(self, strap: Strap, last: str) -> str:
        """Return a topic of a strap."""
        return f"healthd/gateway/device/{strap.id}/{last}"

    async def appear(self) -> None:
        """Bring every strap into range."""
        for strap in self.straps.values():
            await strap.peripheral.appear()

    async def until_streaming(self, *straps: Strap) -> None:
        """Wait until two samples of each strap have arrived at the subscriber."""
        for strap in straps:
            live = self.topic(strap, "heart_rate")
            await self.subscriber.until(
                lambda all_, live=live: sum(m.topic == live for m in all_) >= 2, BOUND_S
            )

    async def until_published(self, strap: Strap, since: int, status: bytes, **info: Any) -> None:
        """Wait until this status and info are published, after the first ``since`` messages."""
        await self.subscriber.until_payload(
            self.topic(strap, "status"), status, since=since, at_most=BOUND_S
        )
        where = self.topic(strap, "info")
        await self.subscriber.until(
            lambda all_: any(
                m.topic == where and info.items() <= m.json().items() for m in all_[since:]
            ),
            BOUND_S,
        )

    async def until_recovered(self, strap: Strap) -> None:
        """Wait for the next new sample, and note how long it takes."""
        loop = asyncio.get_running_loop()
        started, received = loop.time(), len(strap.received)
        await self.until_received(strap, 1)
        number = _number(strap.received[received])
        live = self.topic(strap, "heart_rate")
        arrived = await self.subscriber.until(
            lambda all_: next(
                (m for m in all_ if m.topic == live and m.json()["energy_expended_kj"] == number),
                None,
            ),
            BOUND_S,
        )
        strap.recoveries_s.append(arrived.at - started)

    async def until_received(self, strap: Strap, count: int) -> None:
        """Wait until the daemon has received ``count`` more values of the strap."""
        wanted = len(strap.received) + count
        async with asyncio.timeout(BOUND_S):
            while len(strap.received) < wanted:
                self.heard.clear()
                await self.heard.wait()

    async def until_delivered(self) -> None:
        """Wait until everything that the daemon has received by now is delivered."""
        wanted = {strap.id: len(strap.received) for strap in self.straps.values()}

        def enough() -> bool:
            return all(
                self.delivered(strap).samples.keys() >= {*range(1, wanted[strap.id] + 1)}
                for strap in self.straps.values()
            )

        await self.subscriber.until(lambda _: enough(), BOUND_S)

    def delivered(self, strap: Strap) -> Stream:
        """Return the heart rates of a strap as the subscriber received them."""
        runs = streams(self.subscriber.messages, self.topic(strap, "heart_rate"))
        assert len(runs) == 1, (strap.id, list(runs))
        return next(iter(runs.values()))

    def check(self) -> None:
        """Check that all that was sent was received and delivered, according to the contract."""
        if self._settings.mqtt.version == "5":  # only MQTT 5 has the properties that it checks
            conform(self.subscriber.messages)
        for strap in self.straps.values():
            # Only what was on the air when a link ended may be lost.
            assert set(strap.lost_on_air()) <= {end - 1 for end in strap.link_ends}, strap.id
            stream = self.delivered(strap)
            stream.check()
            payloads = [stream.samples[seq] for seq in sorted(stream.samples)]
            values = [
                {key: value for key, value in payload.items() if key not in _ADDED}
                for payload in payloads
            ]
            expected = [_decoded(value).fields() for value in strap.received]
            assert values == expected, (strap.id, len(values), len(expected))
            ids = [payload["id"] for payload in payloads]
            assert len(set(ids)) == len(ids)

    def summary(self) -> str:
        """Return all counts in one line."""
        all_ = self.straps.values()
        delivered = [self.delivered(strap) for strap in all_]
        recoveries = sorted(one for strap in all_ for one in strap.recoveries_s)
        line = (
            f"{len(self.straps)} straps, sent {sum(len(s.sent) for s in all_)}, "
            f"received by the daemon {sum(len(s.received) for s in all_)}, "
            f"delivered {sum(len(s.samples) for s in delivered)}, "
            f"of these as history {sum(len(s.history) for s in delivered)}, "
            f"duplicates {sum(s.duplicates for s in delivered)}"
        )
        if recoveries:
            line += (
                f", {len(recoveries)} recoveries in {recoveries[0]:.2f}/"
                f"{statistics.median(recoveries):.2f}/{recoveries[-1]:.2f} s (min/median/max)"
            )
        return line

    def _on_sent(self, identity: str, sent: Sent) -> None:
        if registry.canonical_uuid(sent.uuid) == _HEART_RATE:
            self.straps[identity].sent.append(sent.payload)

    def _tapped_pipeline(self) -> type[Pipeline]:
        rig = self

        class Tapped(Pipeline):
            """The daemon's pipeline, which also records heart rates."""

            def on_value(
                self, peripheral: str, characteristic: Characteristic, value: bytes
            ) -> None:
                if characteristic.uuid == _HEART_RATE:
                    rig.straps[peripheral].received.append(value)
                    rig.heard.set()
                super().on_value(peripheral, characteristic, value)

        return Tapped


def _decoded(value: bytes) -> Measurement:
    return _REGISTRY.characteristics[_HEART_RATE].decode(value)


def _number(value: bytes) -> int:
    return int(_decoded(value).fields()["energy_expended_kj"])
