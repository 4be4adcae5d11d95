"""A cuff with a key, for ``fake_bluez``: the part of the classic Omron stack that pairing needs.

Layout: userx14/omblepy, omblepy.py.
"""

from typing import Any

SERVICE = "ecbe3980-c9a2-11e1-b1bd-0002a5d5c51b"
UNLOCK = "b305b680-aee7-11e1-a730-0002a5d5c51b"
TX = (
    "db5b55e0-aee7-11e1-965e-0002a5d5c51b",
    "e0b8a060-aee7-11e1-92f4-0002a5d5c51b",
    "0ae12b00-aee8-11e1-a192-0002a5d5c51b",
    "10e1ba60-aee8-11e1-89e5-0002a5d5c51b",
)
RX = (
    "49123040-aee8-11e1-a74d-0002a5d5c51b",
    "4d0bf320-aee8-11e1-a0d9-0002a5d5c51b",
    "5128ce60-aee8-11e1-b84b-0002a5d5c51b",
    "560f1420-aee8-11e1-8184-0002a5d5c51b",
)
GATT: dict[str, dict[str, list[str]]] = {
    SERVICE: {
        UNLOCK: ["write", "notify"],
        **{uuid: ["write", "write-without-response"] for uuid in TX},
        **{uuid: ["notify"] for uuid in RX},
    }
}


class FakeCuff:
    """What a cuff answers.

    Attributes:
        bonded: whether the bond that it has asked for is made.
    """

    def __init__(self, setting: dict[str, Any]) -> None:
        """Prepare.

        ``setting`` has ``pairing`` (whether -P- blinks) and may have ``waits`` (how many requests
        are refused until the bond counts), ``refuses`` (the key), ``hangs_up`` (instead of an
        answer to this request, its first byte in hex) and ``times`` (how often it hangs up).
        """
        self.bonded = False
        self._pairing: bool = setting["pairing"]
        self._waits: int = setting.get("waits", 0)
        self._refuses: bool = setting.get("refuses", False)
        self._hangs_up: str = setting.get("hangs_up", "")
        self._times: int = setting.get("times", 100)

    def wants_bond(self, subscribed: str) -> bool:
        """Whether it asks for a bond at this subscription."""
        return self._pairing and subscribed == RX[0] and not self.bonded

    def answer(self, written: str, value: bytes) -> bytes | None:
        """Return the answer, on the same characteristic; None: it hangs up; empty: none."""
        if written != UNLOCK:
            return b""
        if value[:1].hex() == self._hangs_up and self._times:
            self._times -= 1
            return None
        match value[0]:
            case 2:
                is_ready = self._pairing and self.bonded and not self._waits
                self._waits = max(self._waits - self.bonded, 0)
                return bytes([0x82, 0 if is_ready else 0x0F]) + bytes(15)
            case 0:
                return bytes([0x80, 0x0F if self._refuses else 0]) + bytes(15)
            case _:
                return b""
