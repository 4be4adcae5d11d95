"""Where everything is published; the only place that spells a topic."""

from dataclasses import dataclass


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
        """``online`` or ``offline``: will, retained."""
        return f"{self.prefix}/{self.gateway}/status"

    @property
    def info(self) -> str:
        """What this gateway is: retained JSON."""
        return f"{self.prefix}/{self.gateway}/info"

    @property
    def health(self) -> str:
        """Counters of this gateway: retained JSON, renewed every minute."""
        return f"{self.prefix}/{self.gateway}/health"

    @property
    def doctor(self) -> str:
        """Where ``healthd doctor`` tries whether it may publish: nobody's, never retained."""
        return f"{self.prefix}/{self.gateway}/doctor"

    @property
    def requests(self) -> str:
        """Filter of all that may be asked of this gateway."""
        return self.request("+")

    def request(self, verb: str) -> str:
        """Where something is asked for."""
        return f"{self.prefix}/{self.gateway}/request/{verb}"

    def response(self, verb: str) -> str:
        """Where that is answered, unless its publisher names another topic."""
        return f"{self.prefix}/{self.gateway}/response/{verb}"

    def device_status(self, peripheral: str) -> str:
        """``online`` or ``offline``: retained."""
        return f"{self.prefix}/{self.gateway}/device/{peripheral}/status"

    def device_info(self, peripheral: str) -> str:
        """What the peripheral says of itself, and its link's state: retained JSON."""
        return f"{self.prefix}/{self.gateway}/device/{peripheral}/info"

    def sample(self, peripheral: str, stream: str) -> str:
        """Live samples of one stream; without a peripheral the gateway's own events."""
        if not peripheral:
            return f"{self.prefix}/{self.gateway}/{stream}"
        return f"{self.prefix}/{self.gateway}/device/{peripheral}/{stream}"

    def announcement(self, discovery: str, peripheral: str = "") -> str:
        """What Home Assistant is told of a peripheral, or of the gateway itself: retained JSON.

        Args:
            discovery: Home Assistant's own prefix.
            peripheral: whose; empty for the gateway.
        """
        # Home Assistant takes letters, digits, "_" and "-" here, as ids are.
        device = f"{self.gateway}_{peripheral}" if peripheral else self.gateway
        return f"{discovery}/device/{device}/config"

    def history(self, peripheral: str, stream: str) -> str:
        """Samples of the stream that could not be delivered live, oldest first.

        Events have one topic: they tell of the past whenever they arrive.
        """
        live = self.sample(peripheral, stream)
        return f"{live}/history" if peripheral else live


def birth(discovery: str) -> str:
    """Where Home Assistant says that it has started: ``online``, not retained."""
    return f"{discovery}/status"


@dataclass(frozen=True, slots=True)
class Place:
    """What a topic says of its message.

    Attributes:
        gateway: the gateway's id.
        peripheral: the peripheral's id; empty for what is the gateway's own.
        stream: the topic below that of the peripheral or the gateway, such as ``heart_rate``,
            ``undecoded/2a37``, ``status`` or ``event/gap``.
        history: whether it is the history of that stream.
    """

    gateway: str
    peripheral: str
    stream: str
    history: bool


def place_of(topic: str, prefix: str) -> Place | None:
    """Read a topic as ``Topics`` writes it; None for one that is no gateway's."""
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
