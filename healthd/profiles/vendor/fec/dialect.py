"""Controls a trainer over FE-C: no control is asked for, and page 71 has the result of a command.

Every command is answered by the ATT acknowledgement at most. Page 71, which is asked for with page
70, has the last command, a sequence number, its status, and the last four bytes of the command.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from healthd.errors import DecodeError
from healthd.profiles.common.machines import FEC_CONTROL, FEC_DATA, Range
from healthd.profiles.fitness_machine.machine import Machine, RoadCode
from healthd.profiles.vendor.fec.commands import (
    frames_in,
    request_page,
    road_of,
    set_basic_resistance,
    set_simulation,
    set_target_power,
    set_track,
    set_wind,
)
from healthd.profiles.vendor.fec.frames import FRAME_BYTES, page_of
from healthd.profiles.vendor.fec.pages import (
    CAPABILITIES,
    COMMAND_STATUS,
    CommandStatus,
    FecPage,
    Mode,
    decode_page,
)

_STEP_PCT = 0.5

_RESISTANCE, _POWER = "resistance_level", "power_w"

# The features of a fitness machine that are the modes of a trainer.
_FEATURES: Mapping[Mode, str] = {
    "resistance": "resistance",
    "power": "power",
    "simulation": "indoor_bike_simulation",
}
_ANY_MODE = frozenset(_FEATURES.values())

_WORDS: Mapping[CommandStatus | int | None, str] = {
    "pass": "success",
    "fail": "operation_failed",
    "not_supported": "opcode_not_supported",
    "rejected": "invalid_parameter",
}
"""What an answer of a fitness machine would say; other statuses are no answers."""

# The last four bytes of a page, which its command status repeats.
_DATA_AT = 4

# Where a frame has its page, and the pages that matter for control: few of all that come.
_PAGE_AT = 4
_HEARD = (bytes((CAPABILITIES,)), bytes((COMMAND_STATUS,)))

_CALM, _FLAT = set_wind(), set_track(grade_pct=0)


class FecTrainer:
    """A trainer of FE-C on one link."""

    control = FEC_CONTROL
    answers_on = FEC_DATA
    greeting = request_page(CAPABILITIES)
    claim = b""
    inquiry = request_page(COMMAND_STATUS)
    always_answers = False
    # There is no control that could end with the link.
    keeps_targets = True

    def __init__(self) -> None:
        """Start without knowing what it can do."""
        self.machine = Machine(
            targets=_ANY_MODE,
            ranges={_RESISTANCE: Range(0, 100, _STEP_PCT, _STEP_PCT)},
            writers={_POWER: set_target_power, _RESISTANCE: set_basic_resistance},
            steps={_RESISTANCE: Fraction(1, 2)},
            road=RoadCode(set_simulation, road_of),
            has_session=False,
        )
        # Of the newest command status, and of the newest before the last request was written.
        self._sequence: int | None = None
        self._before: int | None = None
        self._has_wind = False

    @property
    def stop(self) -> bytes:
        """What takes its load away, as it has no session that could be stopped: a flat road.

        A trainer that simulates no road gets no resistance, or else no power.
        """
        targets = self.machine.targets or _ANY_MODE
        if _FEATURES["simulation"] in targets:
            return _FLAT
        if _FEATURES["resistance"] in targets:
            return set_basic_resistance(resistance_level=0)
        return set_target_power(power_w=0)

    def steps(self, request: bytes) -> tuple[bytes, ...]:
        """See ``Dialect``: a road has two pages."""
        if len(request) == FRAME_BYTES:
            return (request,)
        wind, track = frames_in(request)
        # Few programs ever set a wind, so it is only written if it makes a difference.
        self._has_wind |= wind != _CALM
        return (wind, track) if self._has_wind else (track,)

    def release(self, *, simulated: bool, stopped: bool) -> tuple[bytes, ...]:
        """See ``Dialect``: the same also after a stop, which may have been lost."""
        del simulated, stopped
        return (_CALM, self.stop) if self._has_wind else (self.stop,)

    def begin(self, request: bytes) -> None:
        """See ``Dialect``."""
        del request
        self._before = self._sequence

    def hear(self, value: bytes) -> None:
        """See ``Dialect``: notes what the trainer can do."""
        if value[_PAGE_AT : _PAGE_AT + 1] not in _HEARD or (page := _page(value)) is None:
            return
        if page.name == "command_status":
            self._sequence = page.command_sequence
        elif page.name == "capabilities" and page.modes is not None:
            features = frozenset(_FEATURES[mode] for mode in page.modes)
            self.machine = replace(self.machine, targets=features)

    def answers(self, request: bytes, message: bytes) -> bool:
        """See ``Dialect``: it is about this command, and not the status of an earlier one."""
        asked, page = page_of(request), _page(message)
        if asked is None or page is None or page.name != "command_status":
            return False
        if page.command_page != asked[0] or page.command_status not in _WORDS:
            return False
        # The status of an earlier command like this one has its sequence number and data.
        is_new = page.command_sequence != self._before
        return is_new or page.command_data == asked[_DATA_AT:].hex()

    def result(self, request: bytes, answer: bytes) -> str:
        """See ``Dialect``."""
        del request
        page = _page(answer)
        return "not_understood" if page is None else _WORDS[page.command_status]


def _page(value: bytes) -> FecPage | None:
    try:
        return decode_page(value)
    except DecodeError:
        return None
