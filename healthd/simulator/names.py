"""The names of all models, kept apart from the catalogues so that ``--help`` loads no radio."""

CONNECTABLE = (
    "heart_rate",
    "polar_pmd",
    "cycling_speed_cadence",
    "cycling_power",
    "running_speed_cadence",
    "location_navigation",
    "fitness_machine",
    "treadmill",
    "cross_trainer",
    "rower",
    "stair_climber",
    "step_climber",
    "health_thermometer",
    "blood_pressure",
    "weight_scale",
    "body_composition",
    "user_scale",
    "glucose",
    "continuous_glucose",
    "pulse_oximeter",
    "generic_health_sensor",
    "physical_activity_monitor",
    "fec",
    "kickr",
    "qardio",
    "core",
    "yonker",
    "pm5",
    "omron",
    "omron_modern",
    "o2ring",
    "contec",
    "nonin",
    "jumper",
)
"""Of ``catalogue``: devices that healthd links."""

BROADCASTING = (
    "mi_scale",
    "mi_body_scale",
    "okok",
    "mi_band",
    "polar_broadcast",
    "keiser",
    "core_broadcast",
    "bthome",
)
"""Of ``broadcasting.catalogue``: devices that only advertise."""

NAMES = CONNECTABLE + BROADCASTING
