"""Devices that only advertise, whose values are numbered."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, ClassVar

from tests.system.guest.broadcasters import Broadcaster
from tests.system.guest.frames import rate_on_bike, ride, weighing
from tests.system.guest.straps import Numbered

# A bike changes its values once a second at most, and repeats them meanwhile.
_RIDE_TIMES, _RIDE_EVERY_S = 4, 0.25
_WEIGHING_TIMES, _WEIGHING_EVERY_S = 20, 0.2
# By then a further result of the same scale is surely of another weighing.
_BETWEEN_WEIGHINGS_S = 75.0
_LEAST_KG, _PER_KG = 40, 20


@dataclass
class Listened(Numbered):
    """A device that is listened to.

    Attributes:
        stream: the stream of its values.
        settings: TOML of its entry, besides id and address.
    """

    stream: ClassVar[str]
    settings: str = ""

    def number_of(self, payload: dict[str, Any]) -> tuple[int, bool]:
        """Return the number of a sample, and whether its values are those that were sent."""
        raise NotImplementedError

    async def run(self, broadcaster: Broadcaster) -> None:
        """Advertise until this is cancelled."""
        raise NotImplementedError

    def _reported(self, number: int) -> None:
        """Note that the adapter has reported something of this number, but perhaps not all."""
        if number not in self.sent:
            self.sent[number] = time.monotonic()
            self.unsure.add(number)


@dataclass
class Ride(Listened):
    """A bike; its power in watts is the number."""

    stream: ClassVar[str] = "keiser_bike"

    def number_of(self, payload: dict[str, Any]) -> tuple[int, bool]:
        """See ``Listened``."""
        watts = payload["power_w"]
        return watts, payload["heart_rate_bpm"] == rate_on_bike(watts)

    async def run(self, broadcaster: Broadcaster) -> None:
        """See ``Listened``."""
        for watts in count(1):
            reported = 0
            for _ in range(_RIDE_TIMES):
                if broadcaster.advertise(ride(watts)):
                    reported += 1
                    self._reported(watts)
                await asyncio.sleep(_RIDE_EVERY_S)
            if reported == _RIDE_TIMES:
                self.unsure.discard(watts)


@dataclass
class Scale(Listened):
    """A scale on which a person stands again and again; 40 kg are number 0, each 50 g one more."""

    stream: ClassVar[str] = "weight"

    def number_of(self, payload: dict[str, Any]) -> tuple[int, bool]:
        """See ``Listened``."""
        number = round((payload["weight_kg"] - _LEAST_KG) * _PER_KG)
        return number, payload["weight_kg"] == round(_LEAST_KG + number / _PER_KG, 3)

    async def run(self, broadcaster: Broadcaster) -> None:
        """See ``Listened``."""
        for number in count(1):
            kg, at = _LEAST_KG + number / _PER_KG, datetime.now(UTC)
            is_whole = True
            for place, frame in enumerate(weighing(kg, at, times=_WEIGHING_TIMES)):
                reported = broadcaster.advertise(frame)
                is_whole &= reported
                if reported and place >= _WEIGHING_TIMES // 2:
                    self._reported(number)
                await asyncio.sleep(_WEIGHING_EVERY_S)
            if is_whole:
                self.unsure.discard(number)
            await asyncio.sleep(_BETWEEN_WEIGHINGS_S)
