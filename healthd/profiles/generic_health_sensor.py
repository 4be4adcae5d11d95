"""Generic Health Sensor service (0x1840). Experimental: no public source describes its layouts."""

from healthd.profiles.characteristic import Use
from healthd.profiles.packet.raw import raw
from healthd.profiles.profile import Profile

PROFILE = Profile(
    name="generic_health_sensor",
    service="1840",
    characteristics=(
        raw("2b8b", "live_health_observations", Use.STREAM),
        raw("2bdd", "stored_health_observations", Use.STREAM),
        raw("2bf1", "observation_schedule_changed", Use.STREAM),
        raw("2bf3", "health_sensor_features", Use.STATUS),
        raw("2bf4", "generic_health_sensor_control_point", Use.CONTROL),
    ),
)
