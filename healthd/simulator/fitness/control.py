"""The Fitness Machine Control Point (0x2AD9), with the statuses that it changes."""

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
# Training Status (0x2AD3): flags without a string, then the status.
_IDLE, _MANUAL_MODE = bytes([0, 1]), bytes([0, 13])


class Result(IntEnum):
    """The result of a command."""

    SUCCESS = 1
    NOT_SUPPORTED = 2
    INVALID_PARAMETER = 3
    FAILED = 4
    NOT_PERMITTED = 5


@dataclass(frozen=True, slots=True)
class Target:
    """A command that sets a target.

    Attributes:
        layout: Layout of its parameter as a struct format, without the byte order.
        status: Opcode of the status that reports the change, with the same parameter.
        accept: Sets the target to the raw numbers and returns True, or returns False if they are
            out of range.
    """

    layout: str
    status: int
    accept: Callable[..., bool]


class MachineControl:
    """Control point, status and training status of a machine.

    Attributes:
        permitted: Whether the client has control.
        oddities: Results to return, by opcode, instead of executing the command; None to send no
            response.
        record: Called with every command, even if there is no response.
        control: The control point.
        status: The characteristic 0x2ADA.
        status_feed: Its notifications.
        training: The characteristic 0x2AD3.
        training_feed: Its notifications.
    """

    def __init__(
        self, workout: Workout, targets: Mapping[int, Target], reset: Callable[[], None]
    ) -> None:
        """Create the control point of a machine.

        Args:
            workout: The workout to start, stop and reset.
            targets: The commands that set a target, by opcode.
            reset: Sets all targets to their defaults.
        """
        self._workout = workout
        self._targets = targets
        self._reset = reset
        self.permitted = False
        self.oddities: dict[int, int | None] = {}
        self.record: Callable[[bytes], None] = lambda _: None
        self.control = ControlPoint(0x2AD9, self._answer, on_end=self._release_control)
        self.status = notifying(0x2ADA)
        self.status_feed = Feed()
        self.training = notifying(0x2AD3, lambda: self._training)
        self.training_feed = Feed()

    @property
    def _training(self) -> bytes:
        return _MANUAL_MODE if self._workout.running else _IDLE

    def revoke_control(self) -> None:
        """Take control from the client, as if a person had used the machine's own keys."""
        self.permitted = False
        self.status_feed.put(bytes([_STATUS_CONTROL_LOST]))

    def _answer(self, request: bytes) -> bytes | None:
        opcode = request[0] if request else 0
        self.record(request)
        if opcode in self.oddities:
            odd = self.oddities[opcode]
            return None if odd is None else bytes([_RESPONSE, opcode, odd])
        return bytes([_RESPONSE, opcode, self._execute(opcode, request[1:])])

    def _execute(self, opcode: int, parameter: bytes) -> Result:
        if opcode == _REQUEST_CONTROL:
            self.permitted = True
            return Result.SUCCESS
        if opcode not in (_RESET, _START, _STOP) and opcode not in self._targets:
            return Result.NOT_SUPPORTED
        if not self.permitted:
            return Result.NOT_PERMITTED
        if target := self._targets.get(opcode):
            return self._set_target(target, parameter)
        if opcode == _RESET:
            # A reset restores all defaults, and no client has control afterwards.
            self.permitted = False
            self._workout.reset()
            self._reset()
            self.status_feed.put(bytes([_STATUS_RESET]))
        elif opcode == _START:
            self._set_running(True, bytes([_STATUS_STARTED]))
        else:
            if parameter[:1] not in (b"\x01", b"\x02"):
                return Result.INVALID_PARAMETER
            self._set_running(False, bytes([_STATUS_STOPPED, parameter[0]]))
        return Result.SUCCESS

    def _set_running(self, running: bool, status: bytes) -> None:
        self._workout.running = running
        self.status_feed.put(status)
        self.training_feed.put(self._training)

    def _set_target(self, target: Target, parameter: bytes) -> Result:
        size = struct.calcsize("<" + target.layout)
        # Some clients write an extra byte, and real machines accept it.
        if len(parameter) < size or not target.accept(
            *struct.unpack_from("<" + target.layout, parameter)
        ):
            return Result.INVALID_PARAMETER
        self.status_feed.put(bytes([target.status]) + parameter[:size])
        return Result.SUCCESS

    def _release_control(self) -> None:
        self.permitted = False
