"""The plan of a set-up, and its settings file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.broker import GATEWAY_USER
from tests.chaos.ledger import GATEWAY

STRAPS = ("strap-1", "strap-2", "strap-3")

# The documented maximum loss in seconds. "through" has a margin, because the kill is time-stamped
# before it is sent, and a commit may wait for the disk and the CPU.
ALLOWANCE_S = {"around": 2.0, "through": 0.05 + 0.25}

_CONFIG = """\
[gateway]
id = "{gateway}"
[mqtt]
brokers = ["127.0.0.1:{port}"]
username = "{user}"
password_file = "{password}"
[outbox]
directory = "{outbox}"
write = "{write}"
max_size = "{max_size}"
"""
_STRAP = """\
[[peripherals]]
id = "{id}"
address = "C0:5E:5E:00:00:{number:02X}"
silence = "2s"
"""


@dataclass
class Plan:
    """The plan of a set-up.

    Attributes:
        write: Write mode of the outbox: ``around`` or ``through``.
        rate: Samples per second and strap.
        seed: Seed of the simulated straps.
        max_size: Quota of the outbox.
        persistent: Whether the broker has persistence.
        broker_options: Additional lines of the broker's configuration.
        loop_disk: Whether the outbox has its own file system.
        arguments: Additional arguments of ``tests.chaos.gateway``.
        environ: Additional environment variables of ``tests.chaos.gateway``.
    """

    write: str = "around"
    rate: float = 20.0
    seed: int = 0
    max_size: str = "4MB"
    persistent: bool = False
    broker_options: str = ""
    loop_disk: bool = False
    arguments: list[str] = field(default_factory=list[str])
    environ: Mapping[str, str] = field(default_factory=dict[str, str])

    def settings(self, port: int, password: Path, outbox: Path) -> str:
        """Return the contents of healthd.toml for a broker at this port."""
        straps = "".join(_STRAP.format(id=id_, number=n) for n, id_ in enumerate(STRAPS, start=1))
        main = _CONFIG.format(
            gateway=GATEWAY,
            port=port,
            user=GATEWAY_USER,
            password=password,
            outbox=outbox,
            write=self.write,
            max_size=self.max_size,
        )
        return main + straps
