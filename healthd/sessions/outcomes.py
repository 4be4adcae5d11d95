"""Reports of requests to a peripheral, and of changes in who controls it."""

from collections.abc import Callable, Mapping

from healthd.events import ControlChange, ControlEvent
from healthd.log import get_logger

_ALARMS: tuple[ControlChange, ...] = ("release_failed", "lost")

# These happen every few seconds during normal use, so they are logged at debug only.
_USUAL: tuple[ControlChange, ...] = ("set", "reset", "refused")


class Outcomes:
    """Reports the results of requests, as an event and in the log."""

    def __init__(self, peripheral: str, observer: Callable[[ControlEvent], None]) -> None:
        """Prepare.

        Args:
            peripheral: its id.
            observer: receives every event. Called in the event loop; must not block.
        """
        self._peripheral = peripheral
        self._observer = observer
        self._log = get_logger(peripheral=peripheral)

    def report(
        self,
        change: ControlChange,
        verb: str | None = None,
        *,
        reason: str | None = None,
        detail: str | None = None,
        targets: Mapping[str, float] | None = None,
    ) -> None:
        """Report one event; ``events.ControlEvent`` describes the fields and the target keys."""
        fields = {"change": change, "verb": verb, "reason": reason}
        known = {key: word for key, word in fields.items() if word is not None}
        event = {"peripheral": self._peripheral, **known, **(targets or {})}
        self._observer(ControlEvent.of(event if detail is None else event | {"detail": detail}))
        usual = self._log.debug if change in _USUAL else self._log.info
        (self._log.warning if change in _ALARMS else usual)("control", **known)
