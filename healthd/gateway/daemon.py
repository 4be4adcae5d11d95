"""Composition root: every part is built once, here, and started and stopped in order."""

import asyncio
import random
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

from healthd import __version__
from healthd.central.adapters import Adapters
from healthd.central.bonds import Bonds
from healthd.central.link import Backends
from healthd.central.radio import Radio
from healthd.central.recovery import Recovery
from healthd.central.slots import Slots
from healthd.central.watch import Watch
from healthd.events import AdapterChange, AdapterEvent, ClockEvent
from healthd.gateway.control_socket import ControlSocket
from healthd.gateway.handlers import PeripheralRequests, ScanRequests
from healthd.gateway.peripherals import Difference, PeripheralSet
from healthd.gateway.pipeline import Pipeline
from healthd.gateway.reload import Reload, Source
from healthd.gateway.sessions import SessionFactory
from healthd.host import build, descriptors
from healthd.host.clock import Clock
from healthd.host.folders import runtime_folder, state_folder
from healthd.log import get_logger
from healthd.mqtt.devices import Devices
from healthd.mqtt.discovery import Discovery
from healthd.mqtt.endpoints import Endpoint, endpoints
from healthd.mqtt.health import Health
from healthd.mqtt.inbox import Inbox
from healthd.mqtt.payloads import GatewayInfo
from healthd.mqtt.publisher import Publisher
from healthd.mqtt.requests import Requests
from healthd.mqtt.retained_topics import RetainedTopics
from healthd.mqtt.topics import Topics
from healthd.outbox.continuity import RunFile
from healthd.outbox.outbox import Outbox
from healthd.profiles.registry import Registry
from healthd.runs import Run
from healthd.schedule import local_zone
from healthd.sessions.schedule_file import ScheduleFile
from healthd.settings.model import Settings
from healthd.supervision.notify import Manager, status_line
from healthd.supervision.supervisor import Service, ServiceGroup, Supervisor, root_cause
from healthd.supervision.watchdog import Gate


class Daemon:
    """One gateway, from settings to a clean stop."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        environ: Mapping[str, str],
        backends: Backends | None = None,
    ) -> None:
        """Build every part; nothing runs yet. Call it inside the event loop.

        Args:
            settings: as read from the file.
            registry: what healthd can read.
            environ: the process's environment (state folder, credentials).
            backends: stand in for the system's Bluetooth.

        Raises:
            Fatal: a file that the settings name cannot be used.
        """
        self._log = get_logger()
        self._environ = environ
        self._run = run = Run(Clock(), environ)
        self._manager = Manager(environ)
        self._supervisor = Supervisor(random.Random())
        self._topics = topics = Topics(settings.mqtt.prefix, settings.gateway.id)
        runtime = runtime_folder(environ)
        run_file = RunFile(runtime, settings.gateway.id)
        folder = state_folder(settings.outbox.directory, environ)
        self._outbox = outbox = Outbox(run, settings.outbox, folder, run_file)
        self._brokers = endpoints(settings, topics, environ)
        self._inbox, self._retained = inbox, retained = Inbox(), RetainedTopics(folder)
        self._publisher = publisher = Publisher(self._brokers, topics, outbox, run, inbox, retained)
        self._discovery = discovery = Discovery(topics, publisher, inbox, folder, registry)
        discovery.apply(settings)
        self._devices = Devices(topics, publisher.retain, discovery.on_info)
        self._pipeline = pipeline = Pipeline(
            run, outbox, self._devices, registry, discovery.on_sample
        )
        bluetooth, recovery = settings.bluetooth, Recovery()
        self._adapters = adapters = Adapters(bluetooth.adapter, followed=backends is None)
        slots, bonds = Slots(bluetooth.slots), Bonds(self._devices.on_bond)
        self._radio = radio = Radio(backends or Backends(), slots, adapters, recovery)
        retain_health = partial(publisher.retain, topics.health)
        self._health = Health(outbox, self._devices, retain_health, radio.airtime.counters)
        self._watch: Watch | None = None
        if backends is None:
            self._watch = Watch(
                radio,
                adapters,
                recovery,
                self._on_adapter,
                bonds=bonds,
                power_on=bluetooth.power_on,
                reset_file=None if runtime is None else runtime / "reset-adapter",
            )
        zone = partial(local_zone, environ.get("TZ"))
        sessions = SessionFactory(radio, registry, pipeline, run, ScheduleFile(folder), zone)
        self._peripherals = PeripheralSet(sessions, pipeline, radio, bonds, publisher)
        for peripheral in self._peripherals.prepare(settings.peripherals).values():
            self._peripherals.add(peripheral)
        self._reload = Reload(settings, self._apply, self._manager)
        of_peripherals = PeripheralRequests(self._peripherals.sessions)
        scan = ScanRequests(radio, registry).scan
        handlers = {"scan": scan, **of_peripherals.handlers}
        self._requests = Requests(topics, handlers, settings.mqtt.requests, publisher.publish_once)
        self._requests.subscribe(inbox)
        self._control = ControlSocket(runtime, settings.gateway.id, {"fetch": of_peripherals.fetch})
        self._profiles = list(registry.profiles)

    async def run(self, stop: asyncio.Event, source: Source | None = None) -> None:
        """Run until ``stop`` is set, then stop cleanly: links, samples, farewell, in this order.

        Args:
            stop: ends it.
            source: of settings that take the place of those it was made with; None: there are none.

        Raises:
            Fatal: the outbox cannot be opened.
            CrashLoop: a service failed with bugs again and again.
            Leak: file descriptors leaked; it has stopped cleanly because of it.
        """
        self._log.info("started", version=__version__, run=self._run.id, **build.told())
        if not self._peripherals.ids:
            self._log.warning(
                "no peripherals in the settings",
                expected="[[peripherals]] entries",
                hint="sudo healthd scan",
            )
        watching = asyncio.create_task(self._watch_descriptors(stop))
        self._publisher.retain(self._topics.status, b"online")
        self._tell_info()
        try:
            async with self._outbox, asyncio.TaskGroup() as services:
                await self._serve(services, stop, source)
        except ExceptionGroup as group:
            raise root_cause(group) from group
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        self._log.info("stopped")
        if not watching.cancelled():
            watching.result()

    async def _serve(
        self, services: asyncio.TaskGroup, stop: asyncio.Event, source: Source | None
    ) -> None:
        self._pipeline.start()
        for peripheral in self._retained.removed_peripherals():
            self._publisher.clear_retained(peripheral)
        # Before anything is retained: what nobody remembers is never taken back.
        await self._retained.save()
        kept: dict[str, Service] = {
            "outbox": self._outbox.run,
            "mqtt": self._publisher.run,
            "retained": self._retained.run,
            "radio": self._radio.run,
            "health": self._health.run,
            "discovery": self._discovery.run,
            "clock": self._watch_clock,
            "control": self._control.run,
            "watchdog": Gate(self._manager, self._supervisor, self._describe).run,
        }
        if self._watch is not None:
            kept["bluez"] = self._watch.run
        self._services = ServiceGroup(self._supervisor, services)
        for name, service in kept.items():
            self._services.start(name, service, get_logger(service=name))
        try:
            await self._run_sessions(stop, source)
        finally:
            await self._requests.end()
            # Also when a service gave up: nobody must believe that this gateway is still online.
            await self._publisher.drain_and_disconnect(self._topics.status, b"offline")
            self._services.cancel(*kept)

    async def _run_sessions(self, stop: asyncio.Event, source: Source | None) -> None:
        """Keep every peripheral's session alive until ``stop``; on return all links are closed."""
        async with asyncio.TaskGroup() as sessions:
            self._peripherals.start(ServiceGroup(self._supervisor, sessions))
            reloading = sessions.create_task(self._reload.run(source))
            try:
                await stop.wait()
            finally:
                # Also when a service gave up: what is left to do is bounded by systemd's patience.
                self._manager.stopping()
            self._log.info("stopping")
            reloading.cancel()
            await asyncio.wait([reloading])
            await self._peripherals.stop()

    async def _apply(self, settings: Settings) -> Difference:
        """Run with these settings from now on; see ``reload.Apply``."""
        wanted = self._peripherals.prepare(settings.peripherals)
        brokers = await asyncio.to_thread(endpoints, settings, self._topics, self._environ)
        change = await self._peripherals.change(wanted)
        self._requests.allow(settings.mqtt.requests, self._inbox)
        self._discovery.apply(settings)
        self._tell_info()
        if brokers != self._brokers:
            await self._move(brokers)
        return change

    async def _move(self, brokers: tuple[Endpoint, ...]) -> None:
        """Take leave of the broker that there is, and begin anew with these; links stay."""
        await self._publisher.drain_and_disconnect(self._topics.status, b"offline")
        self._services.cancel("mqtt")
        await self._services.ended("mqtt")
        self._publisher.set_endpoints(brokers)
        self._brokers = brokers
        self._publisher.retain(self._topics.status, b"online")
        self._services.start("mqtt", self._publisher.run, get_logger(service="mqtt"))

    async def _describe(self) -> str:
        stats = await self._outbox.stats()
        return status_line(self._devices.states(), stats["in_memory"] + stats["on_disk"])

    async def _watch_descriptors(self, stop: asyncio.Event) -> None:
        """Stop cleanly when they leak; the exit code then has systemd start a new process."""
        try:
            await descriptors.watch()
        except descriptors.Leak as leak:
            self._log.error("leak", error=str(leak))
            stop.set()
            raise

    def _tell_info(self) -> None:
        info = GatewayInfo(
            version=__version__,
            host=socket.gethostname(),
            run=self._run.id,
            profiles=self._profiles,
            peripherals=self._peripherals.ids,
            adapters=sorted(self._adapters.powered),
            requests=list(self._requests.allowed),
        )
        self._publisher.retain(self._topics.info, info.model_copy(update=build.told()))

    def _on_adapter(self, change: AdapterChange, adapter: str, detail: str) -> None:
        self._log.warning("adapter", change=change, adapter=adapter, detail=detail)
        self._tell_info()
        self._outbox.put(
            self._run.event(AdapterEvent(change=change, adapter=adapter, detail=detail))
        )

    async def _watch_clock(self, mark_healthy: Callable[[], None]) -> None:
        mark_healthy()

        def tell(change: Literal["step", "synced"], step_s: float) -> None:
            self._log.warning("clock", change=change, step_s=round(step_s, 3))
            self._outbox.put(self._run.event(ClockEvent(change=change, step_s=round(step_s, 3))))

        await self._run.clock.watch(partial(tell, "step"), partial(tell, "synced"))
