import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.options import Options
from healthd.profiles.polar_pmd.control import decode_control
from healthd.profiles.polar_pmd.kinds import STREAMS
from healthd.profiles.polar_pmd.requests import (
    get_settings,
    open_streams,
    start,
    stop,
)


def test_start_of_an_h10_ecg_matches_its_documentation() -> None:
    written = start("ecg", sample_rate_hz=130, resolution_bits=14)
    assert written == bytes.fromhex("02000001820001010e00")


def test_start_of_a_verity_acceleration_matches_a_capture() -> None:
    written = start("acceleration", sample_rate_hz=52, resolution_bits=16, range_max=8, channels=3)
    assert written == bytes.fromhex("0202000134000101100002010800040103")


@pytest.mark.parametrize(
    ("written", "packet"),
    [
        (get_settings("acceleration"), "0102"),
        (start("pp_interval"), "0203"),
        (start("pressure", range_max_milli=70000), "020b030170110100"),
        (stop("ecg"), "0300"),
        (stop("temperature"), "030c"),
    ],
)
def test_bytes(written: bytes, packet: str) -> None:
    assert written.hex() == packet


@given(
    kind=st.sampled_from(sorted(STREAMS)),
    rate=st.integers(0, 0xFFFF),
    bits=st.integers(0, 0xFFFF),
    largest=st.integers(0, 0xFFFF),
    milli=st.integers(0, 0xFFFFFFFF),
    channels=st.integers(0, 0xFF),
)
def test_start_is_decoded_as_it_was_written(
    kind: str, rate: int, bits: int, largest: int, milli: int, channels: int
) -> None:
    written = start(
        kind,
        sample_rate_hz=rate,
        resolution_bits=bits,
        range_max=largest,
        range_max_milli=milli,
        channels=channels,
    )
    assert decode_control(written).fields() == {
        "opcode": 2,
        "measurement_type": STREAMS[kind],
        "sample_rates_hz": [rate],
        "resolutions_bits": [bits],
        "ranges": [largest],
        "ranges_milli": [milli],
        "channels": [channels],
    }


@pytest.mark.parametrize("kind", STREAMS)
def test_requests_of_one_type_are_decoded_as_they_were_written(kind: str) -> None:
    number = STREAMS[kind]
    assert decode_control(get_settings(kind)).fields() == {"opcode": 1, "measurement_type": number}
    assert decode_control(stop(kind)).fields() == {"opcode": 3, "measurement_type": number}


@pytest.mark.parametrize(
    ("argument", "value", "largest"),
    [
        ("sample_rate_hz", 65536, 65535),
        ("resolution_bits", -1, 65535),
        ("range_max", 65536, 65535),
        ("range_max_milli", 2**32, 2**32 - 1),
        ("channels", 256, 255),
    ],
)
def test_a_value_out_of_range_is_named(argument: str, value: int, largest: int) -> None:
    with pytest.raises(ValueError, match=f"^{argument}: expected 0 to {largest}, found {value}$"):
        start("ecg", **{argument: value})


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match=r"kind: expected one of ecg, ppg, .* found 'heart_rate'"):
        stop("heart_rate")


ACC_SETTINGS = "f00102000000041900320064 00c800 01011000 0203020004000800"
ECG_SETTINGS = "f001000000 00018200 01010e00"


def session(wanted: tuple[str, ...], answers: dict[str, list[str]]) -> list[str]:
    """Return the written requests. Each gets its next answer, or a refusal if there is none."""
    exchange = open_streams(Options(pmd=wanted))
    written: list[str] = []
    try:
        request = next(exchange)
        while True:
            written.append(request.hex())
            left = answers.get(request.hex(), [])
            answer = left.pop(0) if left else f"f0{request[:2].hex()}0300"
            request = exchange.send(bytes.fromhex(answer.replace(" ", "")))
    except StopIteration:
        return written


def test_without_streams_nothing_is_written() -> None:
    assert session((), {}) == []


def test_an_h10_is_asked_for_ecg_and_50_hz_of_acceleration() -> None:
    answers = {"0100": [ECG_SETTINGS], "0102": [ACC_SETTINGS]}
    ecg, acceleration = "02000001820001010e00", "02020001320001011000020108 00".replace(" ", "")
    answers |= {ecg: ["f002000000"], acceleration: ["f002020000"]}
    assert session(("ecg", "acceleration"), answers) == ["0100", ecg, "0102", acceleration]


def test_a_verity_is_asked_for_the_lowest_rate_that_serves() -> None:
    offered = "f001010000 0005 1c002c0037008700b000 01011600 0401 04"
    assert session(("ppg",), {"0101": [offered]})[1] == "0201000137000101160004 0104".replace(
        " ", ""
    )


def test_the_highest_rate_is_chosen_if_all_are_low() -> None:
    assert session(("gyroscope",), {"0105": ["f001050000 0002 0d001a00"]})[1] == "020500011a00"


def test_a_stream_without_settings_is_started_without_them() -> None:
    assert session(("pp_interval",), {}) == ["0203"]
    assert session(("pressure",), {"010b": ["f0010b0000"]}) == ["010b", "020b"]


@pytest.mark.parametrize(
    "answer",
    ["f001000200", "", "f0", "f002000000", "0f0500", "f001000300 0001 8200"],
    ids=["refused", "empty", "cut", "of another request", "features", "refused with settings"],
)
def test_after_a_refusal_or_no_answer_the_next_kind_is_started(answer: str) -> None:
    assert session(("ecg", "pp_interval"), {"0100": [answer]}) == ["0100", "0203"]


def test_after_a_refused_start_the_next_kind_is_started() -> None:
    start_ecg = "02000001820001010e00"
    answers = {"0100": [ECG_SETTINGS], start_ecg: ["f002000a00"]}
    assert session(("ecg", "pp_interval"), answers) == ["0100", start_ecg, "0203"]


def test_a_running_stream_is_restarted() -> None:
    assert session(("pp_interval",), {"0203": ["f002030600", "f002030000"]}) == [
        "0203",
        "0303",
        "0203",
    ]


def test_a_stream_that_cannot_be_stopped_is_given_up() -> None:
    assert session(("pp_interval",), {"0203": ["f002030600"] * 9}) == ["0203", "0303", "0203"]


def test_an_unknown_kind_in_the_settings_is_not_a_refusal() -> None:
    with pytest.raises(ValueError, match="found 'step_count'"):
        session(("step_count",), {})
