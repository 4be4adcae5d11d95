"""The retained topics of every peripheral: its status, and information about the device."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from healthd.mqtt.payloads import DeviceInfo, Payload
from healthd.mqtt.topics import Topics
from healthd.supervision.budget import Budget

Retain = Callable[[str, Payload | bytes], None]

# A device that changes its state all the time does not get its info published all the time: some
# changes at once, then one a second.
_FACTS, _FACTS_EVERY_S = 10, 1.0

OnInfo = Callable[[str, Mapping[str, Any]], None]
"""Called with a peripheral and everything that is known about it."""


def _ignore(_peripheral: str, _info: Mapping[str, Any]) -> None:
    pass


class Devices:
    """Keeps ``device/<id>/status`` and ``device/<id>/info`` up to date.

    Attributes:
        changed: set when a device goes online or offline.
    """

    def __init__(self, topics: Topics, retain: Retain, on_info: OnInfo = _ignore) -> None:
        """Start with none; ``retain`` publishes a retained payload, and ``on_info`` gets it too."""
        self._topics = topics
        self._retain = retain
        self._on_info = on_info
        self._info: dict[str, dict[str, Any]] = {}
        self._bonded: dict[str, bool] = {}
        self._online: dict[str, bool] = {}
        self._budgets: dict[str, Budget] = {}
        # Timers of changes that wait.
        self._later: dict[str, asyncio.TimerHandle] = {}
        self.changed = asyncio.Event()

    def on_state(
        self, peripheral: str, state: str, reason: str | None = None, *, online: bool = False
    ) -> None:
        """Publish that the session entered ``state``; samples flow only while it is ``online``."""
        info = self._info.setdefault(peripheral, {})
        info["state"] = state
        _explain(info, reason)
        self._retain(self._topics.device_status(peripheral), b"online" if online else b"offline")
        self._publish(peripheral)
        if self._online.get(peripheral, False) != online:
            self._online[peripheral] = online
            self.changed.set()

    def on_reason(self, peripheral: str, reason: str | None) -> None:
        """Publish why a link yields nothing; None: from now on it does."""
        _explain(self._info[peripheral], reason)
        self._publish(peripheral)

    def on_linked(self, peripheral: str, name: str | None, profiles: list[str]) -> None:
        """Start over with a new link: facts from an earlier one may no longer be true."""
        before = self._info[peripheral]
        kept = {key: before[key] for key in ("state", "fetch") if key in before}
        self._info[peripheral] = {"name": name, "profiles": profiles, **kept}

    def on_facts(self, peripheral: str, facts: Mapping[str, Any]) -> None:
        """Add facts that the device reported about itself."""
        info = self._info[peripheral]
        info.update(facts)
        # A link in preparation reports dozens of facts; its next state publishes them all at once.
        if info["state"] != "streaming" or peripheral in self._later:
            return
        budget = self._budgets.setdefault(peripheral, Budget(_FACTS, _FACTS_EVERY_S))
        if wait_s := budget.wait_s():
            loop = asyncio.get_running_loop()
            self._later[peripheral] = loop.call_later(wait_s, self._publish, peripheral)
        else:
            self._publish(peripheral)

    def on_fetch(self, peripheral: str, news: Mapping[str, Any]) -> None:
        """Publish how the last run of a periodic peripheral went, or when the next one is due."""
        info = self._info[peripheral]
        info["fetch"] = {**info.get("fetch", {}), **news}
        self._publish(peripheral)

    def on_bond(self, peripheral: str, bonded: bool) -> None:
        """Publish whether BlueZ holds a bond with the device; a new link does not change that."""
        self._bonded[peripheral] = bonded
        if peripheral in self._info:
            self._publish(peripheral)

    def remove(self, peripheral: str) -> None:
        """Forget a peripheral."""
        if timer := self._later.pop(peripheral, None):
            timer.cancel()
        self._budgets.pop(peripheral, None)
        self._info.pop(peripheral, None)
        self._bonded.pop(peripheral, None)
        self._online.pop(peripheral, None)

    def report(self) -> None:
        """Report again what is known of each peripheral, for a listener that has just started."""
        for peripheral in self._info:
            self._on_info(peripheral, self._with_bond(peripheral))

    def states(self) -> list[str]:
        """Return the state of every session."""
        return [info["state"] for info in self._info.values()]

    def _publish(self, peripheral: str) -> None:
        if timer := self._later.pop(peripheral, None):
            timer.cancel()
        if budget := self._budgets.get(peripheral):
            budget.spend()
        info = self._with_bond(peripheral)
        self._retain(self._topics.device_info(peripheral), DeviceInfo.of(info))
        self._on_info(peripheral, info)

    def _with_bond(self, peripheral: str) -> dict[str, Any]:
        info = self._info[peripheral]
        if (bonded := self._bonded.get(peripheral)) is not None:
            return info | {"bonded": bonded}
        return info


def _explain(info: dict[str, Any], reason: str | None) -> None:
    info.pop("reason", None)
    if reason is not None:
        info["reason"] = reason
