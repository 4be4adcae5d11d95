"""The published measurements of a Polar sensor: frames of samples, in canonical units."""

from typing import Annotated, ClassVar

from healthd.samples import Measurement, quantity


class Frame(Measurement):
    """Consecutive samples; ``time`` is that of the first one."""

    kind: ClassVar[str]

    sample_rate_hz: Annotated[float | None, quantity("Hz")] = None
    """Rate measured on our clock; nominal in the first frame; absent if unknown or irregular."""
    device_time: str | None = None
    """Time of the last sample by the sensor's clock, ISO 8601 without a zone."""


class Ecg(Frame):
    """Electrocardiogram."""

    kind: ClassVar[str] = "ecg"

    ecg_uv: Annotated[list[int], quantity("uV", mdc=131328)]


class Acceleration(Frame):
    """Acceleration, including gravity."""

    kind: ClassVar[str] = "acceleration"

    x_mg: Annotated[list[float], quantity("m[g]")]
    y_mg: Annotated[list[float], quantity("m[g]")]
    z_mg: Annotated[list[float], quantity("m[g]")]


class Gyroscope(Frame):
    """Rate of rotation."""

    kind: ClassVar[str] = "gyroscope"

    x_dps: Annotated[list[float | None], quantity("deg/s")]
    y_dps: Annotated[list[float | None], quantity("deg/s")]
    z_dps: Annotated[list[float | None], quantity("deg/s")]


class Magnetometer(Frame):
    """Magnetic flux density."""

    kind: ClassVar[str] = "magnetometer"

    x_gauss: Annotated[list[float], quantity("G")]
    y_gauss: Annotated[list[float], quantity("G")]
    z_gauss: Annotated[list[float], quantity("G")]
    calibration_status: Annotated[list[int] | None, quantity("1")] = None
    """The sensor's own code, one per sample; absent if it sends none."""


class Ppg(Frame):
    """Photoplethysmogram: light that came back through the skin."""

    kind: ClassVar[str] = "ppg"

    channels: Annotated[list[list[int]], quantity("1")]
    """Counts of the converter, one list per channel, in the sensor's order."""
    ambient: Annotated[list[int] | None, quantity("1")] = None
    """Counts of the ambient light, without the sensor's own light."""
    status: Annotated[list[int] | None, quantity("1")] = None
    """24 bits per sample; the vendor has not published their meaning."""


class PpInterval(Frame):
    """Intervals between pulses, oldest first; ``time`` is the end of the first one."""

    kind: ClassVar[str] = "pp_interval"

    pp_intervals_ms: Annotated[list[int], quantity("ms")]
    error_ms: Annotated[list[int], quantity("ms")]
    """The sensor's own estimate, one per interval."""
    blocker: list[bool]
    """True if the sensor moved or was not worn: the interval is not reliable."""
    skin_contact: list[bool | None]
    """``null`` if the sensor cannot detect it."""
    heart_rate_bpm: Annotated[list[int | None], quantity("/min")]
    """``null`` if the sensor has none yet."""


class SkinTemperature(Frame):
    """Temperature of the skin."""

    kind: ClassVar[str] = "skin_temperature"

    temperature_c: Annotated[list[float | None], quantity("Cel")]


class Temperature(Frame):
    """Temperature inside the sensor."""

    kind: ClassVar[str] = "temperature"

    temperature_c: Annotated[list[float | None], quantity("Cel")]


class Pressure(Frame):
    """Air pressure."""

    kind: ClassVar[str] = "pressure"

    pressure_hpa: Annotated[list[float | None], quantity("hPa")]


PUBLISHED: tuple[type[Frame], ...] = (
    Ecg,
    Acceleration,
    Gyroscope,
    Magnetometer,
    Ppg,
    PpInterval,
    SkinTemperature,
    Temperature,
    Pressure,
)
