"""The peripherals of the settings: known to every part, each with a session that is kept alive."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from healthd.central.bonds import Bonds
from healthd.central.radio import Radio
from healthd.gateway.entry import Peripheral
from healthd.gateway.pipeline import Pipeline
from healthd.gateway.sessions import SessionFactory
from healthd.log import get_logger
from healthd.mqtt.publisher import Publisher
from healthd.sessions.periodic import Periodic
from healthd.sessions.session import Session, State
from healthd.settings.model import PeripheralSettings
from healthd.supervision.supervisor import ServiceGroup


class Difference(NamedTuple):
    """What other settings change; ids, in the order of the settings that have them.

    Attributes:
        added: were not there before.
        changed: are other ones than before.
        removed: are not there any more.
        unchanged: are the same.
    """

    added: list[str]
    changed: list[str]
    removed: list[str]
    unchanged: list[str]


def difference(before: Mapping[str, Peripheral], after: Mapping[str, Peripheral]) -> Difference:
    """What has become of the peripherals, by id; their order means nothing."""
    kept = [one for one in after if one in before]
    return Difference(
        added=[one for one in after if one not in before],
        changed=[one for one in kept if after[one] != before[one]],
        removed=[one for one in before if one not in after],
        unchanged=[one for one in kept if after[one] == before[one]],
    )


class PeripheralSet:
    """All of them.

    Attributes:
        sessions: by id; follows the settings.
    """

    def __init__(
        self,
        sessions: SessionFactory,
        pipeline: Pipeline,
        radio: Radio,
        bonds: Bonds,
        publisher: Publisher,
    ) -> None:
        """Begin with none.

        Args:
            sessions: makes the sessions.
            pipeline: observes them.
            radio: finds and links their devices.
            bonds: pairs with them.
            publisher: keeps topics for them.
        """
        self.sessions: dict[str, Session | Periodic] = {}
        self._known: dict[str, Peripheral] = {}
        self._maker = sessions
        self._pipeline = pipeline
        self._radio = radio
        self._bonds = bonds
        self._publisher = publisher
        self._kept: ServiceGroup

    @property
    def ids(self) -> list[str]:
        """Of all, in the order of the settings."""
        return list(self._known)

    def prepare(self, entries: Iterable[PeripheralSettings]) -> dict[str, Peripheral]:
        """What the entries and the files that they name say, by id.

        Raises:
            Fatal: one of the files cannot be used.
        """
        return {one.id: self._maker.prepare(one) for one in entries}

    def add(self, peripheral: Peripheral) -> None:
        """Make one known to every part; its session begins with ``start``."""
        self._radio.add(peripheral.match)
        self._begin(peripheral)

    def start(self, kept: ServiceGroup) -> None:
        """Keep their sessions alive from now on."""
        self._kept = kept
        for one in self.sessions:
            self._keep(one)

    async def stop(self) -> None:
        """End all sessions; on return all links are closed."""
        self._kept.cancel(*self.ids)
        await self._ended(self.ids)

    async def change(self, wanted: Mapping[str, Peripheral]) -> Difference:
        """Have these in the place of those that there are; who is the same stays untouched."""
        change = difference(self._known, wanted)
        coming, leaving = [*change.added, *change.changed], [*change.changed, *change.removed]
        self._kept.cancel(*leaving)
        # Before their links are closed: no vaguer one may take a device in between.
        for one in coming:
            self._radio.add(wanted[one].match)
        await self._ended(leaving)
        for one in leaving:
            self._forget(one)
        for one in change.removed:
            self._radio.remove(one)
            self._publisher.withdraw(one)
        for one in coming:
            self._begin(wanted[one])
            self._keep(one)
        self._radio.check_devices()
        self._known = dict(wanted)
        return change

    def _begin(self, peripheral: Peripheral) -> None:
        entry = peripheral.entry
        self._publisher.admit(entry.id)
        self._pipeline.add(entry.id, peripheral.options, periodic=entry.periodic)
        self._bonds.add(entry.id, peripheral.bond)
        self.sessions[entry.id] = self._maker.make(peripheral)
        self._known[entry.id] = peripheral

    def _keep(self, peripheral: str) -> None:
        session = self.sessions[peripheral]
        self._kept.start(peripheral, session.run, get_logger(peripheral=peripheral))

    async def _ended(self, peripherals: Iterable[str]) -> None:
        await self._kept.ended(*peripherals)
        for one in peripherals:
            # Also of a session that only waited to be run again, and has said nothing.
            self._pipeline.on_state(one, State.DISABLED, "stopped")

    def _forget(self, peripheral: str) -> None:
        self._pipeline.remove(peripheral)
        self._bonds.remove(peripheral)
        del self.sessions[peripheral], self._known[peripheral]
