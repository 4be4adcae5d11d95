"""What is told of requests to a peripheral, and of who controls it."""

from collections.abc import Callable, Mapping

from healthd.events import ControlChange, ControlEvent
from healthd.log import get_logger

_ALARMS: tuple[ControlChange, ...] = ("release_failed", "lost")

# Asked every few seconds: no transition, and no news for the log.
_USUAL: tuple[ControlChange, ...] = ("set", "reset", "refused")


class Outcomes:
    """Tells them, as an event and in the log."""

    def __init__(self, peripheral: str, observer: Callable[[ControlEvent], None]) -> None:
        """Prepare.

        Args:
            peripheral: its id.
            observer: is given every event. Called in the event loop; must not block.
        """
        self._peripheral = peripheral
        self._observer = observer
        self._log = get_logger(peripheral=peripheral)

    def tell(
        self,
        change: ControlChange,
        verb: str | None = None,
        *,
        reason: str | None = None,
        detail: str | None = None,
        targets: Mapping[str, float] | None = None,
    ) -> None:
        """Tell one; see ``events.ControlEvent``. ``targets`` are by the keys of that."""
        said = {"change": change, "verb": verb, "reason": reason}
        known = {key: word for key, word in said.items() if word is not None}
        event = {"peripheral": self._peripheral, **known, **(targets or {})}
        self._observer(ControlEvent.of(event if detail is None else event | {"detail": detail}))
        usual = self._log.debug if change in _USUAL else self._log.info
        (self._log.warning if change in _ALARMS else usual)("control", **known)
