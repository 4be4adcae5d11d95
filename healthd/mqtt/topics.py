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

    def device_status(self, peripheral: str) -> str:
        """``online`` or ``offline``: retained."""
        return f"{self.prefix}/{self.gateway}/device/{peripheral}/status"

    def device_info(self, peripheral: str) -> str:
        """What the peripheral says of itself, and its link's state: retained JSON."""
        return f"{self.prefix}/{self.gateway}/device/{peripheral}/info"

    def sample(self, peripheral: str, stream: str) -> str:
        """Live samples of one stream."""
        return f"{self.prefix}/{self.gateway}/device/{peripheral}/{stream}"

    def history(self, peripheral: str, stream: str) -> str:
        """Samples of the stream that could not be delivered live, oldest first."""
        return f"{self.sample(peripheral, stream)}/history"
