"""A characteristic's layout as data: a flags field, and the fields that its bits announce.

Real packets use few different flags. For each combination the fields are worked out once, and a
packet is then unpacked with one call of struct: a full heart-rate packet takes 4 us including its
model, instead of 10 us field by field.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from healthd.profiles.packet.cursor import Truncated
from healthd.profiles.packet.wires import Meaning, Wire

# A device uses one or two combinations of flags, but a hostile device could send them all.
_PLANS = 32


@dataclass(frozen=True, slots=True)
class Present:
    """A condition on the flags: ``flags & mask == value``. With a mask of 0 it always holds."""

    mask: int = 0
    value: int = 0

    def __call__(self, flags: int) -> bool:
        """Return whether the condition holds for these flags."""
        return flags & self.mask == self.value


ALWAYS = Present()


def bit(number: int) -> Present:
    """Return the condition that the bit is 1."""
    return Present(1 << number, 1 << number)


def no_bit(number: int) -> Present:
    """Return the condition that the bit is 0."""
    return Present(1 << number, 0)


def both(first: Present, second: Present) -> Present:
    """Return the condition that both conditions hold."""
    return Present(first.mask | second.mask, first.value | second.value)


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a packet.

    Attributes:
        key: the model's key; empty if ``meaning`` returns a dictionary of several keys.
        wire: its format in the packet.
        when: which flags announce it.
        meaning: converts the wire's value to the canonical one; None if they are the same.
        required: True if a packet that ends before the field is an error, False if it counts as
            cut short.
    """

    key: str
    wire: Wire
    when: Present = ALWAYS
    meaning: Meaning | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """A value that the flags themselves carry.

    Attributes:
        key: the model's key.
        meaning: converts the flags to the canonical value.
        when: which flags carry it.
    """

    key: str
    meaning: Callable[[int], Any]
    when: Present = ALWAYS


@dataclass(frozen=True, slots=True)
class Tail:
    """A value that fills the rest of a packet, such as a list of intervals.

    Attributes:
        key: the model's key.
        meaning: converts the remaining bytes to the canonical value and the number of bytes used.
        when: which flags announce it.
    """

    key: str
    meaning: Callable[[bytes], tuple[Any, int]]
    when: Present = ALWAYS


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to read the packets with certain flags."""

    facts: dict[str, Any]
    unpack: Callable[[bytes], tuple[Any, ...]]
    size: int
    steps: tuple[tuple[str, Meaning | None], ...]
    fields: tuple[Field, ...]
    tail: Tail | None


class Layout:
    """Reads packets of one characteristic into the fields of its model."""

    def __init__(
        self,
        *fields: Field,
        flags: Wire | None = None,
        facts: tuple[Fact, ...] = (),
        tail: Tail | None = None,
        start: int = 0,
    ) -> None:
        """Describe the packets.

        Args:
            fields: in the order of the packet, after the flags.
            flags: the format of the flags field at the start; None if there is none.
            facts: the values that the flags carry, in addition to announcing fields.
            tail: the value that fills the rest.
            start: the number of bytes before the flags.
        """
        self._fields = fields
        self._flags = flags
        self._facts = facts
        self._tail = tail
        self._start = start
        self._flags_format = struct.Struct(f"<{start}x{flags.code if flags else ''}")
        # Ignore bits that announce nothing, so that they create no extra plans. Facts may use any
        # bit.
        self._counting = -1 if facts else 0
        for part in (*fields, *((tail,) if tail else ())):
            self._counting |= part.when.mask
        self._plan = lru_cache(maxsize=_PLANS)(self._make_plan)
        self._only = None if flags else self._make_plan(0)

    def flags(self, data: bytes) -> int:
        """Return the flags of a packet; 0 if the layout has none.

        Raises:
            DecodeError: the packet ends before the flags.
        """
        if self._flags is None:
            return 0
        try:
            (raw,) = self._flags_format.unpack_from(data)
        except struct.error:
            raise _ends_before(self._flags, self._start, data) from None
        return raw if self._flags.read is None else self._flags.read(raw)

    @property
    def plans(self) -> int:
        """The number of combinations of flags worked out so far."""
        return self._plan.cache_info().currsize

    def size(self, data: bytes) -> int:
        """Return the size that the packet's flags announce, including the flags, without a tail.

        Raises:
            DecodeError: the packet ends before its flags.
        """
        return self._plan(self.flags(data) & self._counting).size

    def read(self, data: bytes) -> dict[str, Any]:
        """Return a packet's fields, ready for the model.

        A packet that was cut short keeps its complete fields and gets ``truncated``; surplus bytes
        are counted as ``trailing_bytes``.

        Raises:
            DecodeError: the packet ends before a required field.
        """
        plan = self._only or self._plan(self.flags(data) & self._counting)
        fields = plan.facts.copy()
        if len(data) < plan.size:
            return self._read_truncated(plan, data, fields)
        for (key, convert), raw in zip(plan.steps, plan.unpack(data), strict=True):
            value = raw if convert is None else convert(raw)
            if key:
                fields[key] = value
            else:
                fields.update(value)
        surplus = len(data) - plan.size
        if plan.tail is not None:
            fields[plan.tail.key], used = plan.tail.meaning(data[plan.size :])
            surplus -= used
        if surplus:
            fields["trailing_bytes"] = surplus
        return fields

    def _make_plan(self, flags: int) -> _Plan:
        fields = tuple(field for field in self._fields if field.when(flags))
        codes = "".join(field.wire.code for field in fields)
        format = struct.Struct(f"<{self._flags_format.size}x{codes}")
        return _Plan(
            facts={fact.key: fact.meaning(flags) for fact in self._facts if fact.when(flags)},
            unpack=format.unpack_from,
            size=format.size,
            steps=tuple((field.key, _conversion(field)) for field in fields),
            fields=fields,
            tail=self._tail if self._tail and self._tail.when(flags) else None,
        )

    def _read_truncated(self, plan: _Plan, data: bytes, fields: dict[str, Any]) -> dict[str, Any]:
        offset = self._flags_format.size
        for field, (key, convert) in zip(plan.fields, plan.steps, strict=True):
            size = struct.calcsize(f"<{field.wire.code}")
            if offset + size > len(data):
                if field.required:
                    raise _ends_before(field.wire, offset, data)
                break
            (raw,) = struct.unpack_from(f"<{field.wire.code}", data, offset)
            value = raw if convert is None else convert(raw)
            fields.update({key: value} if key else value)
            offset += size
        fields["truncated"] = True
        return fields


def _conversion(field: Field) -> Meaning | None:
    read, meaning = field.wire.read, field.meaning
    if read is None or meaning is None:
        return read or meaning

    def convert(raw: Any) -> Any:
        value = read(raw)
        return None if value is None else meaning(value)

    return convert


def _ends_before(wire: Wire, offset: int, data: bytes) -> Truncated:
    size, found = struct.calcsize(f"<{wire.code}"), max(len(data) - offset, 0)
    return Truncated(f"offset {offset}: expected {wire.name}, found {found} of {size} bytes")
