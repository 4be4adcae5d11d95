"""A link that yields nothing: when it counts as such, and what may help."""

from collections.abc import Iterable

from healthd.log import get_logger
from healthd.profiles.characteristic import Use
from healthd.profiles.common.machines import CONTROL_POINT, TREADMILL_DATA
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.sessions.plan import Discovered
from healthd.sessions.subscriptions import Subscriptions
from healthd.sessions.values import Values
from healthd.supervision.deadline import timeout

# Sensors that measure all the time send at least every second or two.
NO_DATA_S = 5.0

_START = "it may wait to be started: set start = true for it in the settings"
_STARTED = "it was asked to start, as the settings say; use it, or press its own start key"
_TREADMILL = (
    "a treadmill sends values once its belt runs; healthd starts it only on request, if the"
    " settings have control.speed_mps for it"
)
_PMD = 'it sends raw signals on request only: set pmd, such as pmd = ["ppg"], in the settings'
_USER = "if it keeps results for its users, set user and consent_file for it in the settings"
_RESULTS = (
    'it sends a result after each use; on = "advertising" in the settings links it only then, which'
    " saves its battery"
)
_NOTHING = (
    "it has only its battery and its description to read: healthd may not know its protocol, or it"
    " sends its values in advertisements"
)
_WORN = "wear it, or moisten its electrodes"


class NoData:
    """Reports, link after link, that a peripheral yields nothing, and when it does again."""

    def __init__(self, peripheral: str, values: Subscriptions, observer: Values) -> None:
        """Prepare.

        Args:
            peripheral: its id.
            values: the subscriptions, prepared on each link.
            observer: receives the reason.
        """
        self._peripheral = peripheral
        self._values = values
        self._observer = observer
        self._logged = False
        self._log = get_logger(peripheral=peripheral)

    async def watch(self, advice: str, silence_s: float | None, *, is_setting: bool) -> None:
        """Report once on this link if no value comes, and return after the first value.

        The log has it again only after a value has come, however many links that takes.

        Args:
            advice: what may help.
            silence_s: the shortest time after which a silent link is ended; None: it is not ended.
            is_setting: whether a missing setting may be the cause.
        """
        flows, report = self._values.flows, self._observer.on_no_data
        wait_s = NO_DATA_S if silence_s is None else min(NO_DATA_S, silence_s / 2)
        reason = "no_data"
        if not self._values.measures:
            wait_s, advice, is_setting, reason = 0.0, _NOTHING, False, "no_measurements"
        try:
            async with timeout(wait_s):
                await flows.wait()
        except TimeoutError:
            report(self._peripheral, reason)
            if not self._logged:
                self._logged = True
                write = self._log.warning if is_setting else self._log.info
                write("no data", reason=reason, advice=advice)
            await flows.wait()
            report(self._peripheral, None)
        self._logged = False


def advice_for(
    link: Discovered, profiles: Iterable[Profile], options: Options, *, starts: bool
) -> tuple[str, bool]:
    """Return what may help if a device sends no values, and whether that is a missing setting.

    Args:
        link: the link.
        profiles: the profiles of the device.
        options: what the settings say to its profiles.
        starts: whether the settings say that a machine is started.
    """
    by_name = {profile.name: profile for profile in profiles}
    uuids = link.characteristics
    if "fitness_machine" in by_name:
        if TREADMILL_DATA in uuids:
            return _TREADMILL, True
        if CONTROL_POINT in uuids:
            return (_STARTED, False) if starts else (_START, True)
    if "user_data" in by_name and options.consent is None:
        return _USER, True
    if "polar_pmd" in by_name and not options.pmd:
        return _PMD, True
    if "heart_rate" in by_name:
        return _WORN, False
    if any(_gives_results(profile, link) for profile in by_name.values()):
        return _RESULTS, False  # it is normal that nothing comes before the device is used
    return "use it, or wake it up", False


def _gives_results(profile: Profile, link: Discovered) -> bool:
    return any(
        each.model.retained and each.uuid in link.characteristics
        for each in profile.characteristics
        if each.use is Use.STREAM
    )
