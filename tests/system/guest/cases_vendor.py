"""Devices of makers, with protocols of their own, through the real BlueZ."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bumble.core import AdvertisingData
from bumble.data_types import CompleteLocalName, Flags
from bumble.device import Connection
from bumble.gatt import Characteristic
from bumble.link import LocalLink
from bumble.pairing import PairingConfig

from healthd.simulator.discovery import canonical
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import device_information_part
from healthd.simulator.vendor.o2ring import Ring, ring_part, stored_night
from healthd.simulator.vendor.omron import Transfers, reading
from healthd.simulator.vendor.omron_memory import Cuff, Memory
from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.straps import NumberedHeart
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import START_S, World

# The command starts a new process, finds the cuff, bonds and agrees on a key.
_PAIR_S = 90.0
# Two links, with a request for each record; meanwhile the ring is asked for its night.
_FETCHED_S = 90.0

_MODEL = "HEM-7361T"
_MEASURED = 15
# Start of the session, two reads of the index, and some records of the first user.
_BROKEN_AFTER = 10
_BREAK_S = 1.0
# To pair, and before and after the break.
_LINKS = 3
_FIRST_ANSWERS = "49123040-aee8-11e1-a74d-0002a5d5c51b"
_NOT_YET = 0x0F

_NIGHT = datetime(2026, 11, 29, 23, 10)  # noqa: DTZ001 - the ring knows no zone
_NIGHT_RECORDS, _NIGHT_STEP_S = 120, 4
_LIVE = 3

Result = tuple[int, str, float, float, float]


class BondingCuff(Cuff):
    """A cuff that takes and compares keys only over an encrypted link, as real ones do."""

    def __init__(self, memory: Memory, is_encrypted: Callable[[], bool]) -> None:
        """Start in pairing mode, without a key."""
        super().__init__(memory, is_pairing=True)
        self._is_encrypted = is_encrypted

    def unlock(self, request: bytes) -> bytes | None:
        """See ``Cuff``."""
        if not self._is_encrypted():
            return bytes([request[0] | 0x80, _NOT_YET]) + bytes(15)
        return super().unlock(request)


def _asks_for_no_passkey(_connection: Connection) -> PairingConfig:
    return PairingConfig(mitm=False)


class BondingDevice(VirtualPeripheral):
    """A cuff that asks for a bond when its answers are subscribed, and falls asleep once."""

    def __init__(self, name: str, address: str, memory: Memory, record: Any) -> None:
        """Describe it."""
        self.cuff = BondingCuff(memory, lambda: self.is_encrypted)
        transfers = Transfers(self.cuff, dies_after={_BROKEN_AFTER}, wakes_after_s=_BREAK_S)
        parts = (transfers.part(), device_information_part({0x2A24: _MODEL}))
        super().__init__(name, address, parts, record=record)

    async def power_on(self, ether: LocalLink) -> None:
        """See ``VirtualPeripheral``; it has no keys for a passkey, so it asks for none."""
        await super().power_on(ether)
        _, device = self._powered()
        device.scan_response_data = bytes(AdvertisingData([CompleteLocalName(self.name)]))
        device.pairing_config_factory = _asks_for_no_passkey

    def _advertising_data(self) -> bytes:
        # The name, by which it is recognised, is only in the scan response.
        flags = AdvertisingData.Flags
        shown = flags.LE_GENERAL_DISCOVERABLE_MODE | flags.BR_EDR_NOT_SUPPORTED
        return bytes(AdvertisingData([Flags(shown)]))

    @property
    def is_encrypted(self) -> bool:
        """Whether its link is encrypted."""
        return self._connection is not None and self._connection.is_encrypted

    def _on_subscription(
        self,
        _connection: Connection,
        characteristic: Characteristic[bytes],
        notify: bool,
        indicate: bool,
    ) -> None:
        super()._on_subscription(_connection, characteristic, notify, indicate)
        is_first = canonical(characteristic.uuid) == _FIRST_ANSWERS
        if notify and is_first and not _connection.is_encrypted:
            _connection.request_pairing()


@case()
async def cuff_and_ring(world: World) -> None:
    """A cuff paired by its owner and a ring that is polled: each stored record arrives once."""
    memory, measured = _household()
    ring, night = _worn_ring()

    def cuff(
        name: str, address: str, _heart: NumberedHeart, *, period: float, record: Any
    ) -> VirtualPeripheral:
        return BondingDevice(name, address, memory, record)

    def o2ring(
        name: str, address: str, _heart: NumberedHeart, *, period: float, record: Any
    ) -> VirtualPeripheral:
        return VirtualPeripheral(name, address, [ring_part(ring)], record=record)

    paired = await world.strap("cuff", name="BLEsmart_00000258SIM", build=cuff)
    await world.strap("ring", name="O2Ring", build=o2ring)
    world.configure(own={paired.id: 'every = "1h"'})
    said = await vm.run("healthd", "pair", paired.id, timeout_s=_PAIR_S)
    world.notes.append(f"healthd pair: {said.splitlines()[-1]}")
    device = paired.peripheral
    assert isinstance(device, BondingDevice)
    _key_is_kept(device.cuff)
    await until(lambda: vm.device_property(paired.address, "Bonded"), "BlueZ keeps the bond")
    await world.start()
    await until(lambda: len(_live(world)) >= _LIVE, "live values of the ring", START_S)
    await until(lambda: world.broker.fetches, "the run of the cuff ends", _FETCHED_S)
    await until(lambda: len(_stored(world)) >= len(night), "the night", _FETCHED_S)
    await until(lambda: len(_results(world)) >= len(measured), "all records")
    if (found := _results(world)) != measured:
        raise Failed(f"expected {measured}, found {found}")
    if (times := _stored(world)) != night:
        raise Failed(f"expected {night}, found {times}")
    if device.links != _LINKS:
        raise Failed(f"expected the link to break once, found {device.links} links in all")
    run = world.broker.fetches[-1]
    if (run["outcome"], run["samples"]) != ("new_data", len(measured)):
        raise Failed(f"expected one run with all records, found {run}")
    if device.cuff.written:
        raise Failed(f"the memory of the cuff was written at {device.cuff.written}")
    # The ring still answers after its night was read.
    before = len(_live(world))
    await until(lambda: len(_live(world)) > before, "a further live value")


def _household() -> tuple[Memory, list[Result]]:
    """Return a memory with measurements of two users, and what has to arrive."""
    memory, chance = Memory(_MODEL), random.Random(1)
    results: list[Result] = []
    for number in range(_MEASURED):
        for user in (1, 2):
            at = datetime(2026, 11, 20, 7, user) + timedelta(hours=8 * number)  # noqa: DTZ001 - the cuff knows no zone
            made = reading(chance, at)
            memory.store(user, made)
            results.append((user, at.isoformat(), made.systolic, made.diastolic, made.pulse))
    return memory, sorted(results)


def _worn_ring() -> tuple[Ring, list[str]]:
    """Return a ring with a night, and the times of its records."""
    chance = random.Random(1)
    values = [
        (chance.randint(88, 99), chance.randint(48, 70), chance.randrange(20))
        for _ in range(_NIGHT_RECORDS)
    ]
    file = stored_night(_NIGHT, values, _NIGHT_STEP_S)
    times = [_NIGHT + timedelta(seconds=_NIGHT_STEP_S * place) for place in range(_NIGHT_RECORDS)]
    return Ring(chance, {f"{_NIGHT:%Y%m%d%H%M%S}": file}), [at.isoformat() for at in times]


def _key_is_kept(cuff: Cuff) -> None:
    """Check the file of the key that was agreed with the cuff."""
    file = Path("/var/lib/healthd/keys/cuff")
    mode, owner = file.stat().st_mode & 0o777, file.owner()
    if (mode, owner) != (0o600, "healthd"):
        raise Failed(f"expected a key file of healthd with 0600, found {owner} with {mode:o}")
    if cuff.key is None or bytes.fromhex(file.read_text()) != cuff.key:
        raise Failed("the cuff has another key than the file")


def _results(world: World) -> list[Result]:
    """Return the results of the cuff in order; repeated deliveries count once."""
    samples = {one["id"]: one for one in world.results["cuff", "blood_pressure"]}
    return sorted(
        (
            one["user_id"],
            one["device_time"],
            one["systolic_mmhg"],
            one["diastolic_mmhg"],
            one["pulse_rate_bpm"],
        )
        for one in samples.values()
    )


def _samples_of_ring(world: World) -> list[dict[str, Any]]:
    return list({one["id"]: one for one in world.results["ring", "pulse_oximeter"]}.values())


def _live(world: World) -> list[dict[str, Any]]:
    return [one for one in _samples_of_ring(world) if "device_time" not in one]


def _stored(world: World) -> list[str]:
    """Return the times of the records of the night."""
    return sorted(one["device_time"] for one in _samples_of_ring(world) if "device_time" in one)
