"""What a capture sees of the radio: one peripheral's advertisements and links, as plain values.

Without a capture there is no tap, and each event costs one comparison.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from healthd.profiles.uuids import canonical_uuid

_T = TypeVar("_T")

Mode = Literal["notify", "indicate"]


class Advertised(NamedTuple):
    """An advertisement of the peripheral, with all that it carries.

    Attributes:
        address: of the device.
        name: its local name; None if it is not known.
        rssi_dbm: signal strength.
        services: canonical UUIDs.
        service_data: by canonical UUID.
        manufacturer_data: by company id.
    """

    address: str
    name: str | None
    rssi_dbm: int
    services: tuple[str, ...]
    service_data: Mapping[str, bytes]
    manufacturer_data: Mapping[int, bytes]


class Opened(NamedTuple):
    """A link that exists.

    Attributes:
        address: of the device.
        services: a dictionary for each service, with ``uuid``, ``handle`` and ``characteristics``;
            these have ``uuid``, ``handle`` (of the value), ``properties`` and ``descriptors``,
            which have ``uuid`` and ``handle``.
        mtu: the ATT MTU; None if it is not known.
        took_s: how long connecting took; None: the tap came later.
    """

    address: str
    services: list[dict[str, Any]]
    mtu: int | None
    took_s: float | None


class Answer(NamedTuple):
    """How a request ended.

    Attributes:
        error: why it failed; None: it did not.
        code: the ATT error code; None: there is none.
        took_s: how long it took.
    """

    error: str | None
    code: int | None
    took_s: float


class LinkTap(Protocol):
    """Sees one link. Called in the event loop; must not block or raise."""

    def on_value(self, uuid: str, value: bytes) -> None:
        """Handle a notification or an indication, before any limit leaves it out."""
        ...

    def on_read(self, uuid: str, value: bytes | None, answer: Answer) -> None:
        """Handle a read; ``value`` is None if it failed."""
        ...

    def on_written(self, uuid: str, value: bytes, response: bool, answer: Answer) -> None:
        """Handle a write."""
        ...

    def on_subscribed(self, uuid: str, mode: Mode, answer: Answer) -> None:
        """Handle a subscription."""
        ...

    def on_disconnected(self, reason: str | None) -> None:
        """Handle the end of the link. A request that ends with it may still be reported."""
        ...


class Tap(Protocol):
    """Sees one peripheral. Called in the event loop; must not block or raise."""

    def on_advertisement(self, advertised: Advertised) -> None:
        """Handle an advertisement."""
        ...

    def on_connect_failed(self, address: str, error: str, took_s: float) -> None:
        """Handle that a link could not be made."""
        ...

    def on_connected(self, opened: Opened) -> LinkTap:
        """Handle a new link, or one that exists; return what sees it."""
        ...


def services_of(found: Iterable[Any], *, on_bluez: bool) -> list[dict[str, Any]]:
    """Return services as in ``Opened``.

    Args:
        found: services of bleak.
        on_bluez: whether a characteristic's handle is the one in the path of its object in BlueZ.
            That is the handle of its declaration; its value has the next one (Core Specification,
            Vol 3, Part G, 3.3.2).
    """
    return [
        {
            "uuid": canonical_uuid(service.uuid),
            "handle": service.handle,
            "characteristics": [
                {
                    "uuid": canonical_uuid(each.uuid),
                    "handle": each.handle + on_bluez,
                    "properties": tuple(each.properties),
                    "descriptors": sorted(
                        (
                            {"uuid": canonical_uuid(one.uuid), "handle": one.handle}
                            for one in each.descriptors
                        ),
                        key=_handle,
                    ),
                }
                for each in sorted(service.characteristics, key=lambda each: each.handle)
            ],
        }
        for service in sorted(found, key=lambda service: service.handle)
    ]


def _handle(described: Mapping[str, Any]) -> int:
    return described["handle"]


async def tapped(request: Awaitable[_T], note: Callable[[_T | None, Answer], None]) -> _T:
    """Wait for a request; report its result, or why it failed, to ``note``.

    Raises:
        Exception: what ``request`` raises.
    """
    began = time.monotonic()

    def took_s() -> float:
        return round(time.monotonic() - began, 6)

    try:
        result = await request
    except asyncio.CancelledError:
        note(None, Answer("healthd gave up waiting", None, took_s()))
        raise
    except Exception as error:
        code: int | None = getattr(error, "att_error", None)
        note(None, Answer(str(error) or type(error).__name__, code, took_s()))
        raise
    note(result, Answer(None, None, took_s()))
    return result
