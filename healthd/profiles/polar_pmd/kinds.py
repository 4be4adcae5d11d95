"""What a Polar sensor can measure, by the numbers that PMD gives it."""

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

# The upper bits tell a recording from a stream; a byte of 0x80 + 2 is still acceleration.
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
"""PMD's own words; also those of the feature bits, whose numbers are the same."""

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
"""What can be streamed, by the kind of the measurement that is published."""
