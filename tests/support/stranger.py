"""A client that knows nothing of healthd but its AsyncAPI document, which it reads from its input.

It takes one kind of message wherever the document says that it is published, each one once, and
prints stream and payload as JSON lines. A script: it imports nothing of healthd's.
"""

import json
import re
import sys
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


class Stranger:
    """What it has read: where to subscribe, and what makes two messages one."""

    def __init__(self, document: dict[str, Any], kind: str) -> None:
        """Read what the document says of a kind of message."""
        self._document = document
        self._seen: set[tuple[str, str]] = set()
        message = f"#/components/messages/{kind}"
        self.filters: dict[str, int] = {}
        # By what its topic looks like: the address of the live channel that a channel belongs to.
        self._streams: dict[re.Pattern[str], str] = {}
        for operation in document["operations"].values():
            where = operation["channel"]["$ref"]
            channel = self._at(where)
            if message not in [one["$ref"] for one in channel["messages"].values()]:
                continue
            quality: int = operation["bindings"]["mqtt"]["qos"]
            self.filters[self._filter(channel)] = quality
            self._streams[self._pattern(channel)] = self._live(where)["address"]
        correlation = self._at(self._at(message)["correlationId"]["$ref"])["location"]
        self._identity = correlation.removeprefix("$message.payload#/")

    def take(self, topic: str, payload: bytes) -> None:
        """Print what was not seen before."""
        sample = json.loads(payload)
        stream = self._stream(topic)
        if (stream, sample[self._identity]) not in self._seen:
            self._seen.add((stream, sample[self._identity]))
            sys.stdout.write(json.dumps({"stream": stream, "payload": sample}) + "\n")
            sys.stdout.flush()

    def _stream(self, topic: str) -> str:
        """The live topic of a message's stream: its address with the topic's own parameters."""
        for pattern, live in self._streams.items():
            if found := pattern.fullmatch(topic):
                return live.format(**found.groupdict())
        raise ValueError(f"not in the document: {topic}")

    def _live(self, where: str) -> dict[str, Any]:
        """The channel whose history this one is, or itself."""
        owners = (
            one
            for one in self._document["channels"].values()
            if one.get("x-history", {}).get("$ref") == where
        )
        return next(owners, self._at(where))

    def _filter(self, channel: dict[str, Any]) -> str:
        """Every value of the parameters, but those that the document has a value for."""
        values = {key: one.get("default", "+") for key, one in channel["parameters"].items()}
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
    stranger = Stranger(json.load(sys.stdin), kind)
    client = Client(CallbackAPIVersion.VERSION2, client_id="stranger", protocol=VERSIONS[version])

    def on_connect(one: Client, *_: Any) -> None:
        one.subscribe([(where, quality) for where, quality in stranger.filters.items()])

    def on_message(_client: Client, _userdata: Any, message: MQTTMessage) -> None:
        stranger.take(message.topic, bytes(message.payload))

    client.on_connect, client.on_message = on_connect, on_message
    client.connect("127.0.0.1", port)
    client.loop_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
