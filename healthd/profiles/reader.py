"""Reads one peripheral for one link, or while it is listened to: its quirks and its states."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, ClassVar

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.device_information import DeviceInformation
from healthd.profiles.identity import Identity
from healthd.profiles.link_state import ClockedState, HoldingState, LinkState, SettlingState, Timed
from healthd.profiles.options import Options
from healthd.profiles.quirks import decoders_for
from healthd.profiles.registry import Registry
from healthd.samples import Measurement, quantity


class Undecoded(Measurement):
    """Bytes that no decoder understands, published as they came."""

    kind: ClassVar[str] = "undecoded"

    hex: str
    size_bytes: Annotated[int, quantity("By")]
    error: str


class Reader:
    """Turns the values of one link into measurements: decodes, joins, holds back and derives.

    Pure. Each link gets a new reader, so nothing is carried over from one link to the next. A
    device that only advertises has one for as long as it is listened to.

    Decoders depend on the device. They are selected when the device identifies itself, not again
    for each value.
    """

    def __init__(
        self,
        registry: Registry,
        options: Options,
        name: str | None,
        profiles: Iterable[str],
        address: str = "",
    ) -> None:
        """Start with an empty memory.

        Args:
            registry: all known profiles.
            options: what the settings say about the peripheral.
            name: the advertised name, if there is one.
            profiles: names of the profiles found on the peripheral.
            address: its address, upper case; used only for what it advertises.
        """
        self._records = options.records
        self._device = Identity(name=name or "")
        options = replace(options, device=self._device)
        self._decoders: Mapping[str, Callable[[bytes], Measurement]] = decoders_for(self._device)
        self._states: dict[str, list[LinkState]] = {}
        # Of characteristics whose values go to one state, and nowhere else: nearly all values.
        self._only_states: dict[str, LinkState] = {}
        self._holding: list[HoldingState] = []
        self._corrections: dict[str, Callable[[Measurement], Measurement]] = {}
        self._settling: list[SettlingState] = []
        self._clocked: list[ClockedState] = []
        self._own: dict[str, Callable[[bytes], Measurement]] = {}
        for profile in (registry.profiles[each] for each in profiles):
            sources = (*profile.characteristics, *profile.broadcasts)
            for broadcast in profile.broadcasts:
                if broadcast.decoder is not None:
                    self._own[broadcast.uuid] = broadcast.decoder(options, address)
            if profile.correct is not None:
                correct = partial(profile.correct, options)
                self._corrections.update((source.uuid, correct) for source in sources)
            if profile.state is not None:
                state = profile.state(options)
                if isinstance(state, HoldingState):
                    self._holding.append(state)
                if isinstance(state, SettlingState):
                    self._settling.append(state)
                if isinstance(state, ClockedState):
                    self._clocked.append(state)
                for source in sources:
                    self._attach(state, source)

    def _attach(self, state: LinkState, characteristic: Characteristic) -> None:
        # Several services may share a control point, and only the opcode shows which service a
        # message belongs to: all their states get it. Any other characteristic is published once,
        # by the first service that declares it.
        if characteristic.use is Use.CONTROL:
            self._states.setdefault(characteristic.uuid, []).append(state)
        elif characteristic.use is not Use.STATIC:
            self._states.setdefault(characteristic.uuid, [state])
            if not characteristic.in_info:
                self._only_states.setdefault(characteristic.uuid, state)

    def take(self, characteristic: Characteristic, value: bytes, mono_ns: int) -> Iterable[Timed]:
        """Return what to publish for a value: facts about the device first, then samples.

        The samples are made one by one while the result is iterated: a record counts as fetched
        from the moment it is returned.

        Args:
            characteristic: the characteristic that sent the value.
            value: the bytes it sent.
            mono_ns: when they arrived, in nanoseconds of the monotonic clock.

        Raises:
            DecodeError: this device's decoder does not understand the value; raised by the call
                itself, not during iteration.
        """
        uuid = characteristic.uuid
        decode = self._own.get(uuid) or self._decoders.get(uuid, characteristic.decode)
        measurement = decode(value)
        if correct := self._corrections.get(uuid):
            measurement = correct(measurement)
        if (state := self._only_states.get(uuid)) is not None:
            return filter(self._is_new, state.take(measurement, mono_ns))
        if isinstance(measurement, DeviceInformation):
            self._identify(measurement)
        return self._derive(characteristic, measurement, mono_ns)

    def notices_jump(self) -> bool:
        """Return whether the device's clock has jumped; True only once in a link."""
        if not self._clocked:
            return False
        jumped = any(state.rebased for state in self._clocked)
        if jumped:
            self._clocked.clear()
        return jumped

    @property
    def settles(self) -> bool:
        """Whether it ever holds anything back for a time."""
        return bool(self._settling)

    @property
    def due_ns(self) -> int | None:
        """When to call ``settle``, by the monotonic clock; None if nothing waits for a time."""
        times = (state.due_ns for state in self._settling)
        return min((due_ns for due_ns in times if due_ns is not None), default=None)

    @property
    def held(self) -> list[Timed]:
        """What would be lost if the process died now."""
        return [timed for state in self._settling for timed in state.held]

    def settle(self, mono_ns: int) -> Iterable[Timed]:
        """Return what was held back for long enough at this time; see ``take``."""
        for state in self._settling:
            yield from filter(self._is_new, state.settle(mono_ns))

    def end(self) -> Iterable[Timed]:
        """Return what was still held back when the link ended, or has arrived after that."""
        for state in self._holding:
            yield from filter(self._is_new, state.end())

    def _derive(
        self, characteristic: Characteristic, measurement: Measurement, mono_ns: int
    ) -> Iterator[Timed]:
        if characteristic.in_info:
            yield Timed(measurement, mono_ns, fact=True)
        if characteristic.use is Use.STATIC:
            return
        states = self._states.get(characteristic.uuid)
        if states is None and characteristic.use is not Use.CONTROL:
            yield Timed(measurement, mono_ns)
        for state in states or ():
            yield from filter(self._is_new, state.take(measurement, mono_ns))

    def _is_new(self, timed: Timed) -> bool:
        """Return whether it is anything but a record that was fetched before."""
        record = timed.record
        return record is None or self._records.add_if_new(timed.measurement.kind, record)

    def _identify(self, reported: DeviceInformation) -> None:
        before = self._device
        maker, model = reported.maker or before.maker, reported.model or before.model
        self._device = Identity(name=before.name, maker=maker, model=model)
        if self._device != before:
            self._decoders = decoders_for(self._device)
