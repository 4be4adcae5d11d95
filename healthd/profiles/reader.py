"""How one peripheral is read as long as one link lasts: its quirks, and its profiles' memories."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, ClassVar

from healthd.profiles.characteristic import (
    Characteristic,
    HoldingState,
    LinkState,
    Options,
    Timed,
    Use,
)
from healthd.profiles.device_information import DeviceInformation
from healthd.profiles.quirks import Identity, decoders_for
from healthd.profiles.registry import Registry
from healthd.samples import Measurement, quantity


class Undecoded(Measurement):
    """Bytes that no decoder understands: unknown data is still data."""

    kind: ClassVar[str] = "undecoded"

    hex: str
    size_bytes: Annotated[int, quantity("By")]
    error: str


class Reader:
    """Reads the values of one link. Pure; a new link gets a new one, and nothing is carried over.

    What is decided by the device (which decoder, which memory) is decided when the device says
    who it is, and not for every value.
    """

    def __init__(
        self, registry: Registry, options: Options, name: str | None, profiles: Iterable[str]
    ) -> None:
        """Begin a link.

        Args:
            registry: what there is to read.
            options: what the settings say of the peripheral.
            name: what it is advertised as, where it has a name.
            profiles: names of those that were found on it.
        """
        self._device = Identity(name=name or "")
        self._decoders: Mapping[str, Callable[[bytes], Measurement]] = decoders_for(self._device)
        self._states: dict[str, list[LinkState]] = {}
        self._holding: list[HoldingState] = []
        for profile in (registry.profiles[each] for each in profiles):
            if profile.state is not None:
                state = profile.state(options)
                if isinstance(state, HoldingState):
                    self._holding.append(state)
                for one in profile.characteristics:
                    self._remember(one, state)

    def _remember(self, one: Characteristic, state: LinkState) -> None:
        # Several services may share a control point, and only its opcodes tell whose message it
        # is. What is published is published once: by the first service that has it.
        if one.use is Use.CONTROL:
            self._states.setdefault(one.uuid, []).append(state)
        elif one.use is not Use.STATIC:
            self._states.setdefault(one.uuid, [state])

    def read(self, characteristic: Characteristic, value: bytes) -> Measurement:
        """The measurement that this device means by the value.

        Raises:
            DecodeError: none that is known.
        """
        decode = self._decoders.get(characteristic.uuid, characteristic.decode)
        measurement = decode(value)
        if isinstance(measurement, DeviceInformation):
            self._identify(measurement)
        return measurement

    def states(self, characteristic: Characteristic) -> Sequence[LinkState]:
        """Who takes the characteristic's measurements; nobody: they stand for themselves."""
        return self._states.get(characteristic.uuid, ())

    def end(self) -> Iterable[Timed]:
        """What was held back when the link ended."""
        for state in self._holding:
            yield from state.end()
        self._holding.clear()

    def _identify(self, said: DeviceInformation) -> None:
        before = self._device
        maker, model = said.maker or before.maker, said.model or before.model
        self._device = Identity(name=before.name, maker=maker, model=model)
        if self._device != before:
            self._decoders = decoders_for(self._device)
