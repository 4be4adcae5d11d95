"""Which signals hold nothing but a value, and to whom it is passed."""

from types import SimpleNamespace
from typing import Any

import pytest

from healthd.central.values import Values

PATH = "/org/bluez/hci0/dev_C0_00_00_00_00_01/service0001/char0002"
INTERFACE = "org.bluez.GattCharacteristic1"


def signal(path: str = PATH, *gone: str, **changed: Any) -> Any:
    """Return a signal that properties have changed, and that others are not known any more."""
    variants = {name: SimpleNamespace(value=value) for name, value in changed.items()}
    return SimpleNamespace(
        path=path, member="PropertiesChanged", body=[INTERFACE, variants, list(gone)]
    )


@pytest.fixture
def taken() -> list[bytes]:
    return []


@pytest.fixture
def values(taken: list[bytes]) -> Values:
    values = Values()
    values.add(PATH, taken.append)
    return values


def test_a_value_is_passed_on_and_goes_no_further(values: Values, taken: list[bytes]) -> None:
    assert values.on_signal(signal(Value=bytearray(b"\1")))
    assert taken == [b"\1"]
    assert type(taken[0]) is bytes


def test_an_empty_value_is_a_value(values: Values, taken: list[bytes]) -> None:
    assert values.on_signal(signal(Value=b""))
    assert taken == [b""]


@pytest.mark.parametrize(
    "other",
    [
        signal(Value=b"\1", Notifying=True),
        signal(PATH, "MTU", Value=b"\1"),
        signal(Notifying=True),
        signal("/org/bluez/hci0", Powered=False),
        signal(PATH.replace("char0002", "char0003"), Value=b"\1"),
        SimpleNamespace(path=PATH, member="InterfacesRemoved", body=[PATH, [INTERFACE]]),
        SimpleNamespace(path=None, member=None, body=[]),
    ],
)
def test_all_else_is_left_to_bleak(values: Values, taken: list[bytes], other: Any) -> None:
    assert not values.on_signal(other)
    assert not taken


def test_the_end_of_an_old_link_does_not_end_the_next_one(
    values: Values, taken: list[bytes]
) -> None:
    new: list[bytes] = []
    take = new.append
    values.add(PATH, take)
    values.remove(PATH, taken.append)
    assert values.on_signal(signal(Value=b"\2"))
    assert (taken, new) == ([], [b"\2"])
    values.remove(PATH, take)
    assert not values.on_signal(signal(Value=b"\3"))
