"""The radio side of a gateway, as the settings want it."""

import pytest

from healthd.central.link import Backends
from healthd.events import AdapterChange
from healthd.gateway.radio_side import RadioSide
from healthd.settings.model import BluetoothSettings


def _on_adapter(_change: AdapterChange, _adapter: str, _detail: str) -> None: ...


def _on_bond(_peripheral: str, _bonded: bool) -> None: ...


@pytest.mark.parametrize(("scanning", "passive"), [("active", False), ("passive", True)])
async def test_passive_scanning_is_a_setting(scanning: str, *, passive: bool) -> None:
    settings = BluetoothSettings.model_validate({"scanning": scanning})
    side = RadioSide.build(settings, Backends(), None, _on_adapter, _on_bond)
    focus = side.radio._scanner.focus  # pyright: ignore[reportPrivateUsage]
    assert focus.prefers_passive == passive
