"""All topics; no other module spells one."""

from dataclasses import dataclass

_PERSON = "person"

# A length has two bytes in MQTT.
_MOST_BYTES = 65_535


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one gateway.

    Attributes:
        prefix: first level or levels, ``healthd`` by default.
        gateway: the gateway's id.
    """

    prefix: str
    gateway: str

    @property
    def status(self) -> str:
        """``online`` or ``offline``: retained; also the topic of the will."""
        return f"{self.prefix}/{self.gateway}/status"

    @property
    def info(self) -> str:
        """Facts about this gateway: retained JSON."""
        return f"{self.prefix}/{self.gateway}/info"

    @property
    def health(self) -> str:
        """Counters of this gateway: retained JSON, renewed every minute."""
        return f"{self.prefix}/{self.gateway}/health"

    @property
    def doctor(self) -> str:
        """Where ``healthd doctor`` tests whether it may publish: never retained, read by no one."""
        return f"{self.prefix}/{self.gateway}/doctor"

    @property
    def retained(self) -> tuple[str, ...]:
        """The gateway's own topics at which something is retained."""
        return self.status, self.info, self.health

    def is_own(self, topic: str) -> bool:
        """Return whether it is one of this gateway's topics."""
        return topic.startswith(f"{self.prefix}/{self.gateway}/")

    @property
    def requests(self) -> str:
        """The filter of all requests to this gateway."""
        return self.request("+")

    def request(self, verb: str) -> str:
        """Return where requests with this verb are published."""
        return f"{self.prefix}/{self.gateway}/request/{verb}"

    def response(self, verb: str) -> str:
        """Return where their responses go, unless the request names another topic."""
        return f"{self.prefix}/{self.gateway}/response/{verb}"

    def device_status(self, peripheral: str) -> str:
        """Return the topic of ``online`` or ``offline``: retained."""
        return f"{self.prefix}/{self.gateway}/device/{peripheral}/status"

    def device_info(self, peripheral: str) -> str:
        """Return the topic of a peripheral's facts and the state of its link: retained JSON."""
        return f"{self.prefix}/{self.gateway}/device/{peripheral}/info"

    def sample(self, peripheral: str, stream: str) -> str:
        """Return the topic of a stream's live samples; without a peripheral, of gateway events."""
        if not peripheral:
            return f"{self.prefix}/{self.gateway}/{stream}"
        return f"{self.prefix}/{self.gateway}/device/{peripheral}/{stream}"

    def announcement(self, discovery: str, peripheral: str = "") -> str:
        """Return the topic of Home Assistant's announcement of a device: retained JSON.

        Args:
            discovery: Home Assistant's own prefix.
            peripheral: its id; empty for the gateway.
        """
        # Home Assistant accepts letters, digits, "_" and "-" here; ids have no others.
        device = f"{self.gateway}_{peripheral}" if peripheral else self.gateway
        return f"{discovery}/device/{device}/config"

    def history(self, peripheral: str, stream: str) -> str:
        """Return the topic of a stream's samples that could not be sent live, oldest first.

        Events have a single topic: they describe the past whenever they arrive.
        """
        live = self.sample(peripheral, stream)
        return f"{live}/history" if peripheral else live


def is_valid(topic: str) -> bool:
    """Return whether a broker accepts messages at this topic: any other ends the connection."""
    if not topic.isprintable() or {"#", "+"} & set(topic):
        return False
    return 0 < len(topic.encode()) <= _MOST_BYTES


def person_stream(person: str, kind: str) -> str:
    """Return the stream of one person's results of this kind, below the topic of the peripheral."""
    return f"{_PERSON}/{person}/{kind}"


def person_of(stream: str) -> str | None:
    """Return whose stream it is; None for a stream with the results of everyone."""
    levels = stream.split("/")
    return levels[1] if len(levels) == 3 and levels[0] == _PERSON else None


def person_at(topic: str) -> str | None:
    """Return whose results are at a live topic of a device; None if not those of one person."""
    _, device, stream = topic.rpartition("/device/")
    return person_of(stream.partition("/")[2]) if device else None


def gateway_of(peripheral: str, topic: str) -> Topics | None:
    """Return the gateway to which a retained topic belongs; None if it is not one.

    Args:
        peripheral: the peripheral; empty for a topic of the gateway's own.
        topic: the topic.
    """
    gateway, _, _ = topic.rpartition(f"/device/{peripheral}/" if peripheral else "/")
    prefix, _, name = gateway.rpartition("/")
    return Topics(prefix, name) if prefix and name else None


def birth(discovery: str) -> str:
    """Return where Home Assistant publishes that it has started: ``online``, not retained."""
    return f"{discovery}/status"


@dataclass(frozen=True, slots=True)
class Place:
    """What a topic says about its messages.

    Attributes:
        gateway: the gateway's id.
        peripheral: the peripheral's id; empty for the gateway's own topics.
        stream: the part of the topic after the peripheral or the gateway, such as ``heart_rate``,
            ``undecoded/2a37``, ``status`` or ``event/gap``.
        history: whether it is the history of that stream.
    """

    gateway: str
    peripheral: str
    stream: str
    history: bool


def place_of(topic: str, prefix: str) -> Place | None:
    """Parse a topic that ``Topics`` made; return None for any other."""
    gateway, _, stream = topic.removeprefix(f"{prefix}/").partition("/")
    if not topic.startswith(f"{prefix}/") or not gateway or not stream:
        return None
    if not stream.startswith("device/"):
        return Place(gateway, "", stream, history=False)
    peripheral, _, below = stream.removeprefix("device/").partition("/")
    if not peripheral or not below:
        return None
    live = below.removesuffix("/history")
    return Place(gateway, peripheral, live, history=live != below)
