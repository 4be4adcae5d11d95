"""Replaces addresses, names and serial numbers in the lines of a capture, and leaves secrets out.

The same original has the same replacement everywhere in one capture: as an address, inside names
and texts, and inside values as text or bytes.
"""

from collections.abc import Callable
from typing import Any, cast

from healthd.traffic.identity import Identities
from healthd.traffic.lines import Line, Start, Written
from healthd.traffic.secret import is_secret

_Text = Callable[[str, str], str]
_Value = Callable[[str | None, bytes], bytes]

# Of lines: words of healthd or of the format, and times.
_KEPT = frozenset(("what", "format", "source", "identity", "uuid", "mode", "services", "t", "time"))

_SYSTEM_ID, _SERIAL_NUMBER, _BIRTH = "2a23", "2a25", "2a85"
_NAMES = frozenset(("2a00", "2b37"))  # of the device; of its users
_OF_A_PERSON = frozenset(("2a8a", "2a90", "2a87"))  # first name, last name, e-mail address

# 1980-01-01, as year u16, month and day.
_A_BIRTH = bytes((0xBC, 0x07, 1, 1))


class Masker:
    """Masks the lines of one capture.

    Attributes:
        late: whether something was learned after lines were masked, which may have it: mask them
            again with ``again``.
    """

    def __init__(self, *, keep_identity: bool = False) -> None:
        """Prepare.

        Args:
            keep_identity: only leave secrets out.
        """
        self.late = False
        self._keeps = keep_identity
        self._identities = Identities()
        self._known: int | None = None

    def learn(self, line: Line) -> None:
        """Learn what has to be replaced, so that it is replaced in earlier lines, too."""
        if not self._keeps:
            self._masked(line)

    def line(self, line: Line) -> Line:
        """Return the line without identity and secrets."""
        if (
            isinstance(line, Written)
            and line.value is not None
            and is_secret(line.uuid, line.value)
        ):
            line = line.model_copy(update={"value": None})
        if self._keeps:
            return line
        masked = self._masked(line)
        known = len(self._identities)
        self.late = self.late or self._known not in (None, known)
        self._known = known
        return masked

    def again(self, line: Line) -> Line:
        """Return a masked line without what was learned after it was masked."""
        if self._keeps:
            return line
        return _changed(line, lambda _, text: self._identities.text(text), self._known_value)

    def _masked(self, line: Line) -> Line:
        changes: dict[str, Any] = {}
        # First the address, which may be a part of the name.
        if (device := getattr(line, "device", None)) is not None:
            changes["device"] = self._identities.address(device)
        if isinstance(line, Start):
            changes["identity"] = "replaced"
            self._identities.address(str(line.peripheral.get("address")))
        return _changed(line, self._text, self._value).model_copy(update=changes)

    def _text(self, key: str, text: str) -> str:
        if key != "name":
            return self._identities.text(text)
        if text.endswith("*"):
            return self._identities.pattern(text)
        return self._identities.text(self._identities.name(text))

    def _value(self, uuid: str | None, value: bytes) -> bytes:
        if uuid == _SYSTEM_ID:
            return self._identities.system_id(value)
        if uuid == _BIRTH:
            # A part that is not known is 0.
            return bytes(new if old else 0 for old, new in zip(value, _A_BIRTH, strict=False))
        if uuid in _OF_A_PERSON or uuid == _SERIAL_NUMBER:
            return self._of_text(self._identities.word, value)
        if uuid in _NAMES:
            value = self._of_text(self._identities.name, value)
        return self._identities.value(value)

    def _known_value(self, _uuid: str | None, value: bytes) -> bytes:
        return self._identities.value(value)

    def _of_text(self, replaced: Callable[[str], str], value: bytes) -> bytes:
        return replaced(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _changed(line: Line, text: _Text, value: _Value) -> Line:
    """Return a line with its texts and values replaced by these functions."""
    uuid = getattr(line, "uuid", None)
    changes: dict[str, Any] = {}
    for key in type(line).model_fields:
        found = getattr(line, key)
        if key in _KEPT or found is None:
            continue
        changes[key] = _inside(found, key, lambda each: value(uuid, each), text)
    return line.model_copy(update=changes)


def _inside(found: Any, key: str, value: Callable[[bytes], bytes], text: _Text) -> Any:
    if isinstance(found, bytes):
        return value(found)
    if isinstance(found, str):
        return text(key, found)
    if isinstance(found, dict):
        items = cast("dict[str, Any]", found).items()
        return {name: _inside(each, name, value, text) for name, each in items}
    if isinstance(found, list | tuple):
        return [_inside(each, key, value, text) for each in cast("list[Any]", found)]
    return found
