"""What BlueZ is answered when it asks during a pairing; whom it asks is ``central.bluez``'s.

BlueZ asks the agent of the D-Bus connection that called Pair, so one that is registered there for
as long as that call takes hears of its own pairing alone. It need not be the machine's default
agent, which answers for everybody: a desktop's keyboards and phones stay the desktop's.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from healthd.log import get_logger

AskPasskey = Callable[[], Awaitable[int | None]]
"""Gives the six digits that the device shows, or that are printed on it; None for none."""


class Refusal(Exception):
    """The answer is no; the text says why."""


class Agent:
    """Answers for one device, and for one pairing."""

    def __init__(
        self,
        device: str,
        ask_passkey: AskPasskey | None = None,
        show: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            device: BlueZ's object of the only device that is answered for.
            ask_passkey: knows the passkey; None where nobody does.
            show: shows the owner what has to be typed into the device; None for the debug log.
        """
        self._device = device
        self._ask_passkey = ask_passkey
        self._show = show or _tell_debuggers

    @property
    def capability(self) -> str:
        """What can be done here, in BlueZ's words.

        Without a passkey none must be promised: the device then settles for a pairing without.
        """
        return "NoInputNoOutput" if self._ask_passkey is None else "KeyboardDisplay"

    async def answer(self, member: str, body: list[Any]) -> tuple[str, list[Any]]:
        """The reply to a call of org.bluez.Agent1: its signature and its values.

        Raises:
            Refusal: it is not our device, or not ours to know.
        """
        if member in ("Release", "Cancel"):
            return "", []
        if not body or body[0] != self._device:
            raise Refusal("not a device of the settings")
        match member:
            # No display here: to compare numbers is to agree, as with a device that shows none.
            case "RequestAuthorization" | "AuthorizeService" | "RequestConfirmation":
                return "", []
            case "DisplayPasskey":
                self._show(f"{body[1]:06}")
                return "", []
            case "RequestPasskey":
                return "u", [await self._passkey()]
            case _:
                raise Refusal(f"{member} is not for Bluetooth LE")

    async def _passkey(self) -> int:
        passkey = None if self._ask_passkey is None else await self._ask_passkey()
        if passkey is None:
            raise Refusal("no passkey")
        return passkey


def _tell_debuggers(text: str) -> None:
    get_logger(service="agent").debug("shown", text=text)
