"""The retained topics of every peripheral: status, and what is known of the device."""

from collections.abc import Callable, Mapping
from typing import Any

from healthd.mqtt.payloads import DeviceInfo, Payload
from healthd.mqtt.topics import Topics

Retain = Callable[[str, Payload | bytes], None]

OnInfo = Callable[[str, Mapping[str, Any]], None]
"""Told of a peripheral, and of everything that is known of it."""


def _nobody(_peripheral: str, _info: Mapping[str, Any]) -> None:
    pass


class Devices:
    """Keeps ``device/<id>/status`` and ``device/<id>/info`` true."""

    def __init__(self, topics: Topics, retain: Retain, on_info: OnInfo = _nobody) -> None:
        """``retain`` publishes a payload that stays at its topic; ``on_info`` is told as well."""
        self._topics = topics
        self._retain = retain
        self._on_info = on_info
        self._info: dict[str, dict[str, Any]] = {}
        self._bonded: dict[str, bool] = {}

    def on_state(
        self, peripheral: str, state: str, reason: str | None = None, *, online: bool = False
    ) -> None:
        """The session entered ``state``; samples flow only while it is ``online``."""
        info = self._info.setdefault(peripheral, {})
        info["state"] = state
        info.pop("reason", None)
        if reason is not None:
            info["reason"] = reason
        self._retain(self._topics.device_status(peripheral), b"online" if online else b"offline")
        self._publish(peripheral)

    def on_linked(self, peripheral: str, name: str | None, profiles: list[str]) -> None:
        """A new link: what an earlier device said of itself is no longer known to be true."""
        before = self._info[peripheral]
        kept = {key: before[key] for key in ("state", "fetch") if key in before}
        self._info[peripheral] = {"name": name, "profiles": profiles, **kept}

    def on_facts(self, peripheral: str, facts: Mapping[str, Any]) -> None:
        """The device said something about itself."""
        info = self._info[peripheral]
        info.update(facts)
        # While a link is being prepared facts come by the dozen; its next state publishes them.
        if info["state"] == "streaming":
            self._publish(peripheral)

    def on_fetch(self, peripheral: str, news: Mapping[str, Any]) -> None:
        """How the last run of a periodic peripheral went, or when the next one is due."""
        info = self._info[peripheral]
        info["fetch"] = {**info.get("fetch", {}), **news}
        self._publish(peripheral)

    def on_bond(self, peripheral: str, bonded: bool) -> None:
        """BlueZ holds a bond with the device, or none; a new link does not change that."""
        self._bonded[peripheral] = bonded
        if peripheral in self._info:
            self._publish(peripheral)

    def remove(self, peripheral: str) -> None:
        """Nothing that is known of it is true any more."""
        self._info.pop(peripheral, None)
        self._bonded.pop(peripheral, None)

    def states(self) -> list[str]:
        """The state of every session."""
        return [info["state"] for info in self._info.values()]

    def _publish(self, peripheral: str) -> None:
        info = self._info[peripheral]
        if (bonded := self._bonded.get(peripheral)) is not None:
            info = info | {"bonded": bonded}
        self._retain(self._topics.device_info(peripheral), DeviceInfo.of(info))
        self._on_info(peripheral, info)
