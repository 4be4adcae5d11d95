"""What a running daemon holds in memory: the size of everything that its parts own.

`walk` follows references from the daemon and from the tasks of its event loop, and adds up what
each attribute of an object of healthd, aiomqtt or paho holds. It stops at the simulator.
"""

import asyncio
import gc
import sys
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from types import (
    BuiltinFunctionType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    MappingProxyType,
    ModuleType,
)
from typing import Any, NamedTuple

# Shared code and types, which a daemon has once.
_CODE = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType, MappingProxyType)
_OWNERS = ("healthd.", "aiomqtt", "paho.", "bleak")
_SIMULATOR = ("healthd.simulator", "bumble", "tests.", "_pytest", "structlog", "logging", "pydantic")
_CONTAINERS = (dict, list, set, frozenset, deque)


class Held(NamedTuple):
    """What an attribute holds.

    Attributes:
        items: entries of the largest container in it.
        size: bytes of everything that is reached through it first.
    """

    items: int
    size: int


def walk(root: object) -> dict[str, Held]:
    """Return what is held, by ``module.Class.attribute``; for several objects, their sum.

    Args:
        root: the daemon.
    """
    # Not via ``gc.get_objects``: it does not list containers of plain values.
    seen: set[int] = set()
    found: dict[str, Held] = {}
    waiting: deque[tuple[object, str]] = deque([(root, "daemon")])
    waiting.extend((task, f"task {_kind_of(task)}") for task in asyncio.all_tasks())
    skipped = {id(found), id(seen), id(waiting), id(asyncio.current_task())}
    while waiting:
        thing, label = waiting.popleft()
        if id(thing) in seen or id(thing) in skipped or isinstance(thing, _CODE):
            continue
        seen.add(id(thing))
        module = type(thing).__module__
        if module.startswith(_SIMULATOR) or isinstance(thing, FrameType):
            continue
        items, size = found.get(label, Held(0, 0))
        length = len(thing) if isinstance(thing, _CONTAINERS) else 0
        found[label] = Held(max(items, length), size + sys.getsizeof(thing, 0))
        waiting.extend(_held_by(thing, label))
    return found


def _held_by(thing: object, label: str) -> Iterator[tuple[object, str]]:
    if isinstance(thing, CoroutineType) and (frame := thing.cr_frame) is not None:
        name = f"{frame.f_globals.get('__name__', '?')}.{thing.__qualname__}"
        for local, value in frame.f_locals.items():
            yield value, f"{name}({local})"
        if thing.cr_await is not None:
            yield thing.cr_await, label
    elif type(thing).__module__.startswith(_OWNERS) and not isinstance(thing, tuple):
        for attribute, value in _attributes(thing):
            yield value, f"{type(thing).__module__}.{type(thing).__qualname__}.{attribute}"
    else:
        for value in gc.get_referents(thing):
            yield value, label


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
