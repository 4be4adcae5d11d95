"""The brokers of the settings: which one to try next, how long, and what their faults mean."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from healthd.errors import Backoff
from healthd.log import get_logger
from healthd.mqtt.connecting import CONNECT_TIMEOUT_S
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import RETRY, ConnectionLost, perhaps_taken_over

# An authorizer in a cloud, or a modem, may need more time than a broker of the list should get: if
# there is no other broker to try, each try is longer.
_TIMEOUTS_S = (CONNECT_TIMEOUT_S, 10.0, 30.0)

# A connection that ends within seconds may never have worked.
SHORT_LIVED_S = 5.0

# If a broker accepts a connection and closes it without a reason again and again, there may be
# another client with the same id. A broker that is restarted or a bad network looks the same for a
# while, and must not be waited for. Two gateways with the same id wait up to 10 s for each other.
_TWIN_COUNT, _TWIN_FOR_S, _TWIN_LIFE_S = 3, 40.0, 12.0


@dataclass(slots=True)
class _Broker:
    """What is known about one broker.

    Attributes:
        fault: why the last connection failed or ended; None if it worked.
        wait_s: the longest wait before the next try, growing with each one.
        not_before: not tried before this time, as long as there are others.
        timeouts: how many tries in a row it was too slow for.
        failed_lately: whether it has failed since the last report.
    """

    endpoint: Endpoint
    fault: ConnectionLost | None = None
    wait_s: float | None = None
    not_before: float = 0.0
    timeouts: int = 0
    failed_lately: bool = False

    @property
    def backoff(self) -> Backoff:
        return RETRY if self.fault is None else self.fault.backoff

    def fail(self, fault: ConnectionLost) -> None:
        self.fault, self.wait_s = fault, fault.backoff.after(self.wait_s)
        self.failed_lately = True


class Brokers:
    """The brokers in the order of the settings, starting with the one that answered last time."""

    def __init__(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Start with the first one."""
        self._brokers = [_Broker(endpoint) for endpoint in endpoints]
        self._current: int = 0
        self._twin = _Twin()
        self._log = get_logger(service="mqtt")

    def due(self) -> Iterator[tuple[Endpoint, float]]:
        """Yield each broker to try now, with the seconds that it has for its answer.

        Report the result of each one by ``failed`` or ``connected``.
        """
        now, first, count = time.monotonic(), self._current, len(self._brokers)
        in_order = [(first + step) % count for step in range(count)]
        due = [index for index in in_order if self._brokers[index].not_before <= now] or [
            min(in_order, key=lambda index: self._brokers[index].not_before)
        ]
        for index in due:
            self._current = index
            broker = self._brokers[index]
            longer = 0
            if index == due[-1]:
                longer = min(broker.timeouts, len(_TIMEOUTS_S) - 1)
            yield broker.endpoint, _TIMEOUTS_S[longer]
            if broker.fault is not None and broker.fault.timed_out:
                # As the last one of another round, it gets more time.
                broker.timeouts += index == due[-1]
        # Each broker is the last one of a round at some time.
        self._current = (first + 1) % count

    def failed(self, fault: ConnectionLost) -> None:
        """Note that the current broker could not be connected to."""
        broker = self._brokers[self._current]
        if len(self._brokers) > 1 and (broker.fault is None or broker.fault.reason != fault.reason):
            self._log.warning(
                "broker failed",
                broker=broker.endpoint.address,
                reason=fault.reason,
                error=str(fault),
            )
        broker.fail(fault)
        self._twin.forget()

    def connected(self, took_s: float) -> None:
        """Note that the current broker has accepted the connection, after ``took_s`` seconds."""
        broker = self._brokers[self._current]
        broker.not_before = 0.0
        if took_s < CONNECT_TIMEOUT_S:
            broker.timeouts = 0

    def settled(self) -> None:
        """Note that the connection to the current broker works."""
        broker = self._brokers[self._current]
        broker.fault = broker.wait_s = None

    def lost(self, fault: ConnectionLost, client_id: str, lived_s: float) -> ConnectionLost:
        """Note how the connection ended; return the fault to report.

        Args:
            fault: why it ended.
            client_id: of the client.
            lived_s: how many seconds after CONNACK.
        """
        fault = self._twin.judged(fault, client_id, lived_s)
        self._brokers[self._current].fail(fault)
        reported = self.reported(fault)
        if fault.leave or lived_s < SHORT_LIVED_S:
            self._current = (self._current + 1) % len(self._brokers)
        return reported

    def reported(self, fault: ConnectionLost) -> ConnectionLost:
        """Return the fault with the wait that suits all brokers.

        A broker that a person has to help, or that wants to be left alone, must not keep healthd
        from one that only is not there yet: it is left out for a while instead.
        """
        if not fault.leave:
            return fault  # another client with the same id, say: true of every broker
        now = time.monotonic()
        soonest = min((broker.backoff for broker in self._brokers), key=lambda one: one.ceiling_s)
        for broker in self._brokers:
            if broker.failed_lately and broker.backoff.ceiling_s > soonest.ceiling_s:
                broker.not_before = now + (broker.wait_s or 0.0)
            broker.failed_lately = False
        if soonest == fault.backoff:
            return fault
        return fault.with_backoff(soonest)


class _Twin:
    """Connections in a row that ended as if another client with the same id had taken over."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._count, self._since = 0, 0.0

    def judged(self, fault: ConnectionLost, client_id: str, lived_s: float) -> ConnectionLost:
        now = time.monotonic()
        if fault.reason != "broker_lost" or lived_s > _TWIN_LIFE_S:
            self.forget()
            return fault
        if not self._count:
            self._since = now - lived_s
        self._count += 1
        if self._count < _TWIN_COUNT or now - self._since < _TWIN_FOR_S:
            return fault
        return perhaps_taken_over(client_id, self._count)
