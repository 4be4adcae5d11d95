"""Composition root: every part is built once, here, and started and stopped in order."""

import asyncio
import random
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

from healthd import __version__, build, descriptors
from healthd.central.adapters import Adapters
from healthd.central.bonds import Bonds
from healthd.central.link import Backends
from healthd.central.match import match_for
from healthd.central.radio import Radio
from healthd.central.recovery import Recovery
from healthd.central.session import State
from healthd.central.slots import Slots
from healthd.central.watch import Watch
from healthd.clock import Clock
from healthd.control import Control
from healthd.events import AdapterChange, AdapterEvent, ClockEvent
from healthd.folders import runtime_folder, state_folder
from healthd.handlers import PeripheralRequests, ScanRequests
from healthd.log import get_logger
from healthd.mqtt.devices import Devices
from healthd.mqtt.discovery import Discovery
from healthd.mqtt.endpoints import endpoints
from healthd.mqtt.health import Health
from healthd.mqtt.inbox import Inbox
from healthd.mqtt.payloads import GatewayInfo
from healthd.mqtt.publisher import Publisher
from healthd.mqtt.requests import Requests
from healthd.mqtt.topics import Topics
from healthd.outbox.continuity import Notebook
from healthd.outbox.outbox import Outbox
from healthd.pipeline import Pipeline
from healthd.profiles.records import Records
from healthd.profiles.registry import Registry
from healthd.runs import Run
from healthd.schedule import local_zone
from healthd.schedule_file import ScheduleFile
from healthd.sessions import Sessions, local_time, options_for, wish_for
from healthd.settings import Settings
from healthd.supervision.notify import Manager, status_line
from healthd.supervision.supervisor import Service, Supervisor, root_cause
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
        self._run = run = Run(Clock(), environ)
        self._manager = Manager(environ)
        self._supervisor = Supervisor(random.Random())
        self._topics = topics = Topics(settings.mqtt.prefix, settings.gateway.id)
        runtime = runtime_folder(environ)
        notebook = Notebook(runtime, settings.gateway.id)
        folder = state_folder(settings.outbox, environ)
        self._outbox = outbox = Outbox(run, settings.outbox, folder, notebook)
        brokers, inbox = endpoints(settings, topics, environ), Inbox()
        self._publisher = publisher = Publisher(brokers, topics, outbox, run, inbox)
        self._discovery = discovery = Discovery(topics, publisher, inbox, folder, registry)
        discovery.apply(settings)
        self._devices = Devices(topics, publisher.retain, discovery.on_info)
        self._records = {
            one.id: Records(partial(outbox.settle, one.id)) for one in settings.peripherals
        }
        zone = partial(local_zone, environ.get("TZ"))
        time_here = partial(local_time, run.clock, zone)
        options = {
            one.id: options_for(one, self._records[one.id], time_here)
            for one in settings.peripherals
        }
        periodic = [one.id for one in settings.peripherals if one.periodic]
        self._pipeline = Pipeline(
            run, outbox, self._devices, registry, options, periodic, discovery.on_sample
        )
        matches = [match_for(peripheral, registry) for peripheral in settings.peripherals]
        wishes = {one.id: wish_for(one) for one in settings.peripherals}
        bluetooth, recovery = settings.bluetooth, Recovery()
        self._adapters = adapters = Adapters(bluetooth.adapter, followed=backends is None)
        slots = Slots(bluetooth.slots)
        self._radio = Radio(backends or Backends(), matches, slots, adapters, recovery)
        retain_health = partial(publisher.retain, topics.health)
        airtime = self._radio.airtime.counters
        self._health = Health(outbox, self._devices, retain_health, airtime)
        self._watch: Watch | None = None
        if backends is None:
            self._watch = Watch(
                self._radio,
                adapters,
                recovery,
                matches,
                self._on_adapter,
                bonds=Bonds(wishes, self._devices.on_bond),
                power_on=bluetooth.power_on,
                reset_file=None if runtime is None else runtime / "reset-adapter",
            )
        file = ScheduleFile(folder)
        sessions = Sessions(self._radio, registry, self._pipeline, run, file, zone)
        self._sessions = {
            one.id: sessions.make(one, match, options[one.id])
            for one, match in zip(settings.peripherals, matches, strict=True)
        }
        of_peripherals = PeripheralRequests(self._sessions)
        scan = ScanRequests(self._radio, registry).scan
        handlers = {"scan": scan, **of_peripherals.handlers}
        self._allowed = settings.mqtt.requests
        self._requests = Requests(topics, handlers, self._allowed, publisher.answer)
        self._requests.attend(inbox)
        self._control = Control(runtime, settings.gateway.id, {"fetch": of_peripherals.fetch})
        self._profiles = list(registry.profiles)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set, then stop cleanly: links, samples, farewell, in this order.

        Raises:
            Fatal: the outbox cannot be opened.
            CrashLoop: a service failed with bugs again and again.
            Leak: file descriptors leaked; it has stopped cleanly because of it.
        """
        self._log.info("started", version=__version__, run=self._run.id, **build.told())
        if not self._sessions:
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
                await self._serve(services, stop)
        except ExceptionGroup as group:
            raise root_cause(group) from group
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        self._log.info("stopped")
        if not watching.cancelled():
            watching.result()

    async def _serve(self, services: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        self._pipeline.start()
        for peripheral, records in self._records.items():
            records.inherit(self._outbox.records.get(peripheral, {}))
        kept: list[tuple[str, Service]] = [
            ("outbox", self._outbox.run),
            ("mqtt", self._publisher.run),
            ("radio", self._radio.run),
            ("health", self._health.run),
            ("discovery", self._discovery.run),
            ("clock", self._watch_clock),
            ("control", self._control.run),
            ("watchdog", Gate(self._manager, self._supervisor, self._describe).run),
        ]
        if self._watch is not None:
            kept.append(("bluez", self._watch.run))
        background = [
            services.create_task(self._supervisor.keep(service, get_logger(service=name)))
            for name, service in kept
        ]
        try:
            await self._run_sessions(stop)
        finally:
            await self._requests.end()
            # Also when a service gave up: nobody must believe that this gateway is still online.
            await self._publisher.finish(self._topics.status, b"offline")
            for task in background:
                task.cancel()

    async def _run_sessions(self, stop: asyncio.Event) -> None:
        """Keep every peripheral's session alive until ``stop``; on return all links are closed."""
        async with asyncio.TaskGroup() as sessions:
            tasks = [
                sessions.create_task(
                    self._supervisor.keep(session.run, get_logger(peripheral=peripheral))
                )
                for peripheral, session in self._sessions.items()
            ]
            try:
                await stop.wait()
            finally:
                # Also when a service gave up: what is left to do is bounded by systemd's patience.
                self._manager.stopping()
            self._log.info("stopping")
            for task in tasks:
                task.cancel()
        for peripheral in self._sessions:
            self._devices.on_state(peripheral, State.DISABLED.value, "stopped")

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
            peripherals=list(self._sessions),
            adapters=sorted(self._adapters.powered),
            requests=list(self._allowed),
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
