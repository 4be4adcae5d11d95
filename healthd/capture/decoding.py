"""Decodes the values of a capture, each by itself, as the daemon decodes those of that device.

Values are decoded one by one: what healthd derives from several of them, such as a cadence from two
counters, takes a replay.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from healthd.capture.guesses import guess
from healthd.errors import DecodeError
from healthd.profiles.characteristic import Characteristic, Framing
from healthd.profiles.identity import Identity
from healthd.profiles.options import Options
from healthd.profiles.packet.text import clean
from healthd.profiles.quirks import decoders_for
from healthd.profiles.registry import Registry
from healthd.samples import Measurement
from healthd.traffic.lines import Advertised, Connected, Discovered, Line, Notified, Read, Written

Decode = Callable[[bytes], Measurement]

# A phone hears some thousand on a day. Some change their address every few minutes.
_MOST_DEVICES = 10_000

# A link has one or two, and few links exist at a time.
_MOST_FRAMINGS = 100

_NAME, _MAKER, _MODEL = "2a00", "2a29", "2a24"


class Decoded(NamedTuple):
    """What a value means.

    Attributes:
        kind: of the measurement; None if it could not be decoded.
        fields: of the measurement.
        error: why it could not be decoded; None if it was, or if its layout is not known.
        guess: what an unknown value may be; None if there is no good guess.
    """

    kind: str | None = None
    fields: dict[str, Any] | None = None
    error: str | None = None
    guess: dict[str, Any] | None = None


_UNKNOWN = Decoded()


@dataclass(slots=True)
class _Device:
    """What the file says about a device.

    Attributes:
        identity: its name, maker and model.
        decoders: those that replace the usual ones.
        uuids: of its characteristics.
    """

    identity: Identity = field(default_factory=Identity)
    decoders: Mapping[str, Decode] = field(default_factory=dict[str, Decode])
    uuids: set[str] = field(default_factory=set[str])


class Decoding:
    """Decodes the values of one file, in its order."""

    def __init__(self, registry: Registry) -> None:
        """Start with nothing known of any device."""
        self._registry = registry
        self._devices: dict[str, _Device] = {}
        self._framings: dict[tuple[int, str], Framing] = {}
        self._pieces = {
            uuid: each
            for each in registry.characteristics.values()
            if each.channel is not None
            for uuid in each.channel.notifies
        }

    def name(self, device: str) -> str:
        """Return the name of a device as far as it is known; else an empty text."""
        known = self._devices.get(device)
        return "" if known is None else known.identity.name

    def note(self, line: Line) -> None:
        """Learn from a line what its device is."""
        if isinstance(line, Advertised):
            if line.name and not self._device(line.device).identity.name:
                self._identify(line.device, name=line.name)
        elif isinstance(line, Read):
            if line.value is not None and line.uuid in (_NAME, _MAKER, _MODEL):
                text = clean(line.value.decode("utf-8", "replace"))
                key = {_NAME: "name", _MAKER: "maker", _MODEL: "model"}[line.uuid]
                self._identify(line.device, **{key: text})
        elif isinstance(line, Discovered):
            self._device(line.device).uuids.update(
                each.uuid for service in line.services for each in service.characteristics
            )
        elif isinstance(line, Connected) and len(self._framings) > _MOST_FRAMINGS:
            self._framings.clear()  # of links that have long ended

    def values(self, line: Notified | Read | Written) -> Iterator[Decoded]:
        """Return what a value means; nothing for a piece of a frame that is not whole."""
        value, uuid = line.value, line.uuid
        if value is None:
            return
        if isinstance(line, Notified):
            yield from self.notified(line.device, line.link, uuid, value)
        elif isinstance(line, Written):
            yield self._written(line.device, uuid, value)
        else:
            yield self._guessed(value) if uuid is None else self.decode(line.device, uuid, value)

    def notified(self, device: str, link: int, uuid: str | None, value: bytes) -> Iterable[Decoded]:
        """Return what a notified value means; see ``values``."""
        if uuid is None:
            return (self._guessed(value),)
        if (control := self._pieces.get(uuid)) is not None:
            return self._frames(device, link, uuid, control, value)
        return (self.decode(device, uuid, value),)

    def decoder(self, device: str, uuid: str) -> Decode | None:
        """Return what decodes single values of a characteristic; None if nothing does.

        Another one may be right once more is known of the device.
        """
        return None if self.is_framed(uuid) else self._decoder(device, uuid)

    def is_framed(self, uuid: str) -> bool:
        """Whether the values of a characteristic are pieces of frames."""
        return uuid in self._pieces

    def decode(self, device: str, uuid: str, value: bytes) -> Decoded:
        """Return what a value of a characteristic means."""
        decode = self._decoder(device, uuid)
        if decode is None:
            return self._guessed(value)
        try:
            measurement = decode(value)
        except DecodeError as error:
            return Decoded(error=str(error))
        return Decoded(measurement.kind, measurement.fields())

    def advertised(self, line: Advertised) -> Iterator[tuple[str, bytes, Decoded]]:
        """Return the broadcasts of an advertisement that healthd reads: key, bytes and meaning."""
        data = {f"service_data_{uuid}": value for uuid, value in line.service_data.items()}
        data |= {f"manufacturer_data_{key}": value for key, value in line.manufacturer_data.items()}
        for _, broadcast, value in self._registry.broadcasts_in(data):
            decode = self._device(line.device).decoders.get(broadcast.uuid, broadcast.decode)
            if broadcast.decoder is not None:
                decode = broadcast.decoder(Options(), line.device)
            try:
                measurement = decode(value)
            except DecodeError as error:
                yield broadcast.uuid, value, Decoded(error=str(error))
            else:
                yield broadcast.uuid, value, Decoded(measurement.kind, measurement.fields())

    def _written(self, device: str, uuid: str | None, value: bytes) -> Decoded:
        """Return what a written value means. Most decoders read only what devices send."""
        decoded = _UNKNOWN if uuid is None else self.decode(device, uuid, value)
        return decoded if decoded.fields is not None else _UNKNOWN

    def _frames(
        self, device: str, link: int, uuid: str, control: Characteristic, value: bytes
    ) -> Iterator[Decoded]:
        key = link, control.uuid
        if (framing := self._framings.get(key)) is None:
            assert control.channel is not None
            framing = control.channel.framing(self._device(device).uuids)
            self._framings[key] = framing
        try:
            for frame in framing.join(uuid, value):
                yield self.decode(device, control.uuid, frame)
        except DecodeError as error:
            yield Decoded(error=str(error))

    def _decoder(self, device: str, uuid: str) -> Decode | None:
        known = self._devices.get(device)
        if known is not None and (special := known.decoders.get(uuid)) is not None:
            return special
        characteristic = self._registry.characteristics.get(uuid)
        return None if characteristic is None else characteristic.decode

    def _device(self, device: str) -> _Device:
        if (known := self._devices.get(device)) is None:
            if len(self._devices) >= _MOST_DEVICES:
                del self._devices[next(iter(self._devices))]
            known = self._devices[device] = _Device()
        return known

    def _identify(self, device: str, *, name: str = "", maker: str = "", model: str = "") -> None:
        known = self._device(device)
        before = known.identity
        known.identity = Identity(name or before.name, maker or before.maker, model or before.model)
        if known.identity != before:
            known.decoders = decoders_for(known.identity)

    def _guessed(self, value: bytes) -> Decoded:
        found = guess(value, lambda uuid: self._registry.characteristics[uuid].decode)
        return _UNKNOWN if found is None else Decoded(guess=found)
