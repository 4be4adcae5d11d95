"""What a running daemon holds in memory: the size of everything that its parts own.

`walk` follows references from the daemon and from the tasks of its event loop, and adds up what
each attribute of an object of healthd, aiomqtt or paho holds. It stops at the simulator.
"""

import asyncio
import gc
import sys
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    MappingProxyType,
    ModuleType,
)
from typing import Any, NamedTuple

from pydantic import BaseModel

from tests.support.limits_page import PACKAGE, listed

# Fewer entries than this are no sign of growth, and fewer bytes neither.
FEW_ITEMS, FEW_BYTES = 64, 64 * 1024
# Shared code and types, which a daemon has once.
_CODE = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType, MappingProxyType)
_OWNERS = ("healthd.", "aiomqtt", "paho.", "bleak")
_SIMULATOR = (
    "healthd.simulator",
    "bumble",
    "tests.",
    "_pytest",
    "structlog",
    "logging",
    "pydantic",
)
_CONTAINERS = (dict, list, set, frozenset, deque)


class Held(NamedTuple):
    """What an attribute holds.

    Attributes:
        items: entries of the largest container in it.
        size: bytes of everything that is reached through it first, added up over all owners.
        owners: how many objects have such an attribute.
    """

    items: int
    size: int
    owners: int


class _Next(NamedTuple):
    thing: Any
    label: str
    in_value: bool


def walk(root: object) -> dict[str, Held]:
    """Return what is held, by ``module.Class.attribute``; for several objects, their sum.

    Args:
        root: the daemon.
    """
    # Not via ``gc.get_objects``: it does not list containers of plain values.
    seen: set[int] = set()
    found: dict[str, Held] = {}
    owners = Counter[str]()
    waiting: deque[_Next] = deque([_Next(root, "daemon", False)])
    waiting.extend(_Next(task, f"task {_kind_of(task)}", False) for task in asyncio.all_tasks())
    skipped = {id(found), id(seen), id(waiting), id(owners), id(asyncio.current_task())}
    while waiting:
        thing, label, in_value = waiting.popleft()
        if id(thing) in seen or id(thing) in skipped or isinstance(thing, _CODE):
            continue
        seen.add(id(thing))
        if type(thing).__module__.startswith(_SIMULATOR) or isinstance(thing, FrameType):
            continue
        items, size, _ = found.get(label, Held(0, 0, 0))
        if not in_value and issubclass(type(thing), _CONTAINERS):
            items = max(items, len(thing))
        found[label] = Held(items, size + sys.getsizeof(thing, 0), 0)
        for held, of in _held_by(thing, label):
            owners[of] += of != label
            waiting.append(_Next(held, of, of == label and (in_value or _is_value(thing))))
    return {label: one._replace(owners=max(1, owners[label])) for label, one in found.items()}


def _held_by(thing: Any, label: str) -> Iterator[tuple[Any, str]]:
    frame = getattr(thing, "cr_frame", None)
    if frame is not None:
        name = f"{frame.f_globals.get('__name__', '?')}.{thing.__qualname__}"
        for local, value in frame.f_locals.items():
            yield value, f"{name}({local})"
        if thing.cr_await is not None:
            yield thing.cr_await, label
    elif type(thing).__module__.startswith(_OWNERS) and not _is_value(thing):
        for attribute, value in _attributes(thing):
            yield value, f"{type(thing).__module__}.{type(thing).__qualname__}.{attribute}"
    else:
        for value in gc.get_referents(thing):
            yield value, label


def _is_value(thing: Any) -> bool:
    """Return whether a thing belongs to what holds it, such as a sample or a message."""
    names: Any = thing.__class__.__dict__
    # A named tuple has fields, and a class for many small objects has slots.
    return "_fields" in names or "__slots__" in names or isinstance(thing, BaseModel)


def _attributes(thing: object) -> Iterable[tuple[str, Any]]:
    yield from getattr(thing, "__dict__", {}).items()
    for of in type(thing).__mro__:
        slots: Collection[str] | str = of.__dict__.get("__slots__", ())
        for slot in [slots] if isinstance(slots, str) else slots:
            if slot != "__dict__" and hasattr(thing, slot):
                yield slot, getattr(thing, slot)


def _kind_of(task: "asyncio.Task[Any]") -> str:
    # Names of tasks may contain a peripheral's id.
    return task.get_name().split(" ")[0]


def beyond(held: Mapping[str, Held]) -> list[str]:
    """Return what a daemon holds beyond the bounds of docs/limits.md, or without one."""
    page, found = listed(), list[str]()
    for label, one in sorted(held.items()):
        place = _place(label)
        if place is None or (one.items <= FEW_ITEMS and one.size <= FEW_BYTES * one.owners):
            continue
        row = page.get(place)
        if row is None:
            # Variables of a function hand over what is held elsewhere.
            if "(" not in label:
                found.append(f"not on the page: {label} {one}")
        elif row.items is not None and one.items > row.items:
            found.append(f"{one.items} entries, expected {row.items}: {label}")
        elif row.size is not None and one.size > row.size * one.owners:
            found.append(f"{one.size} bytes, expected {row.size} for each of {one.owners}: {label}")
    return found


def _place(label: str) -> tuple[str, str] | None:
    """Return the file and name of a label; None if it is not of healthd itself."""
    module, _, name = label.replace("(", ".").removesuffix(")").rpartition(".")
    if name == "_queue":  # of asyncio's queue: the page names the class that is made of it
        name = module.rpartition(".")[2]
    # Without the class or the function.
    parts = module.split(".")[1:]
    while parts:
        for file in ("/".join(parts) + ".py", "/".join([*parts, "__init__.py"])):
            if label.startswith("healthd.") and (PACKAGE / file).is_file():
                return file, name
        parts.pop()
    return None
