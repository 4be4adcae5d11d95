"""The lines of a capture: what was on the radio between peripherals and a central, and when.

The page docs/capture.md describes the file. A line says what happened, not how a library reported
it, so captures of healthd and logs of phones become the same lines.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
)

FORMAT = "healthd-capture/1"
"""The first line of a capture has this text in ``format``. Another layout gets another number."""


def _bytes_of(value: object) -> object:
    # bytes.fromhex accepts spaces between bytes, which a capture never has but a person may add.
    return bytes.fromhex(value) if isinstance(value, str) else value


Hex = Annotated[bytes, BeforeValidator(_bytes_of), PlainSerializer(bytes.hex, when_used="json")]
"""Bytes; hex digits in the file."""

Uuid = Annotated[str, Field(pattern=r"^([0-9a-f]{4}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$")]
"""A UUID in the form that ``healthd.profiles.uuids.canonical_uuid`` returns."""

# A file may come from anyone. Texts are as long as devices and stacks make them, and times are such
# that they can be calculated with.
Text = Annotated[str, Field(max_length=4096)]
Word = Annotated[str, Field(min_length=1, max_length=64)]
LONGEST_S = 1e9
Seconds = Annotated[float, Field(ge=0, le=LONGEST_S, allow_inf_nan=False)]
_FIRST_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_TIME = datetime(9999, 12, 31, tzinfo=UTC)


def _utc(time: datetime) -> datetime:
    if not _FIRST_TIME <= time <= _LAST_TIME:
        raise ValueError("expected a time from 1970 to 9999")
    return time.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_utc)]
"""A time with its zone; in UTC once it is read."""

Handle = Annotated[int, Field(ge=1, le=0xFFFF)]
"""An ATT handle."""


class _Line(BaseModel):
    """What all lines share.

    Attributes:
        t: seconds since the first line, by the monotonic clock, to the microsecond.
        time: the same moment by the wall clock.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="utf8")

    t: Seconds
    time: Moment


class Start(_Line):
    """The first line: where the capture is from.

    Attributes:
        format: see ``FORMAT``.
        source: what it was made by: ``healthd``, or the kind of the file that it was read from,
            such as ``btsnoop``.
        identity: whether addresses, names and serial numbers are the real ones.
        healthd: version and commit of the healthd that has written it.
        system: versions of BlueZ and of the kernel, and what is known of the adapter.
        peripheral: healthd's settings for the peripheral, without secrets.
    """

    what: Literal["start"] = "start"
    format: Literal["healthd-capture/1"]
    source: Word
    identity: Literal["replaced", "kept"]
    healthd: dict[str, str] = Field(default_factory=dict)
    system: dict[str, str] = Field(default_factory=dict)
    peripheral: dict[str, Any] = Field(default_factory=dict)


class _OfDevice(_Line):
    """A line about one device.

    Attributes:
        device: its address, perhaps a replaced one; the same device has the same address in all
            lines.
    """

    device: Word


class Advertised(_OfDevice):
    """An advertisement, as far as the source has it.

    Attributes:
        name: local name; None if it has none.
        rssi_dbm: signal strength; None if it is not known.
        services: advertised service UUIDs.
        service_data: by UUID.
        manufacturer_data: by company id, four hex digits.
    """

    what: Literal["advertisement"] = "advertisement"
    name: Text | None = None
    rssi_dbm: Annotated[int, Field(ge=-128, le=127)] | None = None
    services: tuple[Uuid, ...] = ()
    service_data: dict[Uuid, Hex] = Field(default_factory=dict)
    manufacturer_data: dict[Annotated[str, Field(pattern="^[0-9a-f]{4}$")], Hex] = Field(
        default_factory=dict
    )


class _OnLink(_OfDevice):
    """A line about one link.

    Attributes:
        link: the number of the link in this file, from 1.
    """

    link: Annotated[int, Field(ge=1, le=1_000_000_000)]


class Connected(_OnLink):
    """A link exists.

    Attributes:
        joined: the capture began when the link already existed.
        took_s: how long connecting took, with the discovery of services; None: not known.
    """

    what: Literal["connected"] = "connected"
    joined: bool = False
    took_s: Seconds | None = None


class ConnectFailed(_OfDevice):
    """A link could not be made.

    Attributes:
        error: why, as the Bluetooth stack said it.
        took_s: how long the attempt took; None: not known.
    """

    what: Literal["connect_failed"] = "connect_failed"
    error: Text
    took_s: Seconds | None = None


class Descriptor(BaseModel):
    """A descriptor of a characteristic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uuid: Uuid
    handle: Handle


class Characteristic(BaseModel):
    """A characteristic of a service.

    Attributes:
        uuid: its UUID.
        handle: of its value: the handle of reads, writes and notifications.
        properties: such as ``read``, ``write``, ``write-without-response``, ``notify``,
            ``indicate``: the names of BlueZ.
        descriptors: in the order of their handles.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uuid: Uuid
    handle: Handle
    properties: tuple[Word, ...] = ()
    descriptors: tuple[Descriptor, ...] = ()


class Service(BaseModel):
    """A primary service.

    Attributes:
        uuid: its UUID.
        handle: of its declaration.
        characteristics: in the order of their handles.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uuid: Uuid
    handle: Handle
    characteristics: tuple[Characteristic, ...] = ()


class Discovered(_OnLink):
    """The services of the device; a later line of the same link replaces an earlier one.

    Attributes:
        services: in the order of their handles.
    """

    what: Literal["services"] = "services"
    services: tuple[Service, ...]


class MtuAgreed(_OnLink):
    """The ATT MTU of the link, in bytes."""

    what: Literal["mtu"] = "mtu"
    mtu: Annotated[int, Field(ge=23, le=0xFFFF)]


class _OfValue(_OnLink):
    """A line about the value of a characteristic, or of a descriptor.

    Attributes:
        uuid: its UUID; None if the source does not say.
        handle: its handle.
    """

    uuid: Uuid | None
    handle: Handle


class _Answered(_OfValue):
    """A request; the line stands where its answer came, or where it failed.

    Attributes:
        error: why it failed, as the Bluetooth stack said it; None: it did not.
        code: the ATT error code of a refusal; None: there is none.
        took_s: from the request to the answer; None: not known.
    """

    error: Text | None = None
    code: Annotated[int, Field(ge=0, le=0xFFFF)] | None = None
    took_s: Seconds | None = None


class Read(_Answered):
    """A value was read; without ``error`` it has a value.

    Attributes:
        value: the bytes.
    """

    what: Literal["read"] = "read"
    value: Hex | None = None


class Written(_Answered):
    """A value was written.

    Attributes:
        value: the bytes; None if they are left out because they are secret.
        response: whether the device was asked to confirm.
    """

    what: Literal["write"] = "write"
    value: Hex | None
    response: bool


class Subscribed(_Answered):
    """The central subscribed to a characteristic, or unsubscribed.

    Attributes:
        mode: of the values that follow.
    """

    what: Literal["subscribe"] = "subscribe"
    mode: Literal["notify", "indicate", "off"]


class Notified(_OfValue):
    """The device sent a value without having been asked.

    Attributes:
        value: the bytes.
        confirmed: it was an indication.
    """

    what: Literal["notification"] = "notification"
    value: Hex
    confirmed: bool = False


class Disconnected(_OnLink):
    """The link ended.

    Attributes:
        reason: as the Bluetooth stack said it; None: not known.
        code: the HCI reason; None: not known.
    """

    what: Literal["disconnected"] = "disconnected"
    reason: Text | None = None
    code: Annotated[int, Field(ge=0, le=0xFFFF)] | None = None


class AdapterChanged(_Line):
    """The adapter or the Bluetooth service changed.

    Attributes:
        change: in the words of the topic ``event/adapter``.
        detail: more about it.
    """

    what: Literal["adapter"] = "adapter"
    change: Word
    detail: Text = ""


class Missing(_Line):
    """Lines are missing here.

    Attributes:
        count: how many; None: not known.
        reason: why, in a sentence.
    """

    what: Literal["missing"] = "missing"
    count: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    reason: Text


Line = (
    Start
    | Advertised
    | Connected
    | ConnectFailed
    | Discovered
    | MtuAgreed
    | Read
    | Written
    | Subscribed
    | Notified
    | Disconnected
    | AdapterChanged
    | Missing
)
"""Any line of a capture."""

AnyLine = Annotated[Line, Field(discriminator="what")]
"""The same for pydantic, which selects the class by ``what``."""


def at(t: float, time: datetime) -> dict[str, Any]:
    """Return the two times of a line as arguments, to the microsecond.

    Args:
        t: seconds since the first line. A clock that was set may make them impossible: the nearest
            possible number is used.
        time: by the wall clock.
    """
    return {"t": round(min(max(t, 0.0), LONGEST_S), 6), "time": time}
