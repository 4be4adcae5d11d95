"""What BTHome devices measure in rooms and of bodies."""

from typing import Annotated, ClassVar, Literal

from healthd.samples import Measurement, quantity

LightLevel = Literal["dark", "twilight", "bright"]

_Celsius = Annotated[float | None, quantity("Cel")]
_Percent = Annotated[float | None, quantity("%")]
_Density = Annotated[int | None, quantity("ug/m3")]


class Environment(Measurement):
    """What a device has measured around it; each packet has some of the values."""

    kind: ClassVar[str] = "environment"

    temperature_c: _Celsius = None
    second_temperature_c: _Celsius = None
    """If it has several sensors."""
    third_temperature_c: _Celsius = None
    humidity_pct: _Percent = None
    """Relative humidity of the air."""
    second_humidity_pct: _Percent = None
    third_humidity_pct: _Percent = None
    dew_point_c: _Celsius = None
    air_pressure_hpa: Annotated[float | None, quantity("hPa")] = None
    co2_ppm: Annotated[int | None, quantity("[ppm]")] = None
    pm2_5_ug_per_m3: _Density = None
    """Particles in the air of up to 2.5 micrometres."""
    pm10_ug_per_m3: _Density = None
    """Particles in the air of up to 10 micrometres."""
    tvoc_ug_per_m3: _Density = None
    """Volatile organic compounds in the air."""
    illuminance_lx: Annotated[float | None, quantity("lx")] = None
    light_level: LightLevel | int | None = None
    """An unknown number stays a number."""
    uv_index: Annotated[float | None, quantity("1")] = None
    moisture_pct: _Percent = None
    """Of a material, such as soil or a wall."""
    second_moisture_pct: _Percent = None
    third_moisture_pct: _Percent = None
    mass_kg: Annotated[float | None, quantity("kg")] = None
    """Whatever lies on the scale: BTHome does not say that it is a person, nor that it is at rest.
    """
    motion_detected: bool | None = None
    moving: bool | None = None
    """The device itself moves."""
    occupied: bool | None = None
    present: bool | None = None
    """A person or a thing is at home."""
    sound_detected: bool | None = None
    vibration_detected: bool | None = None
    light_detected: bool | None = None
    door_open: bool | None = None
    window_open: bool | None = None
    open: bool | None = None
    """Of anything else that opens."""
    wet: bool | None = None
    carbon_monoxide_detected: bool | None = None
    gas_detected: bool | None = None
    smoke_detected: bool | None = None
    battery_level_pct: Annotated[int | None, quantity("%")] = None
    """Of the device; ``null`` if it sends more than 100."""
    battery_low: bool | None = None
    packet_id: Annotated[int | None, quantity("1")] = None
    """It changes with each measurement, from 255 to 0."""
    encryption_counter: Annotated[int | None, quantity("1")] = None
    """It grows with each encrypted packet."""
