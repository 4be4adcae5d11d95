"""The broker side of a gateway: every part that works with MQTT."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from healthd.mqtt.devices import Devices
from healthd.mqtt.discovery import Discovery
from healthd.mqtt.endpoints import Endpoint, endpoints
from healthd.mqtt.inbox import Inbox
from healthd.mqtt.payloads import GatewayInfo
from healthd.mqtt.publisher import Publisher
from healthd.mqtt.retained_topics import RetainedTopics
from healthd.mqtt.topics import Topics
from healthd.outbox.outbox import Outbox
from healthd.profiles.registry import Registry
from healthd.runs import Run
from healthd.samples import Sample
from healthd.settings.model import Settings
from healthd.supervision.supervisor import Service


@dataclass(slots=True)
class BrokerSide:
    """The MQTT parts, connected to each other.

    Attributes:
        topics: the gateway's topics.
        brokers: the brokers to try, in this order.
        inbox: receives messages.
        retained: which topics may hold a retained message.
        publisher: keeps the connection and publishes over it.
        discovery: announces entities to Home Assistant.
        devices: publishes what is known about each peripheral.
    """

    topics: Topics
    brokers: tuple[Endpoint, ...]
    inbox: Inbox
    retained: RetainedTopics
    publisher: Publisher
    discovery: Discovery
    devices: Devices

    @classmethod
    def build(
        cls,
        settings: Settings,
        registry: Registry,
        environ: Mapping[str, str],
        run: Run,
        outbox: Outbox,
        folder: Path,
    ) -> Self:
        """Build the parts; nothing runs yet.

        Args:
            settings: as read from the file.
            registry: what healthd can read.
            environ: the process's environment, which may name a credential.
            run: the current run of the daemon.
            outbox: holds the samples to publish.
            folder: the state folder.

        Raises:
            Fatal: a password, certificate or key file cannot be used.
        """
        topics = Topics(settings.mqtt.prefix, settings.gateway.id)
        brokers = endpoints(settings, topics, environ)
        inbox, retained = Inbox(), RetainedTopics(folder)
        publisher = Publisher(brokers, topics, outbox, run, inbox, retained)
        discovery = Discovery(topics, publisher, inbox, folder, registry)
        discovery.apply(settings)
        devices = Devices(topics, publisher.retain, discovery.on_info)
        return cls(topics, brokers, inbox, retained, publisher, discovery, devices)

    @property
    def services(self) -> dict[str, Service]:
        """What runs as long as the gateway does, by name."""
        return {
            "mqtt": self.publisher.run,
            "retained": self.retained.run,
            "discovery": self.discovery.run,
        }

    def on_live(self, sample: Sample) -> None:
        """Handle a sample that belongs to a live topic."""
        self.discovery.on_sample(sample)
        self.publisher.on_live(sample)

    async def clear_removed(self) -> None:
        """Clear what was retained by earlier runs and belongs to nothing in the settings now.

        Call it before anything is retained: it also saves the list of topics, and a retained
        topic that is not on the list would never be cleared.
        """
        self.publisher.track_own_retained()
        for peripheral in self.retained.removed_peripherals():
            self.publisher.clear_retained(peripheral)
        await self.retained.save()

    def go_online(self) -> None:
        """Publish that the gateway is online; repeated on each connect."""
        self.publisher.retain(self.topics.status, b"online")

    async def go_offline(self) -> None:
        """Deliver what can be delivered, publish that the gateway is offline, and disconnect."""
        await self.publisher.drain_and_disconnect(self.topics.status, b"offline")

    def announce(self, info: GatewayInfo) -> None:
        """Publish what the gateway says about itself."""
        self.publisher.retain(self.topics.info, info)

    def use(self, brokers: tuple[Endpoint, ...]) -> None:
        """Connect to these brokers from now on."""
        self.publisher.set_endpoints(brokers)
        self.brokers = brokers
