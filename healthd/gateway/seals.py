"""Devices that encrypt what they advertise, and cannot be read."""

from collections.abc import Callable

from healthd.errors import Sealed
from healthd.log import get_logger

_DECRYPTED = ""


class Seals:
    """Says once why the data of a device cannot be decrypted, not for each advertisement.

    Encrypted data is not published as undecoded: nothing can be made of it. A device that was
    decrypted is readable. What cannot be read after that is another device with its address, or was
    damaged on the way.
    """

    def __init__(self, explain: Callable[[str, str | None], None]) -> None:
        """``explain`` puts the reason into the info of a peripheral; None: it is readable now."""
        self._explain = explain
        self._found: dict[str, set[str]] = {}
        # By peripheral, whatever device it is: anyone can take a new address every millisecond.
        self._logged: dict[str, set[str]] = {}
        self._log = get_logger(service="pipeline")

    def forget(self, peripheral: str) -> None:
        """Judge again: it has another address, and perhaps is another device."""
        self._found.pop(peripheral, None)

    def remove(self, peripheral: str) -> None:
        """Start over: there is no such peripheral any more."""
        self.forget(peripheral)
        self._logged.pop(peripheral, None)

    def note(self, peripheral: str, sealed: Sealed) -> None:
        """Report data that cannot be read, if it is the first for this reason."""
        found = self._found.setdefault(peripheral, set())
        if sealed.reason in found:
            return
        if _DECRYPTED not in found:
            self._explain(peripheral, sealed.reason)
        found.add(sealed.reason)
        logged = self._logged.setdefault(peripheral, set())
        if sealed.reason in logged:
            return
        logged.add(sealed.reason)
        self._log.warning(
            "advertisement not readable",
            peripheral=peripheral,
            reason=sealed.reason,
            hint=str(sealed),
        )

    def note_decoded(self, peripheral: str) -> None:
        """Note that the device can be read, and remove an earlier reason from its info."""
        found = self._found.get(peripheral)
        if found is None:
            self._found[peripheral] = {_DECRYPTED}
        elif _DECRYPTED not in found:
            found.add(_DECRYPTED)
            self._explain(peripheral, None)
