"""Which adapter is used, and which links are lost when one goes away."""

from healthd.central.adapters import Adapters
from healthd.central.faults import AdapterGone


def recorded_losses(adapters: Adapters) -> list[tuple[str, str]]:
    """Return a list to which each lost adapter is added, with its name and the reason."""
    losses: list[tuple[str, str]] = []

    def lost(name: str, fault: AdapterGone) -> None:
        losses.append((name, fault.reason))

    adapters.attach(lambda: None, lost)
    return losses


def test_a_simulated_radio_needs_no_adapter() -> None:
    adapters = Adapters()
    assert adapters.usable
    assert adapters.current is None


def test_the_first_adapter_that_is_on_stays_in_use() -> None:
    adapters = Adapters(followed=True)
    assert not adapters.usable
    adapters.update("hci0", False)
    assert not adapters.usable
    adapters.update("hci1", True)
    adapters.update("hci0", True)
    assert adapters.usable
    assert adapters.current == "hci1"


def test_only_the_adapter_of_the_settings_is_used() -> None:
    adapters = Adapters("hci1", followed=True)
    adapters.update("hci0", True)
    assert not adapters.usable
    adapters.update("hci1", True)
    assert adapters.current == "hci1"
    assert adapters.avoid("hci1") is None


def test_a_lost_adapter_loses_its_links_and_another_one_is_used() -> None:
    adapters = Adapters(followed=True)
    losses = recorded_losses(adapters)
    for name in ("hci0", "hci1"):
        adapters.update(name, True)
    adapters.update("hci0", False)
    assert losses == [("hci0", "adapter_off")]
    assert adapters.current == "hci1"
    adapters.update("hci1", None)
    assert losses[1:] == [("hci1", "adapter_gone")]
    assert not adapters.usable
    adapters.update("hci0", True)
    assert adapters.current == "hci0"


def test_all_adapters_are_lost_with_bluez() -> None:
    adapters = Adapters(followed=True)
    losses = recorded_losses(adapters)
    for name in ("hci0", "hci1"):
        adapters.update(name, True)
    adapters.lose_all("bluez_gone", "gone")
    assert losses == [("hci0", "bluez_gone"), ("hci1", "bluez_gone")]
    assert not adapters.usable


def test_a_broken_adapter_is_avoided_while_there_is_another() -> None:
    adapters = Adapters(followed=True)
    losses = recorded_losses(adapters)
    for name in ("hci0", "hci1"):
        adapters.update(name, True)
    assert adapters.avoid("hci0") == "hci1"
    assert losses == [("hci0", "adapter_broken")]
    assert adapters.avoid("hci1") == "hci0", "it may have recovered meanwhile"
    adapters.update("hci1", None)
    assert adapters.avoid("hci0") is None
    assert adapters.current == "hci0"


def test_every_loss_is_counted() -> None:
    adapters = Adapters(followed=True)
    adapters.update("hci0", True)
    before = adapters.losses
    adapters.update("hci0", False)
    adapters.update("hci0", True)
    assert adapters.losses == before + 1
