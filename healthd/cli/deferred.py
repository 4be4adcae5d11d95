"""Modules that the daemon's libraries import but rarely or never use: loaded at their first use.

A Raspberry Pi Zero 2 has 512 MB for everything. ``import ssl`` alone takes 5 of them, and asyncio
and paho do it in case someone wants TLS. ``healthd run`` therefore gives them an empty module in
place of each one in ``MODULES``. The first access to a name in it loads the real one into the same
object, so everything that has imported it has the real one from then on. All together take 11 MB of
memory, and a tenth of the CPU of the start.

The standard library's ``importlib.util.LazyLoader`` is not enough: with it, the second ``import``
of a module loads it.
"""

import sys
from _thread import RLock
from collections.abc import Sequence
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, NamedTuple, cast


class Deferral(NamedTuple):
    """How a module is deferred.

    Attributes:
        functions: what is imported from it by name, but is rarely or never called; calling it loads
            the module.
        classes: what libraries compare with (``isinstance``, ``except``), or name in annotations
            and defaults, while nothing of the module is in use; nothing fits the class that they
            get until then, and they keep it.
        first: a module that has to be loaded before this one, as it takes ``classes`` from it.
    """

    functions: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    first: str | None = None


MODULES = {
    # Loaded for the first broker with TLS. asyncio asks whether sockets are of its class, and paho
    # and healthd whether errors are.
    "ssl": Deferral(
        classes=(
            "SSLSocket",
            "SSLError",
            "SSLCertVerificationError",
            "SSLWantReadError",
            "SSLWantWriteError",
        )
    ),
    "asyncio.sslproto": Deferral(first="ssl"),
    # structlog raises its error if a logger is pickled.
    "pickle": Deferral(classes=("PicklingError",)),
    # subprocess asks for the encoding of text.
    "locale": Deferral(),
    # These load OpenSSL as well. pydantic wants it for secrets, paho for WebSockets.
    "secrets": Deferral(),
    "hashlib": Deferral(),
    # paho looks for proxies of WebSockets; brings http and email.
    "urllib.request": Deferral(),
    # pydantic looks for plugins, which are switched off; brings email, csv and zipfile.
    "importlib.metadata": Deferral(functions=("entry_points",)),
    # dbus-fast can describe D-Bus objects; bleak asks for no description.
    "xml.etree.ElementTree": Deferral(functions=("Element",)),
    "xml.parsers.expat": Deferral(),
    # pydantic has schemas for their classes, which no model of healthd uses.
    "decimal": Deferral(classes=("Decimal",)),
    "ipaddress": Deferral(
        classes=(
            "IPv4Address",
            "IPv4Interface",
            "IPv4Network",
            "IPv6Address",
            "IPv6Interface",
            "IPv6Network",
        )
    ),
    # pydantic describes models on request; only ``healthd schema`` asks for it.
    "pydantic.json_schema": Deferral(
        functions=("model_json_schema",),
        classes=(
            "DEFAULT_REF_TEMPLATE",
            "GenerateJsonSchema",
            "JsonSchemaKeyT",
            "JsonSchemaMode",
            "JsonSchemaValue",
            "PydanticJsonSchemaWarning",
        ),
    ),
    # Where the rules of a named time zone are; brings sysconfig.
    "zoneinfo._tzpath": Deferral(
        functions=("reset_tzpath", "available_timezones", "find_tzfile"),
        classes=("InvalidTZPathWarning",),
    ),
    # structlog's ways of logging that are not ours: to logging, into a list for tests.
    "structlog.stdlib": Deferral(),
    "structlog.testing": Deferral(classes=("ReturnLogger", "ReturnLoggerFactory")),
    "structlog.threadlocal": Deferral(),
    "structlog.twisted": Deferral(),
    # inspect and linecache read source files, pydantic their text, for traces and descriptions.
    "tokenize": Deferral(),
    "textwrap": Deferral(),
    # pydantic has encoded bytes, and paho a handshake of WebSockets.
    "base64": Deferral(),
    # urllib.parse compares international names.
    "unicodedata": Deferral(),
    # bleak-retry-connector can restore a history of advertisements; brings ctypes.
    "bluetooth_adapters": Deferral(functions=("load_history_from_managed_objects",)),
}
"""What is deferred, and who imports it for what."""


def defer() -> None:
    """Defer those of ``MODULES`` that are not loaded yet; call it before anything imports them."""
    sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds the modules that are deferred; Python asks it first."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in MODULES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            # Its class is not one of importlib.abc, which would load half a megabyte.
            cast("Any", spec).loader = _Loader(spec.loader)
        return spec


class _Loader:
    """Takes the place of a module's loader; leaves the module empty, and puts the loader back."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        module.__class__ = _Deferred


class _Nothing(Exception):
    """Stands for each class of ``Deferral.classes``: is never raised, and has no instance."""


# One thread loads at a time, others wait; a module may need another one to be loaded.
_lock = RLock()
_begun: set[str] = set()


class _Deferred(ModuleType):
    """A module that is still empty, or is being loaded."""

    def __getattr__(self, name: str) -> Any:
        # Only attributes that are missing get here. These are asked for by each import.
        if name.startswith("__"):
            raise AttributeError(name)
        deferral = MODULES[self.__name__]
        if self.__name__ not in _begun:
            if name in deferral.classes:
                return _Nothing
            if name in deferral.functions:
                return partial(_call, self, name)
        try:
            return vars(_load(self))[name]
        except KeyError:
            message = f"module {self.__name__!r} has no attribute {name!r}"
            raise AttributeError(message) from None


def _load(module: ModuleType) -> ModuleType:
    """Load a module that is still empty; while it loads, it may be asked for what it has so far."""
    with _lock:
        name, spec = module.__name__, module.__spec__
        if isinstance(module, _Deferred) and name not in _begun:
            assert spec is not None
            assert spec.loader is not None
            if first := MODULES[name].first:
                _load(sys.modules[first])
            _begun.add(name)
            try:
                spec.loader.exec_module(module)
            except BaseException:
                # As with an import that fails: the next use tries again.
                _begun.discard(name)
                raise
            cast("Any", module).__class__ = ModuleType
    return module


def _call(module: ModuleType, function: str, *values: Any, **more: Any) -> Any:
    return getattr(_load(module), function)(*values, **more)
