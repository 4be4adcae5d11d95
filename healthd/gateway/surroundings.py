"""What is another in each run of the daemon, whatever it is sent."""

import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from healthd.host.clock import Clock


@dataclass(frozen=True, slots=True)
class Surroundings:
    """By default the real ones; a replay that is the same each time has others.

    Attributes:
        clock: stamps the samples.
        run: id of the run; None: a random one.
        host: name of the machine.
        jitter: returns what pauses are drawn from.
        has_health: whether memory, uptime and the like are published.
    """

    clock: Clock = field(default_factory=Clock)
    run: str | None = None
    host: str = field(default_factory=socket.gethostname)
    jitter: Callable[[], random.Random] = random.Random
    has_health: bool = True
