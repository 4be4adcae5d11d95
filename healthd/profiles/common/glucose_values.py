"""Shared by the two glucose profiles: concentrations, samples, times with an offset."""

from datetime import timedelta
from fractions import Fraction
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, get_args

from healthd.profiles.packet.wires import Meaning, Wire, sfloat, sfloat_in
from healthd.samples import DeviceTimed, quantity, whole_time

SampleType = Literal[
    "capillary_whole_blood",
    "capillary_plasma",
    "venous_whole_blood",
    "venous_plasma",
    "arterial_whole_blood",
    "arterial_plasma",
    "undetermined_whole_blood",
    "undetermined_plasma",
    "interstitial_fluid",
    "control_solution",
]
SampleLocation = Literal[
    "finger", "alternate_site", "earlobe", "control_solution", "subcutaneous_tissue"
]

GlucoseStatus = Literal[
    "device_battery_low",
    "sensor_malfunction",
    "sample_size_insufficient",
    "strip_insertion_error",
    "strip_type_incorrect",
    "result_too_high",
    "result_too_low",
    "temperature_too_high",
    "temperature_too_low",
    "read_interrupted",
    "general_device_fault",
    "time_fault",
]

# The names are in the order of their numbers; location 15 means "not available".
_TYPES = dict(enumerate(get_args(SampleType), start=1))
_LOCATIONS = {**dict(enumerate(get_args(SampleLocation), start=1)), 15: None}


class GlucoseResult(DeviceTimed):
    """The fields of a meter's result, sent with the result or with its context.

    ``device_time`` includes the offset by which the user has changed the clock since it was set.
    """

    retained: ClassVar[bool] = True

    sequence_number: Annotated[int, quantity("1")]
    base_time: str | None = None
    """The time of the meter's clock without ``time_offset_s``, in the form of ``device_time``."""
    time_offset_s: Annotated[int | None, quantity("s")] = None
    glucose_mmol_per_l: Annotated[float | None, quantity("mmol/L")] = None
    """It has no MDC or LOINC code: those depend on the kind of sample, see ``sample_type``."""
    sample_type: SampleType | int | None = None
    sample_location: SampleLocation | int | None = None
    status: list[GlucoseStatus] | None = None


# 1 mmol of glucose is 180.156 mg, and 1 L is 10 dL.
_MMOL_PER_L = 1 / Fraction("18.0156")

# Formally -0.1, which is not an amount. Meters send it if they have no value.
_FILLER = 0xFFFF


def _amount(read: Meaning) -> Wire:
    return Wire("H", "SFLOAT", lambda raw: None if raw == _FILLER else read(raw))


AMOUNT = _amount(sfloat)
"""An SFLOAT that cannot be negative: 0xFFFF, like the reserved codes, means "not available"."""
MG_PER_DL = _amount(sfloat_in(_MMOL_PER_L))
"""A concentration in mg/dL, read as mmol/L."""
# 1 kg/L is 1e5 mg/dL.
KG_PER_L = _amount(sfloat_in(_MMOL_PER_L, shift=5))
"""A concentration in kg/L, read as mmol/L."""
MOL_PER_L = _amount(partial(sfloat, shift=3))
"""A concentration in mol/L, read as mmol/L."""
MG_PER_DL_RATE = Wire("H", "SFLOAT", sfloat_in(_MMOL_PER_L))
"""A rate of change in mg/dL per minute, read as mmol/L per minute."""


def seconds(minutes: int) -> int:
    """Convert minutes to seconds."""
    return minutes * 60


def sample(octet: int) -> dict[str, Any]:
    """Decode a sample: its type in the low four bits, its location in the high four bits."""
    location = octet >> 4
    return {
        "sample_type": _TYPES.get(octet & 0x0F, octet & 0x0F),
        "sample_location": _LOCATIONS.get(location, location),
    }


def later(device_time: str | None, offset_s: float) -> str | None:
    """Return a device's time plus an offset.

    Returns:
        None if a part of the time is unknown, or if the sum is outside the calendar.
    """
    if (time := whole_time(device_time)) is None:
        return None
    try:
        return (time + timedelta(seconds=offset_s)).isoformat()
    except OverflowError:
        return None
