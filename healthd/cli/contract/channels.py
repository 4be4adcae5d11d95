"""Every MQTT topic and its payload; ``healthd schema`` generates its documents from these."""

from collections.abc import Iterator
from dataclasses import dataclass

from healthd.cli.contract.schema import EVENTS, Model, published
from healthd.mqtt.payloads import (
    DeviceAnnouncement,
    DeviceInfo,
    GatewayHealth,
    GatewayInfo,
    Payload,
    Response,
)
from healthd.mqtt.topics import Topics, person_stream
from healthd.profiles.common.personal import PersonalResult
from healthd.profiles.reader import Undecoded
from healthd.profiles.registry import Registry
from healthd.verbs import REQUESTS, Request

# Placeholders in topics; AsyncAPI calls them parameters of an address.
TOPICS = Topics("{prefix}", "{gateway}")
_DEVICE, _UUID, _DISCOVERY, _VERB = "{device}", "{uuid}", "{discovery}", "{verb}"
_PERSON, _OF_A_PERSON = "{person}", "person_"


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic, or one topic per device.

    Attributes:
        name: unique name of the channel.
        address: the topic, with parameters in braces.
        model: the payload's model; None for the text ``online`` or ``offline``.
        retained: whether the broker keeps the newest message.
        summary: description in one line.
        history: name of the channel for samples that could not be delivered live; None without one.
    """

    name: str
    address: str
    model: Model | None
    retained: bool
    summary: str
    history: str | None = None

    @property
    def is_request(self) -> bool:
        """Return whether other clients publish here and healthd subscribes."""
        return self.model is not None and issubclass(self.model, Request)

    @property
    def expires_s(self) -> int | None:
        """Return the message expiry in seconds over MQTT 5; None if messages never expire."""
        model = self.model
        return model.expires_s if model is not None and issubclass(model, Payload) else None


def channels(registry: Registry) -> list[Channel]:
    """Return all channels: of the gateway, its events, devices, requests, and streams by name."""
    of_streams = streams_of_devices(registry)
    own = (*of_the_gateway(), *of_devices(), *of_requests())
    return [*own, *for_home_assistant(), *of_streams]


def first_line(model: Model) -> str:
    """Return the first line of a model's docstring."""
    return (model.__doc__ or "").strip().partition("\n")[0]


def of_the_gateway() -> Iterator[Channel]:
    """Yield the channels of the gateway itself."""
    will = "Whether the gateway is connected; its will publishes offline."
    yield Channel("status", TOPICS.status, None, True, will)
    yield Channel("info", TOPICS.info, GatewayInfo, True, first_line(GatewayInfo))
    yield Channel("health", TOPICS.health, GatewayHealth, True, first_line(GatewayHealth))
    for model in EVENTS:
        topic = TOPICS.sample("", f"event/{model.kind}")
        yield Channel(f"event_{model.kind}", topic, model, False, first_line(model))


def of_devices() -> Iterator[Channel]:
    """Yield the channels of each peripheral, except its streams."""
    online = "Whether the device can deliver samples."
    yield Channel("device_status", TOPICS.device_status(_DEVICE), None, True, online)
    topic = TOPICS.device_info(_DEVICE)
    yield Channel("device_info", topic, DeviceInfo, True, first_line(DeviceInfo))


def for_home_assistant() -> Iterator[Channel]:
    """Yield the channels for Home Assistant's discovery, used if ``[mqtt] discovery`` is set."""
    for name, what, peripheral in (("gateway", "The gateway", ""), ("device", "A device", _DEVICE)):
        topic = TOPICS.announcement(_DISCOVERY, peripheral)
        summary = f"{what} and its entities, for Home Assistant."
        yield Channel(f"discovery_{name}", topic, DeviceAnnouncement, True, summary)


def of_requests() -> Iterator[Channel]:
    """Yield the channels of requests and of responses."""
    for verb, model in REQUESTS.items():
        yield Channel(model.kind, TOPICS.request(verb), model, False, first_line(model))
    yield Channel("response", TOPICS.response(_VERB), Response, False, first_line(Response))


def streams_of_devices(registry: Registry) -> Iterator[Channel]:
    """Yield the channels of measurements: two for each kind, and two more for that of a person."""
    streams = {kind: (kind, model) for kind, model in published(registry).items()}
    streams["undecoded"] = f"undecoded/{_UUID}", Undecoded
    streams |= {
        f"{_OF_A_PERSON}{kind}": (person_stream(_PERSON, kind), model)
        for kind, (_, model) in streams.items()
        if issubclass(model, PersonalResult) and model.retained
    }
    for kind, (stream, model) in streams.items():
        live, history = TOPICS.sample(_DEVICE, stream), TOPICS.history(_DEVICE, stream)
        history_name, summary = f"{kind}_history", first_line(model)
        if kind.startswith(_OF_A_PERSON):
            summary = f"{summary} Those of one person, again."
        yield Channel(kind, live, model, model.retained, summary, history_name)
        late = f"{summary} Samples that were late, oldest first."
        yield Channel(history_name, history, model, False, late)
