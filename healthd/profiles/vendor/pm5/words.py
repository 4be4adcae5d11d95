"""The enumerations of a PM5, in words; a number without a word stays a number.

Source: appendix A of the maker's interface definition, revision 1.30.
"""

from typing import Literal

Machine = Literal["rower", "skierg", "bikeerg", "dyno"]
WorkoutType = Literal[
    "just_row",
    "just_row_splits",
    "fixed_distance",
    "fixed_distance_splits",
    "fixed_time",
    "fixed_time_splits",
    "fixed_time_intervals",
    "fixed_distance_intervals",
    "variable_intervals",
    "variable_intervals_undefined_rest",
    "fixed_calories",
    "fixed_watt_minutes",
    "fixed_calories_intervals",
]
IntervalType = Literal[
    "time",
    "distance",
    "rest",
    "time_undefined_rest",
    "distance_undefined_rest",
    "undefined_rest",
    "calories",
    "calories_undefined_rest",
    "watt_minutes",
    "watt_minutes_undefined_rest",
]
WorkoutState = Literal[
    "waiting",
    "rowing",
    "countdown",
    "resting",
    "time_interval",
    "distance_interval",
    "rest_to_time_interval",
    "rest_to_distance_interval",
    "time_interval_to_rest",
    "distance_interval_to_rest",
    "ended",
    "broken_off",
    "logged",
    "rearmed",
]
StrokeState = Literal["waiting_for_speed", "waiting_to_accelerate", "drive", "dwell", "recovery"]

MACHINES: dict[int, Machine] = {
    # Models A to E, their simulator and the Dynamic; the same on slides; in a workout that changes
    # the machine.
    **dict.fromkeys((0, 1, 2, 3, 5, 7, 8, 16, 17, 18, 19, 20, 32, 224), "rower"),
    64: "dyno",
    **dict.fromkeys((128, 143, 225), "skierg"),
    **dict.fromkeys((192, 193, 194, 207, 226), "bikeerg"),
}
WORKOUT_TYPES: dict[int, WorkoutType] = {
    0: "just_row",
    1: "just_row_splits",
    2: "fixed_distance",
    3: "fixed_distance_splits",
    4: "fixed_time",
    5: "fixed_time_splits",
    6: "fixed_time_intervals",
    7: "fixed_distance_intervals",
    8: "variable_intervals",
    9: "variable_intervals_undefined_rest",
    10: "fixed_calories",
    11: "fixed_watt_minutes",
    12: "fixed_calories_intervals",
}
INTERVAL_TYPES: dict[int, IntervalType | None] = {
    0: "time",
    1: "distance",
    2: "rest",
    3: "time_undefined_rest",
    4: "distance_undefined_rest",
    5: "undefined_rest",
    6: "calories",
    7: "calories_undefined_rest",
    8: "watt_minutes",
    9: "watt_minutes_undefined_rest",
    255: None,
}
WORKOUT_STATES: dict[int, WorkoutState] = {
    0: "waiting",
    1: "rowing",
    2: "countdown",
    3: "resting",
    4: "time_interval",
    5: "distance_interval",
    6: "rest_to_time_interval",
    7: "rest_to_distance_interval",
    8: "time_interval_to_rest",
    9: "distance_interval_to_rest",
    10: "ended",
    11: "broken_off",
    12: "logged",
    13: "rearmed",
}
STROKE_STATES: dict[int, StrokeState] = {
    0: "waiting_for_speed",
    1: "waiting_to_accelerate",
    2: "drive",
    3: "dwell",
    4: "recovery",
}
