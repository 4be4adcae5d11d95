"""An MQTT client that knows only healthd's AsyncAPI document, which it reads from standard input.

It subscribes to one kind of message wherever the document says that it is published, and prints
stream and payload of each message once, as JSON lines. A script: it imports nothing from healthd.
"""

import json
import re
import sys
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


class Consumer:
    """Where to subscribe and what identifies a message, as read from the document.

    Attributes:
        filters: quality of service by topic filter.
    """

    def __init__(self, document: dict[str, Any], kind: str) -> None:
        """Read what the document says about a kind of message."""
        self._document = document
        self._seen: set[tuple[str, str]] = set()
        message = f"#/components/messages/{kind}"
        self.filters: dict[str, int] = {}
        # By the pattern of a channel's topics: the address of the live channel that it belongs to.
        self._streams: dict[re.Pattern[str], str] = {}
        for operation in document["operations"].values():
            where = operation["channel"]["$ref"]
            channel = self._at(where)
            if message not in [link["$ref"] for link in channel["messages"].values()]:
                continue
            quality: int = operation["bindings"]["mqtt"]["qos"]
            self.filters[self._filter(channel)] = quality
            self._streams[self._pattern(channel)] = self._live(where)["address"]
        correlation = self._at(self._at(message)["correlationId"]["$ref"])["location"]
        self._identity = correlation.removeprefix("$message.payload#/")

    def on_payload(self, topic: str, payload: bytes) -> None:
        """Print the message unless it has been printed before."""
        sample = json.loads(payload)
        stream = self._stream(topic)
        if (stream, sample[self._identity]) not in self._seen:
            self._seen.add((stream, sample[self._identity]))
            sys.stdout.write(json.dumps({"stream": stream, "payload": sample}) + "\n")
            sys.stdout.flush()

    def _stream(self, topic: str) -> str:
        """Return the live topic of a message's stream: its address with the topic's parameters."""
        for pattern, live in self._streams.items():
            if found := pattern.fullmatch(topic):
                return live.format(**found.groupdict())
        raise ValueError(f"not in the document: {topic}")

    def _live(self, where: str) -> dict[str, Any]:
        """Return the channel that has this one as its history, or this one."""
        owners = (
            channel
            for channel in self._document["channels"].values()
            if channel.get("x-history", {}).get("$ref") == where
        )
        return next(owners, self._at(where))

    def _filter(self, channel: dict[str, Any]) -> str:
        """Return a filter for every value of the parameters without a default."""
        parameters = channel["parameters"].items()
        values = {key: parameter.get("default", "+") for key, parameter in parameters}
        return channel["address"].format(**values)

    def _pattern(self, channel: dict[str, Any]) -> re.Pattern[str]:
        return re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", channel["address"]))

    def _at(self, reference: str) -> dict[str, Any]:
        part = self._document
        for key in reference.removeprefix("#/").split("/"):
            part = part[key]
        return part


def main(port: int, version: str, kind: str) -> None:
    """Subscribe and print until the process is ended."""
    consumer = Consumer(json.load(sys.stdin), kind)
    client = Client(
        CallbackAPIVersion.VERSION2, client_id="asyncapi-consumer", protocol=VERSIONS[version]
    )

    def on_connect(connected: Client, *_: Any) -> None:
        connected.subscribe(list(consumer.filters.items()))

    def on_message(_client: Client, _userdata: Any, message: MQTTMessage) -> None:
        consumer.on_payload(message.topic, bytes(message.payload))

    client.on_connect, client.on_message = on_connect, on_message
    client.connect("127.0.0.1", port)
    client.loop_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
