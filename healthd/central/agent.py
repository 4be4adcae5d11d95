"""The answers to BlueZ's questions during a pairing; ``central.bluez`` registers the agent.

BlueZ asks the agent of the D-Bus connection that called Pair. An agent that is registered there
for the duration of that call therefore answers only for its own pairing. It does not have to be
the machine's default agent, which answers for all devices: a desktop keeps answering for its own
keyboards and phones.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from healthd.log import get_logger

AskPasskey = Callable[[], Awaitable[int | None]]
"""Returns the six digits that the device shows or that are printed on it; None if unknown."""


class Refusal(Exception):
    """The answer is no; the text says why."""


class Agent:
    """The agent for one pairing with one device."""

    def __init__(
        self,
        device: str,
        ask_passkey: AskPasskey | None = None,
        show: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            device: BlueZ's object of the only device that is answered for.
            ask_passkey: returns the passkey; None if there is none.
            show: shows the user what to type into the device; None for the debug log.
        """
        self._device = device
        self._ask_passkey = ask_passkey
        self._show = show or _log_shown

    @property
    def capability(self) -> str:
        """The capability of this agent, as BlueZ spells it.

        Without a passkey it must not promise one: the device then agrees to a pairing without.
        """
        return "NoInputNoOutput" if self._ask_passkey is None else "KeyboardDisplay"

    async def answer(self, member: str, body: list[Any]) -> tuple[str, list[Any]]:
        """Return the reply to a call of org.bluez.Agent1: its signature and its values.

        Raises:
            Refusal: it is another device, or there is no answer.
        """
        if member in ("Release", "Cancel"):
            return "", []
        if not body or body[0] != self._device:
            raise Refusal("not a device of the settings")
        match member:
            # There is no display to compare numbers on, so agree, as for a device without one.
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


def _log_shown(text: str) -> None:
    get_logger(service="agent").debug("shown", text=text)
