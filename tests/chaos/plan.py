"""What a set-up is like, and the settings that come of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.broker import GATEWAY_USER
from tests.chaos.ledger import GATEWAY

STRAPS = ("strap-1", "strap-2", "strap-3")

# What the documents promise, and for what is asked of the clock outside the process (the kill is
# stamped before it is sent; written through, a commit may wait for the disk and for the CPU).
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
    """What a set-up is like.

    Attributes:
        write: ``around`` or ``through``.
        rate: samples a second and strap.
        max_size: quota of the outbox.
        persistent: the broker's persistence.
        broker_options: further lines of its configuration.
        loop_disk: the outbox lies on a file system of its own.
        arguments: further ones of ``tests.chaos.gateway``.
        environ: further variables of it.
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
        """healthd.toml for a broker at this port."""
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
