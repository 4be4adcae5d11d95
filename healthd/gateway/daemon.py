"""The composition root: builds every part once, then starts and stops them in order."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Literal

from healthd import __version__
from healthd.central.link import Backends
from healthd.events import AdapterChange, AdapterEvent, ClockEvent
from healthd.gateway.attribution import Attribution
from healthd.gateway.broker_side import BrokerSide
from healthd.gateway.captures import Captures
from healthd.gateway.control_socket import ControlSocket
from healthd.gateway.handlers import PeripheralRequests, ScanRequests
from healthd.gateway.held_results import HeldResults
from healthd.gateway.hooks import Hooks
from healthd.gateway.peripherals import Difference, PeripheralSet
from healthd.gateway.pipeline import Pipeline
from healthd.gateway.radio_side import RadioSide
from healthd.gateway.reload import FILES_TIMEOUT_S, Reload, Source
from healthd.gateway.sessions import SessionFactory
from healthd.gateway.surroundings import Surroundings
from healthd.host import build, descriptors
from healthd.host.folders import runtime_folder, state_folder
from healthd.host.in_thread import run_in_thread
from healthd.host.time_zone import LocalZone
from healthd.log import get_logger
from healthd.mqtt.endpoints import endpoints
from healthd.mqtt.health import Health
from healthd.mqtt.payloads import GatewayInfo
from healthd.mqtt.requests import Requests
from healthd.outbox.continuity import RunFile
from healthd.outbox.outbox import Outbox
from healthd.profiles.link_state import Timed
from healthd.profiles.records import Records
from healthd.profiles.registry import Registry
from healthd.runs import Run
from healthd.samples import Stamp
from healthd.sessions.schedule_file import ScheduleFile
from healthd.settings.keys import Keys
from healthd.settings.model import Settings
from healthd.supervision.notify import Manager, status_line
from healthd.supervision.supervisor import Service, ServiceGroup, Supervisor, root_cause
from healthd.supervision.watchdog import Gate


class Daemon:
    """One gateway, from its settings to a clean stop.

    The radio side and the broker side meet in the pipeline, which turns what sessions read into
    samples for the outbox, and in the requests, which arrive over MQTT and act on sessions.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        environ: Mapping[str, str],
        backends: Backends | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        """Build every part; nothing runs yet. Call it inside the event loop.

        Args:
            settings: as read from the file.
            registry: what healthd can read.
            environ: the process's environment (state folder, credentials).
            backends: replace the system's Bluetooth; None for BlueZ.
            surroundings: clock, host and randomness; None for the real ones.

        Raises:
            Fatal: a file that the settings name cannot be used.
        """
        self._log = get_logger()
        self._environ = environ
        self._registry = registry
        self._surroundings = around = surroundings or Surroundings()
        self._run = run = Run(around.clock, environ, around.run)
        self._manager = Manager(environ)
        self._supervisor = supervisor = Supervisor(around.jitter())
        self._services, self._sessions = ServiceGroup(supervisor), ServiceGroup(supervisor)

        runtime, gateway = runtime_folder(environ), settings.gateway.id
        folder = state_folder(settings.outbox.directory, environ)
        self._outbox = outbox = Outbox(run, settings.outbox, folder, RunFile(runtime, gateway))
        self._broker = broker = BrokerSide.build(settings, registry, environ, run, outbox, folder)
        self._radio = side = RadioSide.build(
            settings.bluetooth, backends, runtime, self._on_adapter, broker.devices.on_bond
        )
        radio, publisher = side.radio, broker.publisher
        zone = LocalZone(environ)
        zone()  # an unknown one is logged at the start
        self._held = HeldResults(folder)
        self._attribution = Attribution(folder, run.clock, zone)
        hooks = Hooks(broker.on_live, self._attribution.finish, self._on_held)
        self._pipeline = pipeline = Pipeline(run, outbox, broker.devices, registry, hooks)
        schedule, keys = ScheduleFile(folder), Keys(folder)
        factory = SessionFactory(
            radio, registry, pipeline, run, schedule, keys, zone, around.jitter
        )
        self._peripherals = peripherals = PeripheralSet(
            factory, self._sessions, pipeline, radio, side.bonds, publisher
        )
        for peripheral in peripherals.prepare(settings.peripherals).values():
            peripherals.add(peripheral)
        self._use_people(settings)

        on_peripherals = PeripheralRequests(peripherals.sessions)
        handlers = {"scan": ScanRequests(radio, registry).scan, **on_peripherals.handlers}
        allowed = settings.mqtt.requests
        self._requests = Requests(
            broker.topics, handlers, allowed, publisher.publish_once, run.clock
        )
        self._requests.replies.allow(settings.mqtt.response_topics, settings.mqtt.discovery)
        self._requests.subscribe(broker.inbox)
        self._stop_line = self._requests.open_line(broker.inbox)
        publisher.on_connection = self._stop_line.use
        self._captures = Captures(
            radio,
            side.adapters,
            peripherals.entry_of,
            folder,
            run.id,
            has_bluez=side.watch is not None,
        )
        self._captures.use(settings.capture)
        self._control = ControlSocket(
            runtime, gateway, {"fetch": on_peripherals.fetch}, {"capture": self._captures.stream}
        )
        self._reload = Reload(settings, self._apply, self._manager)
        retain_health = partial(publisher.retain, broker.topics.health)
        self._health = Health(outbox, broker.devices, retain_health, radio.airtime.counters)

    async def run(self, stop: asyncio.Event, source: Source | None = None) -> None:
        """Run until ``stop`` is set, then stop cleanly: first links, then samples, then the status.

        Args:
            stop: ends the run.
            source: where new settings come from; None if they cannot be reloaded.

        Raises:
            Fatal: the outbox cannot be opened.
            CrashLoop: a service failed with bugs again and again.
            Leak: file descriptors leaked, which caused this clean stop.
        """
        self._log.info("started", version=__version__, run=self._run.id, **build.fields())
        if not self._peripherals.ids:
            self._log.warning(
                "no peripherals in the settings",
                expected="[[peripherals]] entries",
                hint="sudo healthd scan",
            )
        watching = asyncio.create_task(self._watch_descriptors(stop), name="file descriptors")
        self._broker.go_online()
        self._publish_info()
        try:
            async with self._held, self._outbox, self._services:
                await self._serve(stop, source)
        except ExceptionGroup as group:
            raise root_cause(group) from group
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        self._log.info("stopped")
        if not watching.cancelled():
            watching.result()

    async def _serve(self, stop: asyncio.Event, source: Source | None) -> None:
        self._pipeline.start(self._held.read(self._registry))
        await self._outbox.forget_missing(self._peripherals.ids)
        await self._broker.clear_removed()
        services: dict[str, Service] = {
            "outbox": self._outbox.run,
            "held results": self._held.run,
            **self._broker.services,
            **self._radio.services,
            "stop requests": self._stop_line.run,
            "people": self._attribution.run,
            "clock": self._watch_clock,
            "control": self._control.run,
            "capture": self._captures.run,
            "watchdog": Gate(self._manager, self._supervisor, self._describe).run,
        }
        if self._surroundings.has_health:
            services["health"] = self._health.run
        for name, service in services.items():
            self._services.start(name, service, get_logger(service=name))
        try:
            await self._run_sessions(stop, source)
        finally:
            await self._requests.end()
            # Even if a service gave up: clients must not believe that this gateway is online.
            await self._broker.go_offline()
            self._services.cancel(*services)
            await self._services.wait_ended(*services)
            await self._attribution.save()

    async def _run_sessions(self, stop: asyncio.Event, source: Source | None) -> None:
        """Keep every peripheral's session running until ``stop``; on return all links are closed.

        Reloads settings in the meantime.
        """
        async with self._sessions, asyncio.TaskGroup() as tasks:
            self._peripherals.start()
            reloading = tasks.create_task(self._reload.run(source), name="reload")
            try:
                await stop.wait()
            finally:
                # Even if a service gave up: from here on systemd limits the time to stop.
                self._manager.stopping()
            self._log.info("stopping")
            reloading.cancel()
            await asyncio.wait([reloading])
            await self._peripherals.stop()

    async def _apply(self, settings: Settings) -> Difference:
        """Run with these settings from now on; see ``reload.Apply``."""
        wanted = self._peripherals.prepare(settings.peripherals)
        read = partial(endpoints, settings, self._broker.topics, self._environ)
        brokers = await run_in_thread(read, FILES_TIMEOUT_S)
        change = await self._peripherals.change(wanted)
        self._requests.replies.allow(settings.mqtt.response_topics, settings.mqtt.discovery)
        await self._outbox.forget_missing(self._peripherals.ids)
        self._requests.allow(settings.mqtt.requests, self._broker.inbox)
        self._use_people(settings)
        self._captures.use(settings.capture)
        self._broker.discovery.apply(settings)
        self._broker.devices.report()
        self._publish_info()
        if brokers != self._broker.brokers:
            await self._broker.go_offline()
            self._services.cancel("mqtt")
            await self._services.wait_ended("mqtt")
            self._broker.use(brokers)
            self._broker.go_online()
            self._services.start("mqtt", self._broker.publisher.run, get_logger(service="mqtt"))
        return change

    def _use_people(self, settings: Settings) -> None:
        self._attribution.use(settings.people)
        self._broker.publisher.use_people(person.id for person in settings.people)

    def _on_held(
        self, peripheral: str, held: Collection[Timed], records: Records, now: Stamp
    ) -> None:
        self._held.note(peripheral, held, records, now)
        self._attribution.note_held(peripheral, held)

    async def waiting(self) -> int:
        """Return how many samples the broker has not acknowledged; the outbox must be open."""
        stats = await self._outbox.stats()
        return stats["in_memory"] + stats["on_disk"]

    async def _describe(self) -> str:
        """Return the status line for systemd; it includes an answer of the outbox's thread."""
        return status_line(self._broker.devices.states(), await self.waiting())

    async def _watch_descriptors(self, stop: asyncio.Event) -> None:
        """Stop cleanly if file descriptors leak; the exit code makes systemd start a new process.

        Raises:
            Leak: see ``descriptors.watch``.
        """
        try:
            await descriptors.watch()
        except descriptors.Leak as leak:
            self._log.error("leak", error=str(leak))
            stop.set()
            raise

    def _publish_info(self) -> None:
        info = GatewayInfo(
            version=__version__,
            host=self._surroundings.host,
            run=self._run.id,
            profiles=list(self._registry.profiles),
            peripherals=self._peripherals.ids,
            adapters=sorted(self._radio.adapters.powered),
            requests=list(self._requests.allowed),
        )
        self._broker.announce(info.model_copy(update=build.fields()))

    def _on_adapter(self, change: AdapterChange, adapter: str, detail: str) -> None:
        self._log.warning("adapter", change=change, adapter=adapter, detail=detail)
        self._publish_info()
        self._captures.on_adapter(change, adapter, detail)
        event = AdapterEvent(change=change, adapter=adapter, detail=detail)
        self._outbox.put(self._run.event(event))

    async def _watch_clock(self, mark_healthy: Callable[[], None]) -> None:
        mark_healthy()
        on_step, on_synced = partial(self._on_clock, "step"), partial(self._on_clock, "synced")
        await self._run.clock.watch(on_step, on_synced)

    def _on_clock(self, change: Literal["step", "synced"], step_s: float) -> None:
        step_s = round(step_s, 3)
        self._log.warning("clock", change=change, step_s=step_s)
        self._outbox.put(self._run.event(ClockEvent(change=change, step_s=step_s)))
