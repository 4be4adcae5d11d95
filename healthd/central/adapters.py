"""Which adapters there are, and which one healthd works on."""

from collections.abc import Callable

from healthd.central.faults import AdapterGone


class Adapters:
    """The adapters as BlueZ tells of them, and the one that is used.

    Without anybody who follows BlueZ (a simulated radio) there is always one, and it has no name.

    Attributes:
        current: the one that is used; None for none, or for one without a name.
        losses: how often one went away; who sees it change lost what it was doing.
    """

    def __init__(self, wanted: str | None = None, *, followed: bool = False) -> None:
        """Prepare.

        Args:
            wanted: the only one to be used, such as ``hci0``; None for any.
            followed: whether BlueZ is followed; until it has told, there is no adapter then.
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
        """Tell somebody of every change, and of an adapter whose links have ended, with why."""
        self._on_change = on_change
        self._on_loss = on_loss

    @property
    def usable(self) -> bool:
        """Whether there is an adapter to search and link with."""
        return not self._followed or self.current is not None

    @property
    def powered(self) -> dict[str, bool]:
        """Every adapter that may be used, and whether it is on."""
        return {name: on for name, on in self._powered.items() if self._wanted in (None, name)}

    def update(self, name: str, powered: bool | None) -> None:
        """An adapter is on (True), off (False) or gone (None)."""
        was_on = self._powered.get(name, False)
        if powered is None:
            self._powered.pop(name, None)
        else:
            self._powered[name] = powered
        if was_on and not powered:
            self.losses += 1
            reason = "adapter_gone" if powered is None else "adapter_off"
            self._on_loss(name, AdapterGone(reason, f"{name} {reason.removeprefix('adapter_')}"))
        self._choose()

    def lose_all(self, reason: str, message: str) -> None:
        """BlueZ or D-Bus is gone, and every adapter with it."""
        names, self._powered = list(self._powered), {}
        self.losses += 1
        for name in names:
            self._on_loss(name, AdapterGone(reason, message))
        self._choose()

    def avoid(self, name: str) -> str | None:
        """Move away from a broken adapter; the one that is used from now on, None for no other."""
        others = [other for other, on in self.powered.items() if on and other != name]
        if not others:
            return None
        # Who was avoided before may have recovered: one broken adapter is avoided at a time.
        self._avoided = {name}
        self.losses += 1
        self._on_loss(name, AdapterGone("adapter_broken", f"{name} stays broken"))
        self._choose()
        return self.current

    def _choose(self) -> None:
        on = sorted(name for name, powered in self.powered.items() if powered)
        better = [name for name in on if name not in self._avoided] or on
        if self.current not in better:
            self.current = better[0] if better else None
        self._on_change()
