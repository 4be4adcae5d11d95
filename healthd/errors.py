"""The error tree: the class of an error decides what happens next.

``Transient`` has a cause outside healthd and is retried forever with backoff, ``Fatal`` ends the
process with exit code 78 (1 if another start may work), and anything outside this tree is a bug:
the supervisor restarts the service that raised it, and only a crash loop ends the process.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next try: full jitter under an exponentially growing ceiling.

    Attributes:
        first_s: ceiling of the first wait, in seconds.
        ceiling_s: the ceiling never grows past this, in seconds.
        at_once: whether the first try after a run that was healthy for a while needs no wait.
    """

    first_s: float
    ceiling_s: float
    at_once: bool = False

    def after(self, last_s: float | None) -> float:
        """Return the longest wait, in seconds, after one of at most ``last_s`` (None: the first).

        It goes on growing if the fault, and with it the backoff, has changed in between.
        """
        return (
            self.first_s if last_s is None else min(max(last_s * 2, self.first_s), self.ceiling_s)
        )

    def limit(self, attempt: int) -> float:
        """Return the longest wait, in seconds, before retry number ``attempt`` (counted from 0)."""
        # 2**30 seconds is past every ceiling; an unbounded exponent would overflow a float.
        return min(self.first_s * 2 ** min(attempt, 30), self.ceiling_s)


class HealthdError(Exception):
    """Base of every error that healthd raises on purpose."""


class DecodeError(HealthdError):
    """Bytes that are not a valid value of their characteristic."""


class Sealed(DecodeError):
    """Encrypted data that cannot be read, or data that should be encrypted and is not.

    Attributes:
        reason: one lower-case word for logs and the device's info: ``key_missing``, ``wrong_key``,
            ``not_encrypted`` or ``library_missing``.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Keep the reason; the message says how to fix it."""
        super().__init__(message)
        self.reason = reason


class Transient(HealthdError):
    """A fault with a cause outside healthd: retried forever.

    Attributes:
        reason: one lower-case word for logs, events and the contract (``link_lost``, …).
        backoff: how long the supervisor waits before the next tries.
    """

    def __init__(self, reason: str, message: str, backoff: Backoff) -> None:
        """Keep the reason and the backoff along with the message."""
        super().__init__(message)
        self.reason = reason
        self.backoff = backoff


class Fatal(HealthdError):
    """A fault that no retry can fix (bad settings): the process ends with exit code 78."""


class FileUnavailable(Fatal):
    """A file that the settings name cannot be used now, but perhaps soon: exit code 1.

    A renewal tool is replacing it, or its disk is not mounted yet. Unlike after exit code 78,
    systemd starts healthd again.
    """
