"""Devices that do not keep to a layout: one table, and who it is for."""

from collections.abc import Callable, Container
from dataclasses import dataclass
from fnmatch import fnmatchcase

from healthd.profiles.characteristic import Characteristic
from healthd.samples import Measurement

_MAKER, _MODEL = "2a29", "2a24"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device calls itself; empty where it has not said it (yet).

    Attributes:
        name: as advertised.
        maker: manufacturer's name, of Device Information.
        model: model number, of Device Information.
    """

    name: str = ""
    maker: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Quirk:
    """One way in which one kind of device differs; a row of ``QUIRKS``.

    Attributes:
        title: what is different, in a few words, for the documentation.
        uuid: the characteristic, in the form of ``Characteristic.uuid``.
        decode: in place of the characteristic's own; returns the same model.
        source: where it was seen.
        name: shell pattern of the advertised name, in any case; empty fits all.
        maker: the same for the maker.
        model: the same for the model.
    """

    title: str
    uuid: str
    decode: Callable[[bytes], Measurement]
    source: str
    name: str = ""
    maker: str = ""
    model: str = ""

    def fits(self, device: Identity) -> bool:
        """Whether the device is of this kind."""
        pairs = (
            (self.name, device.name),
            (self.maker, device.maker),
            (self.model, device.model),
        )
        return all(fnmatchcase(said.lower(), asked.lower()) for asked, said in pairs if asked)


QUIRKS: tuple[Quirk, ...] = ()


def decoder_for(characteristic: Characteristic, device: Identity) -> Callable[[bytes], Measurement]:
    """How this device's values of the characteristic are read."""
    return decoders_for(device).get(characteristic.uuid, characteristic.decode)


def decoders_for(device: Identity) -> dict[str, Callable[[bytes], Measurement]]:
    """By UUID, how this device's values are read where that is not the usual way."""
    fitting = [quirk for quirk in QUIRKS if quirk.fits(device)]
    # The first row that fits decides, so it is put in last.
    return {quirk.uuid: quirk.decode for quirk in reversed(fitting)}


def to_be_read_before(uuids: Container[str]) -> frozenset[str]:
    """What a device is asked for first, because it decides how one of these is read."""
    quirks = [quirk for quirk in QUIRKS if quirk.uuid in uuids]
    makers = (_MAKER for quirk in quirks if quirk.maker)
    return frozenset((*makers, *(_MODEL for quirk in quirks if quirk.model)))
