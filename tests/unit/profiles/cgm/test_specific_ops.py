from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.cgm.specific_ops import (
    LevelAlert,
    RateAlert,
    decode_cgm_specific_ops,
    get_glucose_calibration,
    plain_request,
    set_communication_interval,
    set_glucose_calibration,
    set_level,
    set_rate,
)
from healthd.profiles.common.glucose_values import SampleLocation, SampleType
from healthd.profiles.packet.crc import with_crc


def near(value: float) -> Any:
    # Half of the last digit that an SFLOAT has for 100 mg/dL, in mmol/L.
    return pytest.approx(value, abs=0.05 / 18.0156)


@pytest.mark.parametrize(
    ("request_", "packet", "says"),
    [
        (set_communication_interval(interval_s=300), "0105", {"communication_interval_s": 300}),
        (set_communication_interval(interval_s=0), "0100", {"communication_interval_s": 0}),
        (set_communication_interval(interval_s=15_240), "01fe", {}),
        (set_communication_interval(interval_s=None), "01ff", {"communication_interval_s": None}),
        (
            set_glucose_calibration(
                glucose_mmol_per_l=108 / 18.0156,
                calibration_time_s=600,
                sample_type="capillary_whole_blood",
                sample_location="finger",
            ),
            "046c000a00110000000000",
            {
                "name": "set_glucose_calibration",
                "glucose_mmol_per_l": near(108 / 18.0156),
                "calibration_time_s": 600,
                "sample_type": "capillary_whole_blood",
                "sample_location": "finger",
            },
        ),
        (
            set_glucose_calibration(
                glucose_mmol_per_l=0, calibration_time_s=3_932_100, sample_type="venous_plasma"
            ),
            "040000fffff40000000000",
            {"sample_type": "venous_plasma", "sample_location": None},
        ),
        (get_glucose_calibration(record_number=3), "050300", {"record_number": 3}),
        (get_glucose_calibration(), "05ffff", {"record_number": 65535}),
        # 180 mg/dL
        (
            set_level("patient_high", level_mmol_per_l=9.99134),
            "07b400",
            {"name": "set_patient_high"},
        ),
        # 70.3 mg/dL, the nearest that an SFLOAT has to 70.26
        (set_level("hypo", level_mmol_per_l=3.9), "0dbff2", {"level_mmol_per_l": near(3.9)}),
        (set_level("hyper", level_mmol_per_l=0), "100000", {"level_mmol_per_l": 0.0}),
        (
            set_rate("rate_of_decrease", level_mmol_per_l_per_min=-2 / 18.0156),
            "13fe0f",
            {"level_mmol_per_l_per_min": near(-2 / 18.0156)},
        ),
        (plain_request("get_communication_interval"), "02", {"name": "get_communication_interval"}),
        (plain_request("reset_device_specific_alert"), "19", {}),
        (plain_request("start_session"), "1a", {"name": "start_session"}),
        (plain_request("stop_session"), "1b", {"name": "stop_session"}),
    ],
)
def test_request(request_: bytes, packet: str, says: dict[str, Any]) -> None:
    assert request_.hex() == packet
    fields = decode_cgm_specific_ops(request_).fields()
    assert {key: fields[key] for key in says} == says
    assert not fields.keys() & {"truncated", "trailing_bytes", "crc_ok"}
    assert decode_cgm_specific_ops(with_crc(request_)).fields() == {**fields, "crc_ok": True}


@pytest.mark.parametrize("alert", get_args(LevelAlert))
@given(level=st.floats(0, 55.6))
def test_any_level_comes_back(alert: LevelAlert, level: float) -> None:
    found = decode_cgm_specific_ops(set_level(alert, level_mmol_per_l=level))
    assert found.name == f"set_{alert}"
    # An SFLOAT has three digits at least, and the last of them is rounded.
    assert found.level_mmol_per_l == pytest.approx(level, rel=0.0025, abs=1e-8)


@pytest.mark.parametrize("alert", get_args(RateAlert))
@given(rate=st.floats(-3, 3))
def test_any_rate_comes_back(alert: RateAlert, rate: float) -> None:
    found = decode_cgm_specific_ops(set_rate(alert, level_mmol_per_l_per_min=rate))
    assert found.name == f"set_{alert}"
    assert found.level_mmol_per_l_per_min == pytest.approx(rate, rel=0.0025, abs=1e-8)


@pytest.mark.parametrize("sample_type", get_args(SampleType))
@pytest.mark.parametrize("sample_location", [*get_args(SampleLocation), None])
def test_any_sample_comes_back(
    sample_type: SampleType, sample_location: SampleLocation | None
) -> None:
    request = set_glucose_calibration(
        glucose_mmol_per_l=5,
        calibration_time_s=0,
        sample_type=sample_type,
        sample_location=sample_location,
    )
    found = decode_cgm_specific_ops(request)
    assert (found.sample_type, found.sample_location) == (sample_type, sample_location)


@pytest.mark.parametrize("value", [-1, 15_241, float("nan")])
def test_interval_out_of_range(value: float) -> None:
    with pytest.raises(ValueError, match=f"interval_s: expected 0 to 15240, found {value}"):
        set_communication_interval(interval_s=value)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("glucose_mmol_per_l", -0.1, "0 to 55.6"),
        ("glucose_mmol_per_l", 100, "0 to 55.6"),
        ("calibration_time_s", -1, "0 to 3932100"),
        ("calibration_time_s", 3_932_101, "0 to 3932100"),
    ],
)
def test_calibration_out_of_range(key: str, value: float, allowed: str) -> None:
    values = {"glucose_mmol_per_l": 5.0, "calibration_time_s": 0.0, key: value}
    with pytest.raises(ValueError, match=f"{key}: expected {allowed}, found {value}"):
        set_glucose_calibration(
            glucose_mmol_per_l=values["glucose_mmol_per_l"],
            calibration_time_s=values["calibration_time_s"],
            sample_type="capillary_plasma",
        )


@pytest.mark.parametrize("value", [-1, 65_536])
def test_record_number_out_of_range(value: int) -> None:
    with pytest.raises(ValueError, match=f"record_number: expected 0 to 65535, found {value}"):
        get_glucose_calibration(record_number=value)


@pytest.mark.parametrize("value", [-0.1, 100, float("nan")])
def test_level_out_of_range(value: float) -> None:
    """100 would be a level in mg/dL."""
    with pytest.raises(ValueError, match=f"level_mmol_per_l: expected 0 to 55.6, found {value}"):
        set_level("hypo", level_mmol_per_l=value)


@pytest.mark.parametrize("value", [-3.1, 3.1, float("nan")])
def test_rate_out_of_range(value: float) -> None:
    with pytest.raises(
        ValueError, match=f"level_mmol_per_l_per_min: expected -3 to 3, found {value}"
    ):
        set_rate("rate_of_increase", level_mmol_per_l_per_min=value)
