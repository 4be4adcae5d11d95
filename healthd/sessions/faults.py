"""Faults that a session itself finds; those of the radio are in ``central/faults.py``."""

from collections.abc import Set as AbstractSet

from healthd.central.faults import PATIENT, SOON, LinkFault, LinkLost, Remedy
from healthd.errors import Backoff

# Nothing has failed.
_AT_ONCE = Backoff(first_s=0.0, ceiling_s=0.0)

# A minute at first for those it harms; the longest is what an owner waits who has mended it.
_REST_S = 60.0
_LONGEST_REST_S = 900.0


class ReconnectRequested(LinkLost):
    """The link was ended because somebody asked for a new one."""

    def __init__(self) -> None:
        """Nothing is wrong with the peripheral: it is searched at once."""
        super().__init__("reconnect_requested", "somebody asked for a new link")
        self.backoff = _AT_ONCE


class TakesRadioDown(LinkFault):
    """Whenever this link is made, the whole radio goes away: BlueZ, or the adapter.

    BlueZ 5.66 (Debian 12) crashes over a peripheral that has forgotten its bond, each time anew.
    At the usual pace its tries would cost every other peripheral its link every few seconds.
    """

    def __init__(self, times: int, fault: LinkFault) -> None:
        """Say how often in a row it has happened (from 2), and how it ended this time."""
        message = f"{fault}, {times} times in a row while this link was made; is its bond lost?"
        pause_s = min(_REST_S * 2 ** min(times - 2, 10), _LONGEST_REST_S)
        super().__init__("takes_radio_down", message, Backoff(pause_s, pause_s))


class NotificationStalled(LinkFault):
    """The link stands, but a characteristic fell silent."""

    def __init__(self, uuid: str, silent_s: float) -> None:
        """Name the characteristic and how long it has been silent."""
        super().__init__("stalled", f"{uuid} silent for {silent_s:.1f} s", SOON)


class ControlFailed(LinkFault):
    """A machine does not answer, or does not give control back: that ends with the link.

    A control point that has not answered is not to be asked again on the same link, say the
    services: what comes late would be taken for the answer to something else.
    """

    def __init__(self, said: str) -> None:
        """Say what failed."""
        super().__init__("control_failed", said, SOON)


class NothingToRead(LinkFault):
    """The peripheral has no characteristic that healthd can stream."""

    def __init__(self) -> None:
        """A stale GATT cache looks the same (bleak#882, bluez#191): it is forgotten once."""
        message = "no characteristic that healthd reads"
        super().__init__("nothing_to_read", message, PATIENT, Remedy.REFRESH)


class CharacteristicMissing(LinkFault):
    """The peripheral had a characteristic on an earlier link that this one lacks."""

    def __init__(self, uuids: AbstractSet[str]) -> None:
        """Name what is missing; BlueZ says that it is ready too early at times (bluez#1489)."""
        message = f"{', '.join(sorted(uuids))} was there before"
        super().__init__("characteristic_missing", message, SOON, Remedy.REFRESH)


class ServicesForgotten(LinkFault):
    """BlueZ was made to forget the peripheral's services; the next link discovers them anew."""

    def __init__(self, fault: LinkFault) -> None:
        """Name the fault that made it necessary."""
        super().__init__("services_refreshed", f"{fault}: discovering services anew", SOON)
