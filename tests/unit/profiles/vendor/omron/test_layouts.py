import pytest

from healthd.profiles.dialogue import ExchangeRefused
from healthd.profiles.identity import Identity
from healthd.profiles.vendor.omron.layouts import CLASSIC, MODERN, find_layout


# Models of owners' cuffs: the support table of userx14/omblepy, issues of eigger/hass-omron.
@pytest.mark.parametrize(
    ("said", "layout"),
    [
        ("HEM-7155T-EBK", "HEM-7155T"),
        ("HEM-7155T_ESL", "HEM-7155T"),
        ("HEM-7340T-Z", "HEM-7155T"),
        ("M4 Intelli IT", "HEM-7155T"),
        ("HEM-7361T", "HEM-7361T"),
        ("HEM-7342T-Z", "HEM-7361T"),
        ("BP7450", "HEM-7361T"),
        ("HEM-7322T-E", "HEM-7322T"),
        ("OMRON HEM-7322T-D", "HEM-7322T"),
        ("hem-7280t-e ", "HEM-7322T"),
        ("HEM-7600T-E", "HEM-7600T"),
        ("BP7000", "HEM-7600T"),
        ("Evolv", "HEM-7600T"),
        ("HEM-7530T_E3", "HEM-7530T"),
        ("Complete", "HEM-7530T"),
    ],
)
def test_classic_models(said: str, layout: str) -> None:
    assert find_layout(CLASSIC, Identity(model=said)).model == layout


@pytest.mark.parametrize(
    ("said", "layout"),
    [
        ("HEM-7142T2-ZAZ", "HEM-7142T2"),
        ("HEM-7140T1", "HEM-7142T2"),
        ("BP7150", "HEM-7142T2"),
        ("HEM-7380T1-EBK", "HEM-7380T1"),
        ("X7 Smart AFib", "HEM-7380T1"),
    ],
)
def test_modern_models(said: str, layout: str) -> None:
    assert find_layout(MODERN, Identity(model=said)).model == layout


def test_a_name_of_several_models_is_resolved_by_what_is_advertised() -> None:
    m7 = Identity(model="M7 Intelli IT", name="BLESmart_0000025828FFB2000001")
    assert find_layout(CLASSIC, m7).model == "HEM-7361T"
    no_model = Identity(name="BLEsmart_0000034028FFB2000001")
    assert find_layout(CLASSIC, no_model).model == "HEM-7600T"


@pytest.mark.parametrize(
    "device",
    [
        # Two layouts have this name.
        Identity(model="M7 Intelli IT"),
        Identity(model="HEM-7320T-Z"),
        Identity(model="HEM-7600T_W"),
        # The modern stack's models are elsewhere in the memory.
        Identity(model="HEM-7380T1-EBK"),
        Identity(name="BLEsmart_0000999928FFB2000001"),
        Identity(name="HEM-7600T"),
        Identity(),
    ],
    ids=lambda device: device.model or device.name or "nothing",
)
def test_an_unknown_model_is_refused_by_its_name(device: Identity) -> None:
    with pytest.raises(ExchangeRefused, match=device.model or device.name or "unknown") as raised:
        find_layout(CLASSIC, device)
    assert "report" in str(raised.value)


def test_a_model_is_in_one_layout_of_its_stack() -> None:
    for layouts in (CLASSIC, MODERN):
        for patterns in ("models", "advertised"):
            listed = [each for layout in layouts for each in getattr(layout, patterns)]
            assert len(set(listed)) == len(listed)
            assert all(each == each.upper() for each in listed)


def test_the_rings_of_two_users_do_not_overlap() -> None:
    for layout in (*CLASSIC, *MODERN):
        size = layout.records * layout.record_bytes
        assert list(layout.users) == sorted(layout.users)
        assert all(b - a >= size for a, b in zip(layout.users, layout.users[1:], strict=False))
        assert layout.at_once >= 1
