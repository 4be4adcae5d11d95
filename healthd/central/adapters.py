"""The existing Bluetooth adapters, and the one that healthd uses."""

from collections.abc import Callable

from healthd.central.faults import AdapterGone


class Adapters:
    """The adapters that BlueZ reports, and the one in use.

    If BlueZ is not followed (a simulated radio), there is always an adapter, and it has no name.

    Attributes:
        current: the adapter in use; None if there is none, or if it has no name.
        losses: how often an adapter went away. If it changes during an operation, that operation
            has lost its adapter.
    """

    def __init__(self, wanted: str | None = None, *, followed: bool = False) -> None:
        """Prepare.

        Args:
            wanted: the only adapter to use, such as ``hci0``; None for any.
            followed: whether BlueZ is followed; there is then no adapter before its first report.
        """
        self._wanted = wanted
        self._followed = followed
        self._powered: dict[str, bool] = {}
        self._avoided: set[str] = set()
        self._on_change: Callable[[], None] = lambda: None
        self._on_loss: Callable[[str, AdapterGone], None] = lambda _adapter, _fault: None
        self.current: str | None = None
        self.losses = 0

    def attach(
        self, on_change: Callable[[], None], on_loss: Callable[[str, AdapterGone], None]
    ) -> None:
        """Set what is called after each change, and when the links of an adapter have ended."""
        self._on_change = on_change
        self._on_loss = on_loss

    @property
    def usable(self) -> bool:
        """Whether there is an adapter to search and connect with."""
        return not self._followed or self.current is not None

    @property
    def powered(self) -> dict[str, bool]:
        """Every adapter that the settings allow, and whether it is on."""
        return {name: on for name, on in self._powered.items() if self._wanted in (None, name)}

    def update(self, name: str, powered: bool | None) -> None:
        """Note that an adapter is on (True), off (False) or gone (None)."""
        was_on = self._powered.get(name, False)
        if powered is None:
            self._powered.pop(name, None)
        else:
            self._powered[name] = powered
        if was_on and not powered:
            self.losses += 1
            if powered is None:
                fault = AdapterGone("adapter_gone", f"adapter {name} is gone")
            else:
                fault = AdapterGone("adapter_off", f"adapter {name} is off")
            self._on_loss(name, fault)
        self._choose()

    def lose_all(self, reason: str, message: str) -> None:
        """Note that BlueZ or D-Bus is gone, and every adapter with it."""
        names, self._powered = list(self._powered), {}
        self.losses += 1
        for name in names:
            self._on_loss(name, AdapterGone(reason, message))
        self._choose()

    def avoid(self, name: str) -> str | None:
        """Switch from a broken adapter to another; return that one, or None if there is none."""
        others = [other for other, on in self.powered.items() if on and other != name]
        if not others:
            return None
        # An adapter that was avoided earlier may have recovered, so only the latest is avoided.
        self._avoided = {name}
        self.losses += 1
        self._on_loss(name, AdapterGone("adapter_broken", f"adapter {name} does not recover"))
        self._choose()
        return self.current

    def _choose(self) -> None:
        on = sorted(name for name, powered in self.powered.items() if powered)
        better = [name for name in on if name not in self._avoided] or on
        if self.current not in better:
            self.current = better[0] if better else None
        self._on_change()
