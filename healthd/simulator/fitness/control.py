"""The Fitness Machine Control Point (0x2AD9), and what it changes: status and training status."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from healthd.simulator.attributes import notifying
from healthd.simulator.feed import ControlPoint, Feed
from healthd.simulator.fitness.workout import Workout

_REQUEST_CONTROL, _RESET, _START, _STOP, _RESPONSE = 0x00, 0x01, 0x07, 0x08, 0x80
# Fitness Machine Status (0x2ADA).
_STATUS_RESET, _STATUS_STOPPED, _STATUS_STARTED, _STATUS_CONTROL_LOST = 0x01, 0x02, 0x04, 0xFF
# Training Status (0x2AD3): no string, then the status.
_IDLE, _MANUAL_MODE = bytes([0, 1]), bytes([0, 13])


class Result(IntEnum):
    """How a command ended."""

    SUCCESS = 1
    NOT_SUPPORTED = 2
    INVALID_PARAMETER = 3
    FAILED = 4
    NOT_PERMITTED = 5


@dataclass(frozen=True, slots=True)
class Target:
    """A command that sets something.

    Attributes:
        layout: of its parameter, as struct writes it, without the byte order.
        status: opcode of the status that tells of the change, with the same parameter.
        accept: sets it; it is given the raw numbers, and returns whether they are in range.
    """

    layout: str
    status: int
    accept: Callable[..., bool]


class MachineControl:
    """Control point, status and training status of one machine.

    Attributes:
        permitted: whether its client has control.
        oddities: how it answers an opcode instead of carrying it out; None: not at all.
        record: told of every command, also of one that is not answered.
        control: the control point.
        status: the characteristic 0x2ADA.
        status_feed: what it sends.
        training: the characteristic 0x2AD3.
        training_feed: what it sends.
    """

    def __init__(
        self, workout: Workout, targets: Mapping[int, Target], reset: Callable[[], None]
    ) -> None:
        """Make one.

        Args:
            workout: is started, stopped and reset.
            targets: the commands that set something, by opcode.
            reset: sets everything that they set back to its default.
        """
        self._workout = workout
        self._targets = targets
        self._reset = reset
        self.permitted = False
        self.oddities: dict[int, int | None] = {}
        self.record: Callable[[bytes], None] = lambda _: None
        self.control = ControlPoint(0x2AD9, self._answer, on_end=self._lose_control)
        self.status = notifying(0x2ADA)
        self.status_feed = Feed()
        self.training = notifying(0x2AD3, lambda: self._training)
        self.training_feed = Feed()

    @property
    def _training(self) -> bytes:
        return _MANUAL_MODE if self._workout.running else _IDLE

    def take_away(self) -> None:
        """Somebody uses the machine's own keys: whoever has control loses it."""
        self.permitted = False
        self.status_feed.put(bytes([_STATUS_CONTROL_LOST]))

    def _answer(self, request: bytes) -> bytes | None:
        opcode = request[0] if request else 0
        self.record(request)
        if opcode in self.oddities:
            odd = self.oddities[opcode]
            return None if odd is None else bytes([_RESPONSE, opcode, odd])
        return bytes([_RESPONSE, opcode, self._carry_out(opcode, request[1:])])

    def _carry_out(self, opcode: int, parameter: bytes) -> Result:
        if opcode == _REQUEST_CONTROL:
            self.permitted = True
            return Result.SUCCESS
        if opcode not in (_RESET, _START, _STOP) and opcode not in self._targets:
            return Result.NOT_SUPPORTED
        if not self.permitted:
            return Result.NOT_PERMITTED
        if target := self._targets.get(opcode):
            return self._set(target, parameter)
        if opcode == _RESET:
            # It ends with everything at its default, and with nobody in control.
            self.permitted = False
            self._workout.reset()
            self._reset()
            self.status_feed.put(bytes([_STATUS_RESET]))
        elif opcode == _START:
            self._run(True, bytes([_STATUS_STARTED]))
        else:
            if parameter[:1] not in (b"\x01", b"\x02"):
                return Result.INVALID_PARAMETER
            self._run(False, bytes([_STATUS_STOPPED, parameter[0]]))
        return Result.SUCCESS

    def _run(self, running: bool, status: bytes) -> None:
        self._workout.running = running
        self.status_feed.put(status)
        self.training_feed.put(self._training)

    def _set(self, target: Target, parameter: bytes) -> Result:
        size = struct.calcsize("<" + target.layout)
        # Clients in the field write a byte too many; machines do not mind.
        if len(parameter) < size or not target.accept(
            *struct.unpack_from("<" + target.layout, parameter)
        ):
            return Result.INVALID_PARAMETER
        self.status_feed.put(bytes([target.status]) + parameter[:size])
        return Result.SUCCESS

    def _lose_control(self) -> None:
        self.permitted = False
