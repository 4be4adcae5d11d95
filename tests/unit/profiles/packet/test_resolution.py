"""Converted values have the decimals of the device's resolution: enough to distinguish them."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.blood_pressure import decode_blood_pressure
from healthd.profiles.cgm import decode_cgm
from healthd.profiles.fitness_machine.indoor_bike import decode_indoor_bike
from healthd.profiles.health_thermometer import decode_temperature
from healthd.profiles.heart_rate import decode_heart_rate
from healthd.profiles.packet.resolution import decimals
from healthd.profiles.packet.wires import scaled, sfloat_in

U16 = range(1 << 16)
S16 = range(-(1 << 15), 1 << 15)

# The steps of the specifications in the published unit (GATT Specification Supplement).
KM_PER_H = Fraction(1, 360)
KCAL_IN_KJ = Fraction("4.184")
POUND_IN_KG = Fraction("0.45359237")
KPA_IN_MMHG = Fraction("7.500615758")
MG_PER_DL_IN_MMOL_PER_L = 1 / Fraction("18.0156")


def places(value: float) -> int:
    """Return how many decimals a published number has; negative for tens."""
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent


@pytest.mark.parametrize(
    ("step", "count"),
    [
        (KM_PER_H, 3),
        (Fraction(1000, 1024), 1),
        (Fraction(1, 1024), 4),
        (Fraction(1, 2048), 4),
        (Fraction(1, 256), 3),
        (Fraction(1, 32), 2),
        (POUND_IN_KG / 100, 3),
        (Fraction("0.00254"), 3),
        (Fraction(5, 9), 1),
        (KPA_IN_MMHG, 0),
        (KPA_IN_MMHG * 1000, -3),
        # Short decimals keep all of their digits.
        (Fraction(1, 2), 1),
        (Fraction("0.005"), 3),
        (KCAL_IN_KJ, 3),
        (KCAL_IN_KJ / 10, 4),
        (Fraction(1, 10_000_000), 7),
        (Fraction(1), 0),
        (Fraction(60), 0),
    ],
)
def test_decimals_of_a_step(step: Fraction, count: int) -> None:
    assert decimals(step) == count


@pytest.mark.parametrize(
    ("step", "raws"),
    [
        (KM_PER_H, U16),
        (Fraction(1000, 1024), U16),
        (Fraction(1, 1024), U16),
        (Fraction(1, 2048), U16),
        (Fraction(1, 256), U16),
        (Fraction(1, 32), S16),
        (POUND_IN_KG / 100, U16),
        (POUND_IN_KG / 10, U16),
        (Fraction("0.00254"), U16),
        (KCAL_IN_KJ, U16),
        (KCAL_IN_KJ * 60, range(256)),
        (Fraction(1, 200), U16),
    ],
)
@pytest.mark.untraced
def test_each_raw_value_can_be_converted_back(step: Fraction, raws: range) -> None:
    convert = scaled(step.denominator, factor=step.numerator)
    values = [convert(raw) for raw in raws]
    as_sent = float(step)
    assert [round(value / as_sent) for value in values] == list(raws)
    assert len(set(values)) == len(raws)
    assert all(abs(v - raw * as_sent) <= as_sent / 4 for raw, v in zip(raws, values, strict=True))
    assert max(map(places, values)) <= decimals(step)


@given(
    numerator=st.integers(1, 10**6),
    denominator=st.integers(1, 10**6),
    raw=st.integers(-(1 << 31), (1 << 32) - 1),
)
def test_any_step(numerator: int, denominator: int, raw: int) -> None:
    step = Fraction(numerator, denominator)
    value = scaled(denominator, factor=numerator)(raw)
    # What a double can hold is less than what a step of 10**-6 of billions needs.
    slack = abs(raw * step) * Fraction(2) ** -52
    assert abs(Fraction(value) - raw * step) <= step / 4 + slack


@pytest.mark.parametrize(
    ("unit", "shift", "usual"),
    [(KPA_IN_MMHG, 0, -1), (MG_PER_DL_IN_MMOL_PER_L, 0, 0), (MG_PER_DL_IN_MMOL_PER_L, 5, 0)],
)
@pytest.mark.untraced
def test_each_sfloat_can_be_converted_back(unit: Fraction, shift: int, usual: int) -> None:
    convert = sfloat_in(unit, shift=shift, usual=usual)
    usual_places = decimals(unit * Fraction(10) ** usual)
    for nibble in range(16):
        step = unit * Fraction(10) ** (nibble - (nibble >> 3) * 16 + shift)
        most_places = max(decimals(step), usual_places)
        for low in range(1 << 12):
            if (value := convert(nibble << 12 | low)) is None:
                continue
            assert round(Fraction(value) / step) == low - (low >> 11) * 4096
            assert places(value) <= most_places


@given(mantissa=st.integers(-8_000_000, 8_000_000), exponent=st.integers(-4, 2))
def test_each_fahrenheit_can_be_converted_back(mantissa: int, exponent: int) -> None:
    packet = b"\x01" + (mantissa & 0xFFFFFF | (exponent & 0xFF) << 24).to_bytes(4, "little")
    celsius = decode_temperature(packet).temperature_c
    assert celsius is not None
    step = Fraction(10) ** exponent
    assert round((Fraction(celsius) * 9 / 5 + 32) / step) == mantissa
    assert places(celsius) <= max(decimals(step * 5 / 9), 2)


def published() -> Iterator[tuple[float | None, float]]:
    """Yield examples of published values, and what they must be."""
    # 29.33 km/h, the value of a report: 8.147222222222222.
    yield decode_indoor_bike(bytes.fromhex("0000750b")).speed_mps, 8.147
    # 16.0 kPa, and 17 kPa from a device that leaves out a zero after the point.
    yield decode_blood_pressure(bytes.fromhex("01a0f050f00000")).systolic_mmhg, 120.0
    yield decode_blood_pressure(bytes.fromhex("01110000000000")).systolic_mmhg, 127.5
    # 98.6 and 98.7 deg F.
    yield decode_temperature(bytes.fromhex("01da0300ff")).temperature_c, 37.0
    yield decode_temperature(bytes.fromhex("01db0300ff")).temperature_c, 37.06
    # 120 mg/dL as 120e0 and as 12e1.
    for packet in ("060078000500", "06000c100500"):
        records = decode_cgm(bytes.fromhex(packet)).records or []
        yield records[0].glucose_mmol_per_l, 6.66
    # 823/1024 s.
    yield (decode_heart_rate(bytes.fromhex("10483703")).rr_intervals_ms or [0.0])[0], 803.7


def test_published_values() -> None:
    found = list(published())
    assert [value for value, _ in found] == [expected for _, expected in found]
