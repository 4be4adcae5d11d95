"""The numbers that ``healthd.capture.summary`` finds in a capture."""

from dataclasses import dataclass, field


@dataclass
class Values:
    """One characteristic, or descriptor, of a link.

    Attributes:
        uuid: its UUID; None if the file does not say.
        handle: its handle.
        kind: of the measurements that healthd makes of it; None: healthd does not read it.
        notifications: how many values the device sent by itself.
        reads: how many it was asked for.
        writes: how many were written to it.
        errors: how many reads, writes and subscriptions failed.
        per_second: rate of the notifications; None if there are fewer than two.
        longest_silence_s: between two notifications, or after the last until the link ended.
        first_t: of the first notification.
        last_t: of the last one.
    """

    uuid: str | None
    handle: int
    kind: str | None
    notifications: int = 0
    reads: int = 0
    writes: int = 0
    errors: int = 0
    per_second: float | None = None
    longest_silence_s: float | None = None
    first_t: float | None = None
    last_t: float | None = None

    def notified(self, t: float) -> None:
        """Count a notification."""
        self.notifications += 1
        if self.last_t is None or self.first_t is None:
            self.first_t = self.last_t = t
            return
        self._silence(t)
        self.last_t = t
        if t > self.first_t:
            self.per_second = round((self.notifications - 1) / (t - self.first_t), 3)

    def end(self, t: float) -> None:
        """Count the silence until the link ended."""
        if self.last_t is not None:
            self._silence(t)

    def _silence(self, t: float) -> None:
        silent_s = round(t - (self.last_t or 0.0), 6)
        self.longest_silence_s = max(self.longest_silence_s or 0.0, silent_s)


@dataclass
class ServiceSummary:
    """A service, and the profile of healthd for it; None: healthd does not read it."""

    uuid: str
    profile: str | None


@dataclass
class LinkSummary:
    """One link.

    Attributes:
        link: its number.
        from_t: when it began; None: before the capture.
        seconds: how long it existed, as far as the capture shows.
        ended: why it ended; None: it did not.
        code: the HCI reason.
        connecting_s: how long connecting took.
        mtu: the last one that was agreed.
        services: in the order of their handles.
        values: by handle.
    """

    link: int
    from_t: float | None
    seconds: float = 0.0
    ended: str | None = None
    code: int | None = None
    connecting_s: float | None = None
    mtu: int | None = None
    services: list[ServiceSummary] = field(default_factory=list[ServiceSummary])
    values: list[Values] = field(default_factory=list[Values])


@dataclass
class DeviceSummary:
    """One device.

    Attributes:
        address: as in the file.
        names: that it has advertised, or that were read.
        advertisements: how many.
        advertised: the profiles of what it has advertised.
        failed_connects: errors of links that could not be made, and how often each.
        links: in the order of the file.
    """

    address: str
    names: list[str] = field(default_factory=list[str])
    advertisements: int = 0
    advertised: list[str] = field(default_factory=list[str])
    failed_connects: dict[str, int] = field(default_factory=dict[str, int])
    links: list[LinkSummary] = field(default_factory=list[LinkSummary])


@dataclass
class Summary:
    """A whole capture.

    Attributes:
        source: what it was made by, or the kind of file.
        identity: whether addresses, names and serial numbers are ``replaced`` or ``kept``.
        encrypted: whether the file has encrypted traffic that cannot be read.
        healthd: version of the healthd that has written it.
        system: versions of BlueZ and of the kernel.
        first_time: of its first line, ISO 8601.
        last_time: of its last line.
        seconds: between the two, by the monotonic clock.
        lines: how many.
        devices: in the order of the file.
        errors: texts of failed requests, and how often each.
        adapter: changes of the adapter, and how often each.
        missing: why lines are missing, and how often each.
        left_out: how many lines are about further devices or links than are listed.
        problem: why the rest of the file cannot be read; empty: it can.
    """

    source: str = ""
    identity: str = ""
    encrypted: bool = False
    healthd: dict[str, str] = field(default_factory=dict[str, str])
    system: dict[str, str] = field(default_factory=dict[str, str])
    first_time: str = ""
    last_time: str = ""
    seconds: float = 0.0
    lines: int = 0
    devices: list[DeviceSummary] = field(default_factory=list[DeviceSummary])
    errors: dict[str, int] = field(default_factory=dict[str, int])
    adapter: dict[str, int] = field(default_factory=dict[str, int])
    missing: dict[str, int] = field(default_factory=dict[str, int])
    left_out: int = 0
    problem: str = ""
