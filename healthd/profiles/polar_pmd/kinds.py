"""What a Polar sensor can measure, with the numbers of the types in PMD."""

ECG = 0
PPG = 1
ACCELERATION = 2
PP_INTERVAL = 3
GYROSCOPE = 5
MAGNETOMETER = 6
SKIN_TEMPERATURE = 7
PRESSURE = 11
TEMPERATURE = 12
OFFLINE_HEART_RATE = 14

# The upper bits distinguish a recording from a stream; a byte of 0x80 + 2 is still acceleration.
TYPE_MASK = 0x3F

WORDS = {
    ECG: "ecg",
    PPG: "ppg",
    ACCELERATION: "acc",
    PP_INTERVAL: "ppi",
    GYROSCOPE: "gyro",
    MAGNETOMETER: "magnetometer",
    SKIN_TEMPERATURE: "skin_temp",
    9: "sdk_mode",
    10: "location",
    PRESSURE: "pressure",
    TEMPERATURE: "temperature",
    13: "offline_recording",
    OFFLINE_HEART_RATE: "offline_hr",
}
"""PMD's names of the types; the feature bits have the same numbers and names."""

STREAMS = {
    "ecg": ECG,
    "ppg": PPG,
    "acceleration": ACCELERATION,
    "pp_interval": PP_INTERVAL,
    "gyroscope": GYROSCOPE,
    "magnetometer": MAGNETOMETER,
    "skin_temperature": SKIN_TEMPERATURE,
    "pressure": PRESSURE,
    "temperature": TEMPERATURE,
}
"""The types that can be streamed, by the kind of the published measurement."""
