"""The faults that a session detects itself; those of the radio are in ``central/faults.py``."""

from collections.abc import Set as AbstractSet

from healthd.central.faults import PATIENT, SOON, LinkFault, LinkLost, Remedy
from healthd.errors import Backoff

# Nothing has failed, so there is no pause.
_AT_ONCE = Backoff(first_s=0.0, ceiling_s=0.0)

# A minute at first, to protect the other peripherals; the longest is what an owner may have to wait
# after fixing the cause.
_REST_S = 60.0
_LONGEST_REST_S = 900.0


class ReconnectRequested(LinkLost):
    """The link was ended because a client requested a new one."""

    def __init__(self) -> None:
        """Search again at once: nothing is wrong with the peripheral."""
        super().__init__("reconnect_requested", "a reconnect was requested")
        self.backoff = _AT_ONCE


class OffersLink(LinkFault):
    """A device that was only listened to advertises that it can be linked, too."""

    def __init__(self) -> None:
        """Search again at once: nothing is wrong with the peripheral."""
        super().__init__("offers_link", "the device can be linked", _AT_ONCE)


class TakesRadioDown(LinkFault):
    """BlueZ or the adapter goes away each time this link is made.

    That ends the links of all other peripherals as well; with the usual pauses it would do so
    every few seconds. Pairing again may help.
    """

    def __init__(self, peripheral: str, times: int, fault: LinkFault) -> None:
        """Say how often in a row it has happened (from 2), and how it ended this time."""
        message = (
            f"{fault}: BlueZ or the adapter went away {times} times in a row while this link was"
            f" made; if the device is paired, try healthd pair {peripheral} --again"
        )
        pause_s = min(_REST_S * 2 ** min(times - 2, 10), _LONGEST_REST_S)
        super().__init__("takes_radio_down", message, Backoff(pause_s, pause_s))


class NotificationStalled(LinkFault):
    """The link exists, but a characteristic stopped sending values."""

    def __init__(self, uuid: str, silent_s: float) -> None:
        """Name the characteristic and how long it has been silent."""
        super().__init__("stalled", f"{uuid} silent for {silent_s:.1f} s", SOON)


class ControlFailed(LinkFault):
    """A fitness machine does not answer, or does not release control; the link has to end.

    The services say that a control point that has not answered must not be asked again on the
    same link: a late answer would be mistaken for the answer to the next request.
    """

    def __init__(self, text: str) -> None:
        """Say what failed."""
        super().__init__("control_failed", text, SOON)


class NothingToRead(LinkFault):
    """The peripheral has no characteristic that healthd can stream."""

    def __init__(self) -> None:
        """Refresh the services once: a stale GATT cache looks the same (bleak#882, bluez#191)."""
        message = "the device has no characteristic that healthd reads"
        super().__init__("nothing_to_read", message, PATIENT, Remedy.REFRESH)


class CharacteristicMissing(LinkFault):
    """A characteristic of an earlier link is missing on this one."""

    def __init__(self, uuids: AbstractSet[str]) -> None:
        """Name what is missing; BlueZ sometimes reports services too early (bluez#1489)."""
        message = f"missing, but present on an earlier link: {', '.join(sorted(uuids))}"
        super().__init__("characteristic_missing", message, SOON, Remedy.REFRESH)


class ServiceMissing(LinkFault):
    """The device has not (yet) shown a service that the settings or its advertisement name."""

    def __init__(self, names: AbstractSet[str]) -> None:
        """Name the profiles; BlueZ sometimes reports services too early (bluez#1489)."""
        message = f"the device shows no service for: {', '.join(sorted(names))}"
        super().__init__("service_missing", message, SOON, Remedy.REFRESH)


class NoMeasurements(LinkFault):
    """The device shows nothing but its battery and its description."""

    def __init__(self) -> None:
        """Refresh the services once: the measurements may have been missed (bleak#1806)."""
        message = "the device shows nothing that measures, only battery and device information"
        super().__init__("no_measurements", message, SOON, Remedy.REFRESH)


class NoKey(LinkFault):
    """The device can be read only with a key, and there is none."""

    def __init__(self, peripheral: str, hint: str) -> None:
        """Say how to make one.

        Args:
            peripheral: its id.
            hint: see ``Pairing.hint``.
        """
        fix = f"{hint}, then: healthd pair {peripheral}"
        super().__init__("no_key", f"the device answers only with a key: {fix}", PATIENT)


class BadKey(LinkFault):
    """The key of the device cannot be used."""

    def __init__(self, peripheral: str, found: str) -> None:
        """Say what was found, and how to make another one.

        Args:
            peripheral: its id.
            found: what is wrong with the file, without its content.
        """
        super().__init__(
            "bad_key", f"{found}; a new key: healthd pair {peripheral} --again", PATIENT
        )


class Unanswered(LinkFault):
    """The device has not answered a request; further ones on the same link would wait, too."""

    def __init__(self, step: str, limit_s: float) -> None:
        """Name the request and how long the device had to answer it."""
        super().__init__("timeout", f"{step}: no answer within {limit_s:.0f} s", SOON)


class TransferStopped(LinkFault):
    """The device has stopped answering while its stored data was fetched; another link may help."""

    def __init__(self, error: str) -> None:
        """Say what was not answered."""
        super().__init__("timeout", f"its stored data was not fetched whole: {error}", SOON)


class ServicesForgotten(LinkFault):
    """BlueZ has forgotten the peripheral's services; the next link discovers them again."""

    def __init__(self, fault: LinkFault) -> None:
        """Name the fault that made it necessary."""
        super().__init__(
            "services_refreshed", f"{fault}; the next link discovers the services again", SOON
        )
