"""The publishes of one connection: written within the limits of the broker, and acknowledged."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from healthd.mqtt import faults, packets
from healthd.mqtt.faults import ConnectionLost, PublishRefused
from healthd.mqtt.limits import Limits, packet_size
from healthd.mqtt.send_quota import SendQuota, Waiting
from healthd.mqtt.socket_writer import SocketWriter
from healthd.mqtt.unacked import Answer, Unacked
from healthd.mqtt.wake_ups import WakeUps

QOS = 1
"""At least once. Exactly once (QoS 2) costs two more round trips, and a sample's id lets consumers
remove duplicates just as well."""

# More than the parts of a PUBLISH take that are not its topic, payload and correlation data.
_OVERHEAD_BYTES = 512

# As many are written at once, so that the broker works on them while healthd makes the next ones.
_TOGETHER = 5

# A broker in the same house answers within this time.
_ROUND_TRIP_S = 0.002


class Outgoing:
    """Writes publishes with paho's client.

    Attributes:
        limits: what the broker accepts, as it says.
    """

    def __init__(
        self,
        client: Any,
        writer: SocketWriter,
        wake_ups: WakeUps,
        lost: Callable[[], ConnectionLost],
        *,
        retain: bool,
    ) -> None:
        """Wire it, without limits of the broker.

        Args:
            client: paho's client.
            writer: writes its data to the socket.
            wake_ups: whether the answers to publishes wake the event loop.
            lost: returns why the connection is gone.
            retain: whether messages may be retained at all.
        """
        self._client = client
        self._writer = writer
        self._wake_ups = wake_ups
        self._lost = lost
        self._may_retain = retain
        self._loop = asyncio.get_running_loop()
        self._unacked = Unacked()
        self._quota = SendQuota()
        self._answers: list[tuple[int, PublishRefused | None]] = []
        self._is_passing_on = False
        self._learned_size: int | None = None
        self.use(Limits())

    def use(self, limits: Limits) -> None:
        """Keep to these limits of the broker from now on; call it before anything is sent."""
        self.limits = limits
        self._quota.limit(limits.receive_maximum)
        self._retains = self._may_retain and limits.retain
        self._largest_packet = limits.largest_packet
        if self._learned_size is not None:
            self._largest_packet = min(self._largest_packet, self._learned_size)
        self._surely_fits = self._largest_packet - _OVERHEAD_BYTES

    def limit_packets(self, size: int | None) -> None:
        """Write no packets of more bytes than this; None: only as the broker names it."""
        self._learned_size = size

    @property
    def window(self) -> int:
        """How many messages may be unacknowledged at a time."""
        return self._quota.size

    def deliver(
        self,
        topic: str,
        payload: bytes,
        retain: bool,
        properties: Any,
        priority: int,
        answer: Answer,
        *,
        can_wait: bool = False,
    ) -> None:
        """Write a publish, or let it wait for its turn; see ``AckedClient.send`` and ``deliver``.

        Args:
            topic: where to publish.
            payload: the message.
            retain: whether the broker keeps it.
            properties: of MQTT 5, or None.
            priority: see ``send_quota``.
            answer: gets the broker's answer.
            can_wait: whether the answer may stay in the socket for a while.
        """
        # Few messages are near the limit of a broker; only their size is counted exactly. The
        # properties of a response have data of any size from its request.
        if len(payload) + len(topic) > self._surely_fits or not packets.are_small(properties):
            size = packet_size(topic, payload, properties)
            if size > self._largest_packet:
                self._loop.call_soon(answer.set_exception, self._too_large(size))
                return
        if retain and not self._retains:
            if not payload:
                self._not_removed(answer)
                return
            retain = False
        if self._quota.free:
            self._write(topic, payload, retain, properties, answer, can_wait)
        else:
            waiting = Waiting(topic, payload, retain, properties, answer, can_wait)
            self._quota.add(priority, waiting)
            self._wake_ups.restore()

    def _write(
        self,
        topic: str,
        payload: bytes,
        retain: bool,
        properties: Any,
        answer: Answer,
        can_wait: bool,
    ) -> None:
        self._writer.paused = True
        try:
            info = self._client.publish(topic, payload, QOS, retain, properties)
        finally:
            self._writer.paused = False
        if info.rc != 0:
            raise self._lost()
        self._quota.free -= 1
        if not self._is_passing_on or len(self._client._out_packet) >= _TOGETHER:
            self._flush()
        self._unacked.add(info.mid, answer, can_wait=can_wait)
        if self._unacked.urgent or self._quota:
            self._wake_ups.restore()
        else:
            self._wake_ups.put_off()

    def _write_waiting(self) -> None:
        # The connection is gone: ``AckedClient.lost`` says so, and its end cancels what waits.
        with suppress(ConnectionLost):
            self._quota.write_waiting(lambda waiting: self._write(*waiting))

    def _not_removed(self, answer: Answer) -> None:
        """Answer a message that would remove a retained one."""
        if self._may_retain:
            answer.set_result(None)  # the broker keeps none
        else:
            answer.cancel()

    def _too_large(self, size: int) -> PublishRefused:
        is_named = self._largest_packet == self.limits.largest_packet
        return faults.too_large(size, self._largest_packet, is_named=is_named)

    def note_answer(self, mid: int, refused: PublishRefused | None) -> None:
        """Note the broker's answer to a publish: None, or why it refuses; see ``pass_on``."""
        if refused is not None and refused.code == faults.NO_RETAIN:
            self._retains = False
        self._answers.append((mid, refused))

    def pass_on(self) -> None:
        """Pass on the answers that were read, and write what has waited for them.

        Not while paho reads: it holds a lock, which it takes again if writing fails.
        """
        if self._is_passing_on:
            return
        self._is_passing_on = True
        try:
            has_room = False
            while answers := self._answers:
                self._answers = []
                for mid, refused in answers:
                    has_room |= self._quota.give_back()
                    self._unacked.resolve(mid, refused)
                if has_room:
                    self._write_waiting()
        finally:
            self._is_passing_on = False
        if self._client.want_write():
            self._flush()

    def _flush(self) -> None:
        packets.join(self._client._out_packet)
        self._writer.flush(self._client.socket())

    @property
    def is_answer_due(self) -> bool:
        """Whether an acknowledgement is probably in the socket."""
        return not self._is_passing_on and self._unacked.oldest_s() > _ROUND_TRIP_S

    @property
    def is_answered(self) -> bool:
        """Whether all publishes that were written are acknowledged."""
        return not self._unacked

    def cancel(self) -> None:
        """Cancel everything that is not acknowledged: the connection is gone."""
        self._quota.cancel()
        self._unacked.cancel()

    def oldest_unacked_s(self) -> float:
        """Return how many seconds the oldest publish has been waiting; 0 if there is none."""
        return self._unacked.oldest_s()

    def largest_unacked(self) -> int:
        """Return how many bytes the largest packet has that is not acknowledged; 0 for none."""
        messages = self._client._out_messages.values()
        sizes = (packet_size(each.topic, each.payload, each.properties) for each in messages)
        return max(sizes, default=0)

    def first_unacked(self) -> str | None:
        """Return the topic of the oldest publish that is not acknowledged; None for none."""
        oldest = next(iter(self._client._out_messages.values()), None)
        return None if oldest is None else oldest.topic
