"""A table of devices that deviate from the standard layouts, and how each is recognised."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from healthd.profiles.identity import Identity
from healthd.profiles.packet.cursor import Cursor
from healthd.samples import Measurement

if TYPE_CHECKING:
    from healthd.profiles.fitness_machine.commands import Write

_MAKER, _MODEL = "2a29", "2a24"

Decode = Callable[[bytes], Measurement]


@dataclass(frozen=True, slots=True)
class Later:
    """A function of a module of this package, which is imported with the first call.

    The decoders of this table need many modules, and few gateways have such a device.

    Attributes:
        place: ``module:name``.
    """

    place: str

    @property
    def function(self) -> Callable[..., Any]:
        """The function itself."""
        return _found(self.place)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it."""
        return self.function(*arguments, **named)


@cache
def _found(place: str) -> Callable[..., Any]:
    module, name = place.split(":")
    function: Callable[..., Any] = getattr(import_module(f"healthd.profiles.{module}"), name)
    return function


@dataclass(frozen=True, slots=True)
class Quirk:
    """One difference of one kind of device; a row of ``QUIRKS``.

    Attributes:
        title: the difference in a few words, for the documentation.
        uuid: the characteristic, in the form of ``Characteristic.uuid``.
        decode: replaces the decoder of the characteristic; returns the same model.
        source: where the difference was seen.
        name: shell pattern of the advertised name, ignoring case; empty matches all.
        maker: the same for the maker.
        model: the same for the model.
        write: makes the bytes that are written to the characteristic, by the key of a request;
            replaces functions of ``fitness_machine.commands``.
    """

    title: str
    uuid: str
    decode: Decode
    source: str
    name: str = ""
    maker: str = ""
    model: str = ""
    write: "Mapping[str, Write]" = field(default_factory=dict[str, "Write"])

    def fits(self, device: Identity) -> bool:
        """Return whether the device is of this kind."""
        pairs = (
            (self.name, device.name),
            (self.maker, device.maker),
            (self.model, device.model),
        )
        return all(fnmatchcase(name.lower(), pattern.lower()) for pattern, name in pairs if pattern)


# Life Fitness machines are advertised as LF and a number, such as LF0df5dbea66adf207.
_LIFE_FITNESS_NAME = "LF" + 16 * "[0-9a-f]"
_LIFE_FITNESS_MAKER = "Life*Fitness*"


_AS_USUAL: "Mapping[str, Write]" = {}
_IN_LEVELS: "Mapping[str, Write]" = {
    "inclination_pct": Later("fitness_machine.commands:set_target_inclination_in_levels")
}

QUIRKS: tuple[Quirk, ...] = (
    *(
        Quirk(
            title="Life Fitness bikes: cadence sent without its flag",
            uuid="2ad2",
            decode=Later("fitness_machine.indoor_bike:decode_life_fitness_bike"),
            source="TrackMyIndoorWorkout, test/life_fitness_bike_test.dart",
            name=name,
            maker=maker,
        )
        for name, maker in ((_LIFE_FITNESS_NAME, ""), ("", _LIFE_FITNESS_MAKER))
    ),
    *(
        Quirk(
            title="Life Fitness ellipticals: speed 0, a filler for elevation, resistance in tenths",
            uuid="2ace",
            decode=Later("fitness_machine.cross_trainer:decode_life_fitness_cross_trainer"),
            source="cagnulein/qdomyos-zwift #4818, TrackMyIndoorWorkout #534",
            name=name,
            maker=maker,
        )
        for name, maker in ((_LIFE_FITNESS_NAME, ""), ("", _LIFE_FITNESS_MAKER))
    ),
    Quirk(
        title="FitShow rowers: total energy in steps of 0.1 kcal",
        uuid="2ad1",
        decode=Later("fitness_machine.rower:decode_tenths_of_kcal"),
        source="cagnulein/qdomyos-zwift #4624",
        name="fs-*",
    ),
    *(
        Quirk(
            title=f"{device} rowers: whole strokes per minute, not halves",
            uuid="2ad1",
            decode=Later("fitness_machine.rower:decode_whole_strokes"),
            source=source,
            name=name,
        )
        for device, name, source in (
            ("WHIPR", "whipr*", "cagnulein/qdomyos-zwift #653"),
            ("Kingsmith", "ks-wlt*", "cagnulein/qdomyos-zwift #1118"),
        )
    ),
    *(
        Quirk(
            title="T01 treadmills: inclination as a share of 15 levels of 1 %",
            uuid=uuid,
            decode=decode,
            source="cagnulein/qdomyos-zwift #2511",
            name="t01_*",
            write=write,
        )
        for uuid, decode, write in (
            ("2acd", Later("fitness_machine.treadmill:decode_levels"), _AS_USUAL),
            (
                "2ad5",
                Later("fitness_machine.features:decode_inclination_range_in_levels"),
                _AS_USUAL,
            ),
            (
                "2ad9",
                Later("fitness_machine.control_point:decode_control_point_in_levels"),
                _IN_LEVELS,
            ),
            ("2ada", Later("fitness_machine.status:decode_status_in_levels"), _AS_USUAL),
        )
    ),
    Quirk(
        title="Zwift RunPod: counts the steps of one foot, cadence is doubled",
        uuid="2a53",
        decode=Later("running_speed_cadence:decode_one_foot"),
        source="cagnulein/qdomyos-zwift#1099",
        name="*runpod*",
    ),
    Quirk(
        title="Xiaomi Mi Scale: its own flags in Weight Measurement",
        uuid="2a9d",
        decode=Later("weight_scale:decode_xiaomi"),
        source="openScale PR #1294",
        name="mi[ _]scale*",
    ),
    *(
        Quirk(
            title="Xiaomi Mi Scale 2: its own layout in Body Composition Measurement",
            uuid="2a9c",
            decode=Later("body_composition.measurement:decode_xiaomi"),
            source="openScale #392 (captures), #87, #474 (names)",
            name=name,
        )
        for name in ("mib[cf]s*", "mi[ _]scale*")
    ),
    Quirk(
        title="Soehnle Shape Sense Connect 50: weight in steps of 0.1 kg",
        uuid="2a9d",
        decode=Later("weight_scale:decode_tenths"),
        source="openScale #1303",
        name="shape50*",
    ),
    Quirk(
        title="Soehnle Shape Sense Connect 50: masses in steps of 0.1 kg, body water is not a mass",
        uuid="2a9c",
        decode=Later("body_composition.measurement:decode_tenths"),
        source="openScale #1303 (captures)",
        name="shape50*",
    ),
    Quirk(
        title="Renpho ES-WBE28: weight in steps of 0.05 kg, reserved flags set",
        uuid="2a9d",
        decode=Later("weight_scale:decode_twentieths"),
        source="ble-scale-sync src/scales/renpho.ts (captures)",
        name="renpho-scale*",
    ),
    Quirk(
        title="Renpho ES-WBE28: masses in steps of 0.05 kg",
        uuid="2a9c",
        decode=Later("body_composition.measurement:decode_twentieths"),
        source="ble-scale-sync src/scales/renpho.ts (captures)",
        name="renpho-scale*",
    ),
    Quirk(
        title="Silvercrest SBM69: plain integers in Blood Pressure Measurement",
        uuid="2a35",
        decode=Later("blood_pressure:decode_plain_integers"),
        source="OpenMQTTGateway #806, github.com/ignisf/sbm69 (protocol notes)",
        name="sbm69*",
    ),
    Quirk(
        title="Silvercrest SBM69: plain integers in Blood Pressure Measurement",
        uuid="2a35",
        decode=Later("blood_pressure:decode_plain_integers"),
        source="github.com/ignisf/sbm69 (Device Information)",
        maker="hans dinslage*",
        model="sbm69*",
    ),
    Quirk(
        title="QardioArm: pressures that it cannot measure after it has given up",
        uuid="2a35",
        decode=Later("vendor.qardio:decode_measurement"),
        source="ptylr/LibreArm BPClient.swift, agreenbhm/LibreArm_Android ReadingValidationTest.kt",
        name="qardioarm*",
    ),
)


def identity_of(name: str | None, facts: Mapping[str, bytes]) -> Identity:
    """Return how a device identifies itself.

    Args:
        name: the advertised name.
        facts: values that were read, by UUID.
    """
    maker, model = (Cursor(facts.get(uuid, b"")).text() for uuid in (_MAKER, _MODEL))
    return Identity(name or "", maker, model)


def decoders_for(device: Identity) -> dict[str, Decode]:
    """Return the decoders that replace the usual ones for this device, by UUID."""
    fitting = [quirk for quirk in QUIRKS if quirk.fits(device)]
    # The first row that fits wins, so it is inserted last.
    return {quirk.uuid: quirk.decode for quirk in reversed(fitting)}


def writers_for(device: Identity) -> "dict[str, Write]":
    """Return the functions that replace the usual ones for this device, by key of a request."""
    fitting = [quirk for quirk in QUIRKS if quirk.fits(device)]
    return {key: write for quirk in reversed(fitting) for key, write in quirk.write.items()}


def to_be_read_before(uuids: Container[str]) -> frozenset[str]:
    """Return the characteristics to read first, because the decoders of these depend on them."""
    quirks = [quirk for quirk in QUIRKS if quirk.uuid in uuids]
    makers = (_MAKER for quirk in quirks if quirk.maker)
    return frozenset((*makers, *(_MODEL for quirk in quirks if quirk.model)))
