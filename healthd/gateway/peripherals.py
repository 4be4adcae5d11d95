"""The peripherals of the settings, each with a session that is kept running."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from healthd.central.bonds import Bonds
from healthd.central.radio import Radio
from healthd.gateway.entry import Peripheral
from healthd.gateway.pipeline import Pipeline
from healthd.gateway.sessions import AnySession, SessionFactory
from healthd.log import get_logger
from healthd.mqtt.publisher import Publisher
from healthd.sessions.session import State
from healthd.settings.model import PeripheralSettings
from healthd.supervision.supervisor import ServiceGroup


class Difference(NamedTuple):
    """What changes with new settings: peripheral ids, in the order of the settings they are in.

    Attributes:
        added: only in the new settings.
        changed: in both, with a different entry.
        removed: only in the old settings.
        unchanged: in both, with the same entry.
    """

    added: list[str]
    changed: list[str]
    removed: list[str]
    unchanged: list[str]


def difference(before: Mapping[str, Peripheral], after: Mapping[str, Peripheral]) -> Difference:
    """Compare peripherals by id; their order does not matter."""
    common = [peripheral for peripheral in after if peripheral in before]
    return Difference(
        added=[peripheral for peripheral in after if peripheral not in before],
        changed=[peripheral for peripheral in common if after[peripheral] != before[peripheral]],
        removed=[peripheral for peripheral in before if peripheral not in after],
        unchanged=[peripheral for peripheral in common if after[peripheral] == before[peripheral]],
    )


class PeripheralSet:
    """All peripherals of the running gateway.

    Attributes:
        sessions: by id; follows the settings.
    """

    def __init__(
        self,
        factory: SessionFactory,
        services: ServiceGroup,
        pipeline: Pipeline,
        radio: Radio,
        bonds: Bonds,
        publisher: Publisher,
    ) -> None:
        """Start with no peripherals.

        Args:
            factory: makes the sessions.
            services: runs the sessions.
            pipeline: observes the sessions.
            radio: finds the peripherals and links to them.
            bonds: pairs with them.
            publisher: manages their retained topics.
        """
        self.sessions: dict[str, AnySession] = {}
        self._peripherals: dict[str, Peripheral] = {}
        self._factory = factory
        self._services = services
        self._pipeline = pipeline
        self._radio = radio
        self._bonds = bonds
        self._publisher = publisher

    @property
    def ids(self) -> list[str]:
        """The ids of all peripherals, in the order of the settings."""
        return list(self._peripherals)

    def entry_of(self, peripheral: str) -> PeripheralSettings | None:
        """Return the settings of a peripheral; None if there is no such peripheral."""
        known = self._peripherals.get(peripheral)
        return None if known is None else known.entry

    def prepare(self, entries: Iterable[PeripheralSettings]) -> dict[str, Peripheral]:
        """Read the entries and the files they name; return the peripherals by id.

        Raises:
            Fatal: one of the files cannot be used.
        """
        return {entry.id: self._factory.prepare(entry) for entry in entries}

    def add(self, peripheral: Peripheral) -> None:
        """Add a peripheral to every part; ``start`` starts its session."""
        self._radio.add(peripheral.match)
        self._admit(peripheral)

    def start(self) -> None:
        """Start the sessions of all peripherals."""
        for peripheral in self.sessions:
            self._start_session(peripheral)

    async def stop(self) -> None:
        """End all sessions; on return all links are closed."""
        self._services.cancel(*self.ids)
        await self._wait_ended(self.ids)

    async def change(self, wanted: Mapping[str, Peripheral]) -> Difference:
        """Replace the current peripherals with these; unchanged ones are left alone."""
        change = difference(self._peripherals, wanted)
        starting, ending = [*change.added, *change.changed], [*change.changed, *change.removed]
        self._services.cancel(*ending)
        # Before their links are closed: otherwise a less specific entry could claim one of their
        # devices in between.
        for peripheral in starting:
            self._radio.add(wanted[peripheral].match)
        await self._wait_ended(ending)
        for peripheral in ending:
            self._forget(peripheral)
        for peripheral in change.removed:
            self._radio.remove(peripheral)
            self._publisher.clear_retained(peripheral)
        for peripheral in starting:
            self._admit(wanted[peripheral])
            self._start_session(peripheral)
        self._radio.check_devices()
        self._peripherals = dict(wanted)
        return change

    def _admit(self, peripheral: Peripheral) -> None:
        entry = peripheral.entry
        self._publisher.track_retained(entry.id)
        self._pipeline.add(entry.id, peripheral.options, periodic=entry.periodic)
        self._bonds.add(entry.id, peripheral.bond)
        self.sessions[entry.id] = self._factory.make(peripheral)
        self._peripherals[entry.id] = peripheral

    def _start_session(self, peripheral: str) -> None:
        session = self.sessions[peripheral]
        self._services.start(peripheral, session.run, get_logger(peripheral=peripheral))

    async def _wait_ended(self, peripherals: Iterable[str]) -> None:
        await self._services.wait_ended(*peripherals)
        for peripheral in peripherals:
            # A session that was waiting for its restart reports no state itself.
            self._pipeline.on_state(peripheral, State.DISABLED, "stopped")

    def _forget(self, peripheral: str) -> None:
        self._pipeline.remove(peripheral)
        self._bonds.remove(peripheral)
        del self.sessions[peripheral], self._peripherals[peripheral]
