"""Physical Activity Monitor service (0x183E). Experimental: only a header of its layouts is known.

Names: Bluetooth Assigned Numbers.
"""

from healthd.profiles.characteristic import Use
from healthd.profiles.packet.raw import raw
from healthd.profiles.profile import Profile

PROFILE = Profile(
    name="physical_activity_monitor",
    service="183e",
    characteristics=(
        raw("2b3b", "physical_activity_monitor_features", Use.STATUS),
        raw("2b3c", "general_activity_instantaneous", Use.STREAM),
        raw("2b3d", "general_activity_summary", Use.STREAM),
        raw("2b3e", "cardiorespiratory_activity_instantaneous", Use.STREAM),
        raw("2b3f", "cardiorespiratory_activity_summary", Use.STREAM),
        raw("2b40", "step_counter_activity_summary", Use.STREAM),
        raw("2b41", "sleep_activity_instantaneous", Use.STREAM),
        raw("2b42", "sleep_activity_summary", Use.STREAM),
        raw("2b43", "physical_activity_monitor_control_point", Use.CONTROL),
        raw("2b44", "physical_activity_current_session", Use.STATUS),
        raw("2b45", "physical_activity_session_descriptor", Use.STREAM),
    ),
)
