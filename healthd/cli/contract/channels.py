"""Every topic with what stands on it: what ``healthd schema`` tells of MQTT is made of these."""

from collections.abc import Iterator
from dataclasses import dataclass

from healthd.cli.contract.schema import EVENTS, Model
from healthd.mqtt.payloads import (
    DeviceAnnouncement,
    DeviceInfo,
    GatewayHealth,
    GatewayInfo,
    Payload,
    Response,
)
from healthd.mqtt.topics import Topics
from healthd.profiles.characteristic import Use
from healthd.profiles.reader import Undecoded
from healthd.profiles.registry import Registry
from healthd.samples import Measurement
from healthd.verbs import REQUESTS, Request

# What a consumer puts in its place; AsyncAPI calls them parameters of an address.
TOPICS = Topics("{prefix}", "{gateway}")
_DEVICE, _UUID, _DISCOVERY, _VERB = "{device}", "{uuid}", "{discovery}", "{verb}"


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic, or one for each device.

    Attributes:
        name: of its own.
        address: the topic, with parameters in braces.
        model: of its payload; None for the text ``online`` or ``offline``.
        retained: whether the broker keeps the newest message.
        summary: one line.
        history: name of the channel that has what could not be delivered here; None without one.
    """

    name: str
    address: str
    model: Model | None
    retained: bool
    summary: str
    history: str | None = None

    @property
    def is_request(self) -> bool:
        """Whether healthd reads here what others publish."""
        return self.model is not None and issubclass(self.model, Request)

    @property
    def expires_s(self) -> int | None:
        """After so many seconds a broker that speaks MQTT 5 forgets a message; None: never."""
        model = self.model
        return model.expires_s if model is not None and issubclass(model, Payload) else None


def channels(registry: Registry) -> list[Channel]:
    """All of them: the gateway's, its events, the devices', requests, and streams by name."""
    of_streams = streams_of_devices(registry)
    own = (*of_the_gateway(), *of_devices(), *of_requests())
    return [*own, *for_home_assistant(), *of_streams]


def published(registry: Registry) -> dict[str, type[Measurement]]:
    """The kinds of measurement that are streams of devices, in alphabetical order."""
    models = [
        one.model
        for one in registry.characteristics.values()
        if one.use in (Use.STREAM, Use.STATUS)
    ]
    models += [model for profile in registry.profiles.values() for model in profile.derived]
    return {model.kind: model for model in sorted(models, key=lambda model: model.kind)}


def first_line(model: Model) -> str:
    """What a model is, in one line."""
    return (model.__doc__ or "").strip().partition("\n")[0]


def of_the_gateway() -> Iterator[Channel]:
    """What a gateway says of itself."""
    will = "Whether the gateway is there; offline is also its will."
    yield Channel("status", TOPICS.status, None, True, will)
    yield Channel("info", TOPICS.info, GatewayInfo, True, first_line(GatewayInfo))
    yield Channel("health", TOPICS.health, GatewayHealth, True, first_line(GatewayHealth))
    for model in EVENTS:
        topic = TOPICS.sample("", f"event/{model.kind}")
        yield Channel(f"event_{model.kind}", topic, model, False, first_line(model))


def of_devices() -> Iterator[Channel]:
    """What it says of each peripheral."""
    online = "Whether samples of the device can flow."
    yield Channel("device_status", TOPICS.device_status(_DEVICE), None, True, online)
    topic = TOPICS.device_info(_DEVICE)
    yield Channel("device_info", topic, DeviceInfo, True, first_line(DeviceInfo))


def for_home_assistant() -> Iterator[Channel]:
    """What it is told of gateway and devices, where ``[mqtt] discovery`` is set."""
    for name, what, peripheral in (("gateway", "The gateway", ""), ("device", "A device", _DEVICE)):
        topic = TOPICS.announcement(_DISCOVERY, peripheral)
        summary = f"{what} and its entities, for Home Assistant."
        yield Channel(f"discovery_{name}", topic, DeviceAnnouncement, True, summary)


def of_requests() -> Iterator[Channel]:
    """What may be asked of it, and where it answers."""
    for verb, model in REQUESTS.items():
        yield Channel(model.kind, TOPICS.request(verb), model, False, first_line(model))
    yield Channel("response", TOPICS.response(_VERB), Response, False, first_line(Response))


def streams_of_devices(registry: Registry) -> Iterator[Channel]:
    """What was measured: two channels for each kind."""
    streams = {kind: (kind, model) for kind, model in published(registry).items()}
    streams["undecoded"] = f"undecoded/{_UUID}", Undecoded
    for kind, (stream, model) in streams.items():
        live, history = TOPICS.sample(_DEVICE, stream), TOPICS.history(_DEVICE, stream)
        behind, what = f"{kind}_history", first_line(model)
        yield Channel(kind, live, model, model.retained, what, behind)
        yield Channel(behind, history, model, False, f"{what} What was late, oldest first.")
