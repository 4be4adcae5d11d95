"""Captures for tests: one with every kind of line, and random ones."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from healthd.traffic.lines import (
    FORMAT,
    AdapterChanged,
    Advertised,
    Characteristic,
    Connected,
    ConnectFailed,
    Descriptor,
    Disconnected,
    Discovered,
    Line,
    Missing,
    MtuAgreed,
    Notified,
    Read,
    Service,
    Start,
    Subscribed,
    Written,
    at,
)

BEGINNING = datetime(2026, 11, 24, 2, 0, 0, 123456, tzinfo=UTC)
DEVICE, OTHER = "02:00:5E:10:00:01", "C2:00:5E:10:00:02"
VENDOR = "00001234-5b1e-4347-b07c-97b514dae1{:02x}"

SERVICES = (
    Service(
        uuid="1800",
        handle=1,
        characteristics=(Characteristic(uuid="2a00", handle=3, properties=("read",)),),
    ),
    Service(
        uuid="180d",
        handle=14,
        characteristics=(
            Characteristic(
                uuid="2a37",
                handle=16,
                properties=("notify",),
                descriptors=(Descriptor(uuid="2902", handle=17),),
            ),
            Characteristic(uuid="2a38", handle=19, properties=("read",)),
        ),
    ),
    Service(
        uuid=VENDOR.format(0),
        handle=30,
        characteristics=(
            Characteristic(
                uuid=VENDOR.format(1),
                handle=32,
                properties=("read", "write-without-response", "write", "indicate"),
                descriptors=(
                    Descriptor(uuid="2902", handle=33),
                    Descriptor(uuid="2901", handle=34),
                    Descriptor(uuid=VENDOR.format(2), handle=36),
                ),
            ),
        ),
    ),
)

START = Start(t=0, time=BEGINNING, format=FORMAT, source="healthd", identity="replaced")


def times(t: float) -> dict[str, Any]:
    """Return both times of a line."""
    return at(t, BEGINNING + timedelta(seconds=t))


def session() -> list[Line]:
    """Return a capture that packets can say completely, but for what cannot be in the last lines.

    The last four lines are an error without a code, a failed connection, a change of the adapter
    and missing lines.
    """
    link: dict[str, Any] = {"device": DEVICE, "link": 1}
    vendor: dict[str, Any] = {**link, "uuid": VENDOR.format(1), "handle": 32}
    heart: dict[str, Any] = {**link, "uuid": "2a37", "handle": 16}
    return [
        START,
        Advertised(**times(0), device=DEVICE, name="HRM", rssi_dbm=-60, services=("180d",)),
        Advertised(
            **times(0.2),
            device=DEVICE,
            name="A name of more than thirty bytes",
            services=("180d", VENDOR.format(0)),
            service_data={"181d": b"\x22\xa2", VENDOR.format(9): b"\x01"},
            manufacturer_data={"006b": bytes(100)},
        ),
        Connected(**times(0.5), **link),
        Discovered(**times(1), **link, services=SERVICES),
        MtuAgreed(**times(1.1), **link, mtu=64),
        Read(**times(1.5), **link, uuid="2a00", handle=3, value=b"HRM", took_s=0.05),
        Read(**times(1.6), **vendor, value=bytes(range(200)), took_s=0.05),
        Read(**times(1.7), **vendor, code=5, error="insufficient authentication", took_s=0.05),
        Subscribed(**times(1.8), **heart, mode="notify", took_s=0.05),
        Subscribed(**times(1.9), **vendor, mode="indicate", took_s=0.05),
        Notified(**times(2), **heart, value=b"\x10\x48\x80\x03"),
        Notified(**times(2.1), **vendor, value=b"\x00\xff", confirmed=True),
        Written(**times(2.2), **vendor, value=b"\x01\x02", response=True, took_s=0.05),
        Written(**times(2.3), **vendor, value=b"\x03", response=False),
        Written(**times(2.4), **vendor, value=bytes(range(200)), response=True, took_s=0.05),
        Written(**times(2.5), **vendor, value=b"x", response=True, code=128, error="?", took_s=0.1),
        Disconnected(**times(3), **link, code=8, reason="timeout"),
        Read(**times(4), **vendor, error="org.bluez.Error.Failed"),
        ConnectFailed(**times(5), device=DEVICE, error="org.bluez.Error.Failed"),
        AdapterChanged(**times(6), change="removed"),
        Missing(**times(7), reason="the disk was full"),
    ]


VENDOR_UUIDS = st.integers(0, 255).map(VENDOR.format)
UUIDS = st.integers(0x2A00, 0x2AFF).map("{:04x}".format) | VENDOR_UUIDS
_Uuids = st.SearchStrategy[str]
_PROPERTIES = ("broadcast", "read", "write-without-response", "write", "notify", "indicate")


@st.composite
def tables(
    draw: Callable[[st.SearchStrategy[Any]], Any], uuids: _Uuids = UUIDS
) -> tuple[Service, ...]:
    """Draw the services of a device, with gaps between handles."""
    handle = 0

    def following() -> int:
        nonlocal handle
        handle += draw(st.integers(1, 3))
        return handle

    def characteristic() -> Characteristic:
        nonlocal handle
        handle += 1  # its declaration
        value = following()
        return Characteristic(
            uuid=draw(uuids),
            handle=value,
            properties=tuple(
                sorted(draw(st.sets(st.sampled_from(_PROPERTIES))), key=_PROPERTIES.index)
            ),
            descriptors=tuple(
                Descriptor(uuid=uuid, handle=following())
                for uuid in draw(st.lists(st.just("2902") | st.just("2901") | uuids, max_size=3))
            ),
        )

    return tuple(
        Service(
            uuid=draw(uuids),
            handle=following(),
            characteristics=tuple(characteristic() for _ in range(draw(st.integers(0, 4)))),
        )
        for _ in range(draw(st.integers(1, 4)))
    )


@st.composite
def captures(
    draw: Callable[[st.SearchStrategy[Any]], Any], uuids: _Uuids = UUIDS, at_a_time: int = 3
) -> list[Line]:
    """Draw captures of some links, with values of any length and rare errors."""
    lines: list[Line] = [START]
    open_links: dict[int, tuple[str, tuple[Service, ...]]] = {}
    mtus: dict[int, int] = {}
    t, newest = 0.0, 0
    for _ in range(draw(st.integers(1, 30))):
        t = round(t + draw(st.integers(0, 3_000_000)) / 1e6, 6)
        action = draw(st.sampled_from(("connect", "advertise", *["value"] * 6, "mtu", "end")))
        if action == "advertise":
            lines.append(draw(advertisements(t)))
        elif not open_links or (action == "connect" and len(open_links) < at_a_time):
            newest += 1
            device = f"02:00:5E:10:01:{newest:02X}"
            open_links[newest] = device, draw(tables(uuids))
            lines.append(Connected(**times(t), device=device, link=newest))
            services = open_links[newest][1]
            lines.append(Discovered(**times(t), device=device, link=newest, services=services))
        else:
            number = draw(st.sampled_from(sorted(open_links)))
            device, services = open_links[number]
            on: dict[str, Any] = {**times(t), "device": device, "link": number}
            if action == "mtu":
                mtus[number] = draw(st.integers(23, 517))
                lines.append(MtuAgreed(**on, mtu=mtus[number]))
            elif action == "end":
                lines.append(Disconnected(**on, code=draw(st.integers(1, 0x45))))
                del open_links[number]
            else:
                lines.extend(draw(_values(on, services, mtus.get(number, 23))))
    return lines


@st.composite
def _values(
    draw: Callable[[st.SearchStrategy[Any]], Any],
    on: dict[str, Any],
    services: tuple[Service, ...],
    mtu: int,
) -> list[Line]:
    known = [each for service in services for each in service.characteristics]
    if not known:
        return []
    chosen = draw(st.sampled_from(known))
    of: dict[str, Any] = {**on, "uuid": chosen.uuid, "handle": chosen.handle}
    value = draw(st.binary(max_size=40) | st.binary(min_size=100, max_size=512))
    error: dict[str, Any] = (
        {"code": draw(st.integers(1, 255)), "error": "refused"}
        if draw(st.integers(0, 9)) == 0
        else {}
    )
    kind = draw(st.sampled_from(("notification", "read", "write", "command", "subscribe")))
    if kind == "notification":
        return [Notified(**of, value=value[: mtu - 3], confirmed=draw(st.booleans()))]
    if kind == "read":
        return [Read(**of, **error) if error else Read(**of, value=value)]
    if kind == "write":
        # The refusal of a longer one is the answer to its beginning.
        value = value[: mtu - 3] if error else value
        return [Written(**of, value=value, response=True, **error)]
    if kind == "command":
        return [Written(**of, value=value[: mtu - 3], response=False)]
    # A second one has the same UUID, so only one of them is the one that subscribes.
    if [each.uuid for each in chosen.descriptors].count("2902") != 1:
        return []
    mode = draw(st.sampled_from(("notify", "indicate", "off")))
    return [Subscribed(**of, mode=mode, **error)]


@st.composite
def advertisements(draw: Callable[[st.SearchStrategy[Any]], Any], t: float) -> Advertised:
    """Draw an advertisement at this time."""
    data = st.binary(max_size=100)
    return Advertised(
        **times(t),
        device=draw(st.sampled_from((DEVICE, OTHER))),
        name=draw(st.none() | st.text("abc äö", min_size=1, max_size=40).map(str.strip)) or None,
        rssi_dbm=draw(st.none() | st.integers(-127, 20)),
        services=tuple(draw(st.lists(UUIDS, max_size=3, unique=True))),
        service_data=draw(st.dictionaries(UUIDS, data, max_size=2)),
        manufacturer_data=draw(
            st.dictionaries(st.integers(0, 0xFFFF).map("{:04x}".format), data, max_size=2)
        ),
    )
