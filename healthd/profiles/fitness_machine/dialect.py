"""What distinguishes machines that are controlled: their bytes, and what they promise.

Checks (`procedures.command`), the lease and the release are the same for all of them.
"""

from typing import Protocol

from healthd.profiles.common.machines import CONTROL_POINT
from healthd.profiles.fitness_machine import commands, procedures
from healthd.profiles.fitness_machine.machine import Machine


class Dialect(Protocol):
    """How one machine is controlled on one link. Pure; each link gets a new one."""

    control: str
    """UUID of the characteristic that requests are written to."""
    answers_on: str
    """UUID of the stream that carries the answers; empty: the control point indicates them."""
    greeting: bytes
    """What is written once, so that the machine says what it can do; empty for nothing."""
    claim: bytes
    """The request for control; empty if a machine obeys without."""
    inquiry: bytes
    """What is written after each request, so that the machine says what has happened to it."""
    always_answers: bool
    """Whether a machine that does not answer is out of order. If not, it has accepted a request
    that it has taken."""
    keeps_targets: bool
    """Whether it keeps its target when the link ends. Then it is released on the next link."""

    @property
    def machine(self) -> Machine:
        """What is known about the machine now."""
        ...

    @property
    def stop(self) -> bytes:
        """What stops it as far as it can be stopped; it is released after that."""
        ...

    def steps(self, request: bytes) -> tuple[bytes, ...]:
        """Return what is written for the bytes of a ``Command``, one after the other."""
        ...

    def release(self, *, simulated: bool, stopped: bool) -> tuple[bytes, ...]:
        """Return the requests that release the machine and leave it safe, in order.

        Args:
            simulated: whether it has simulated a road on this link.
            stopped: whether it has just carried out a request to stop.
        """
        ...

    def begin(self, request: bytes) -> None:
        """Note that this request is about to be written."""
        ...

    def hear(self, value: bytes) -> None:
        """Note a value of the stream that carries the answers."""
        ...

    def answers(self, request: bytes, message: bytes) -> bool:
        """Return whether this message answers this request."""
        ...

    def result(self, request: bytes, answer: bytes) -> str:
        """Return the result in a word: ``success``, ``invalid_parameter`` or ``result_7``."""
        ...


class FitnessMachine:
    """A machine of the Fitness Machine Service."""

    control = CONTROL_POINT
    answers_on = ""
    greeting = b""
    claim = commands.REQUEST_CONTROL
    stop = commands.STOP
    inquiry = b""
    always_answers = True
    # Control ends with the link.
    keeps_targets = False

    def __init__(self, machine: Machine) -> None:
        """Control this machine."""
        self.machine = machine

    def steps(self, request: bytes) -> tuple[bytes, ...]:
        """See ``Dialect``."""
        return (request,)

    def release(self, *, simulated: bool, stopped: bool) -> tuple[bytes, ...]:
        """See ``Dialect``."""
        return procedures.release(self.machine, simulated=simulated, stopped=stopped)

    def begin(self, request: bytes) -> None:
        """See ``Dialect``."""

    def hear(self, value: bytes) -> None:
        """See ``Dialect``."""

    def answers(self, request: bytes, message: bytes) -> bool:
        """See ``Dialect``."""
        return procedures.answers(request, message)

    def result(self, request: bytes, answer: bytes) -> str:
        """See ``Dialect``."""
        del request
        return procedures.result(answer)
