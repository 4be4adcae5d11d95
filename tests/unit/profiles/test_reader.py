"""The values of one link go in; facts about the device and samples come out."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import pytest

from healthd.errors import DecodeError
from healthd.profiles import quirks, registry
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.packet.cursor import Cursor
from healthd.profiles.profile import Profile
from healthd.profiles.quirks import Quirk
from healthd.profiles.reader import Reader
from healthd.profiles.records import Records
from healthd.profiles.registry import Registry
from healthd.samples import Measurement, Record, quantity

KNOWN = registry.load().characteristics
MAKER, MODEL = KNOWN["2a29"], KNOWN["2a24"]


class Weight(Measurement):
    """The measurement of the characteristics that only these tests have."""

    kind: ClassVar[str] = "weight"

    weight_kg: Annotated[int, quantity("kg")]


class Derived(Weight):
    """A measurement that a state makes of a weight."""

    kind: ClassVar[str] = "derived"


def decode_weight(data: bytes) -> Weight:
    return Weight(weight_kg=Cursor(data).u8())


STREAM = Characteristic("ff01", Weight, decode_weight, Use.STREAM)
STATUS = Characteristic("ff02", Weight, decode_weight, Use.STATUS)
CONTROL = Characteristic("ff03", Weight, decode_weight, Use.CONTROL)
STATIC = Characteristic("ff04", Weight, decode_weight, Use.STATIC)


class Deriving:
    """Records the measurements that it gets and makes another one of each."""

    created: ClassVar[list["Deriving"]] = []

    def __init__(self, options: Options) -> None:
        self.options = options
        self.received: list[Measurement] = []
        self.created.append(self)

    def take(self, measurement: Measurement, mono_ns: int) -> Iterator[Timed]:
        self.received.append(measurement)
        assert isinstance(measurement, Weight)
        yield Timed(Derived(weight_kg=measurement.weight_kg), mono_ns)


class Silent(Deriving):
    """Records the measurements that it gets and publishes nothing."""

    def take(self, measurement: Measurement, mono_ns: int) -> Iterator[Timed]:
        del mono_ns
        self.received.append(measurement)
        yield from ()


class Holding:
    """Holds each measurement back until the next one arrives."""

    def __init__(self, _: Options) -> None:
        self._held: list[Timed] = []

    def take(self, measurement: Measurement, mono_ns: int) -> Iterator[Timed]:
        yield from self.end()
        assert isinstance(measurement, Weight)
        record = Record("", measurement.weight_kg, "")
        self._held.append(Timed(measurement, mono_ns, record))

    def end(self) -> Iterator[Timed]:
        while self._held:
            yield self._held.pop()


PROFILES = Registry(
    [
        registry.load().profiles["device_information"],
        Profile("stateless", "fff0", (STREAM, STATUS)),
        Profile("deriving", "fff1", (STREAM, STATUS, CONTROL, STATIC), state=Deriving),
        Profile("silent", "fff2", (STREAM, CONTROL), state=Silent),
        Profile("holding", "fff3", (STREAM,), state=Holding),
    ]
)


@pytest.fixture(autouse=True)
def states() -> list[Deriving]:
    """The states created during the test."""
    Deriving.created.clear()
    return Deriving.created


def reader(*profiles: str, name: str | None = None, options: Options | None = None) -> Reader:
    return Reader(PROFILES, options or Options(), name, profiles)


def taken(link: Reader, characteristic: Characteristic, weight_kg: int, at: int = 0) -> list[Timed]:
    return list(link.take(characteristic, bytes([weight_kg]), at))


def weights(timed: list[Timed]) -> list[Any]:
    return [each.measurement.fields()["weight_kg"] for each in timed]


def test_without_a_state_a_measurement_is_a_sample() -> None:
    assert taken(reader("stateless"), STREAM, 80, at=5) == [Timed(Weight(weight_kg=80), 5)]


def test_a_state_replaces_the_measurement() -> None:
    assert taken(reader("deriving"), STREAM, 80, at=5) == [Timed(Derived(weight_kg=80), 5)]


def test_a_status_is_a_fact_as_decoded_and_then_a_sample() -> None:
    assert taken(reader("deriving"), STATUS, 80, at=5) == [
        Timed(Weight(weight_kg=80), 5, fact=True),
        Timed(Derived(weight_kg=80), 5),
    ]


def test_a_static_value_is_only_a_fact(states: list[Deriving]) -> None:
    assert taken(reader("deriving"), STATIC, 80, at=5) == [
        Timed(Weight(weight_kg=80), 5, fact=True)
    ]
    assert states[0].received == []


@pytest.mark.parametrize("characteristic", [STREAM, STATUS, CONTROL, STATIC])
def test_undecodable_bytes_raise_before_anything_is_iterated(
    characteristic: Characteristic, states: list[Deriving]
) -> None:
    link = reader("deriving")
    with pytest.raises(DecodeError):
        link.take(characteristic, b"", 0)
    assert states[0].received == []


def test_a_shared_control_point_reaches_every_state_and_is_not_published_itself(
    states: list[Deriving],
) -> None:
    assert weights(taken(reader("deriving", "silent"), CONTROL, 1)) == [1]
    assert [len(each.received) for each in states] == [1, 1]
    assert taken(reader("stateless"), CONTROL, 1) == []


@pytest.mark.parametrize(
    ("profiles", "kinds"),
    [
        (["stateless"], ["weight"]),
        (["deriving"], ["derived"]),
        (["stateless", "deriving"], ["derived"]),
        (["deriving", "silent"], ["derived"]),  # once, not once per profile
        (["silent", "deriving"], []),
    ],
)
def test_a_shared_characteristic_goes_to_the_first_state_that_declares_it(
    profiles: list[str], kinds: list[str]
) -> None:
    found = taken(reader(*profiles), STREAM, 1)
    assert [each.measurement.kind for each in found] == kinds


def test_each_link_gets_states_of_its_own_with_the_peripherals_options(
    states: list[Deriving],
) -> None:
    for circumference_m in (2.5, 2.0):
        options = Options(wheel_circumference_m=circumference_m)
        taken(reader("deriving", options=options), STREAM, 1)
    assert [len(each.received) for each in states] == [1, 1]
    assert [each.options.wheel_circumference_m for each in states] == [2.5, 2.0]


def test_held_back_measurements_are_released_once() -> None:
    link = reader("holding")
    assert taken(link, STREAM, 1, at=5) == []
    assert weights(taken(link, STREAM, 2, at=6)) == [1]
    assert [each.mono_ns for each in link.end()] == [6]
    assert list(link.end()) == []


def test_a_record_is_released_only_if_no_link_released_it_before() -> None:
    options = Options(records=Records())
    first, second = (reader("holding", options=options) for _ in range(2))
    assert weights([*taken(first, STREAM, 1), *taken(first, STREAM, 2), *first.end()]) == [1, 2]
    again = [each for number in (1, 2, 3) for each in taken(second, STREAM, number)]
    assert weights([*again, *second.end()]) == [3]


# Devices that deviate from a layout


def decode_tens(data: bytes) -> Weight:
    return Weight(weight_kg=Cursor(data).u8() * 10)


def decode_hundreds(data: bytes) -> Weight:
    return Weight(weight_kg=Cursor(data).u8() * 100)


@pytest.fixture
def odd_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (
        Quirk("tens", "ff01", decode_tens, "here", name="odd *"),
        Quirk("hundreds", "ff01", decode_hundreds, "here", maker="polar", model="h*"),
    )
    monkeypatch.setattr(quirks, "QUIRKS", rows)


@pytest.mark.usefixtures("odd_devices")
def test_the_name_selects_a_decoder() -> None:
    odd, other = reader("stateless", name="Odd scale"), reader("stateless", name="x")
    assert weights(taken(odd, STREAM, 5)) == [50]
    assert weights(taken(other, STREAM, 5)) == [5]
    # The quirk covers one characteristic.
    assert weights(taken(odd, STATUS, 5)) == [5, 5]


@pytest.mark.usefixtures("odd_devices")
def test_maker_and_model_select_a_decoder_until_the_link_ends() -> None:
    link = reader("stateless")
    found = taken(link, STREAM, 5)
    for characteristic, value in (
        (MAKER, b"Polar"),
        (MODEL, b"H10"),
        (MAKER, b"\x00"),  # only padding: the maker that is known stays
    ):
        list(link.take(characteristic, value, 0))
        found += taken(link, STREAM, 5)
    assert weights(found) == [5, 5, 500, 500]
    assert weights(taken(reader("stateless"), STREAM, 5)) == [5]


@pytest.mark.usefixtures("odd_devices")
def test_the_first_row_that_fits_decides() -> None:
    device = quirks.Identity(name="Odd one", maker="Polar", model="H10")
    assert quirks.decoders_for(device)[STREAM.uuid] is decode_tens
    assert STATUS.uuid not in quirks.decoders_for(device)


@pytest.mark.usefixtures("odd_devices")
def test_the_characteristics_that_a_decoder_depends_on_are_read_first() -> None:
    assert quirks.to_be_read_before({"ff01"}) == {"2a29", "2a24"}
    assert quirks.to_be_read_before({"ff02"}) == set()
