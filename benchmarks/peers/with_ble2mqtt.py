"""Straps to MQTT with ble2mqtt, and the device type that it lacks.

ble2mqtt publishes the last value of a sensor once a minute; here, each value at once.
"""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from tempfile import NamedTemporaryFile
from typing import Any
from uuid import UUID

from ble2mqtt import __main__ as program
from ble2mqtt import ble2mqtt as bridge
from ble2mqtt import exceptions, manager
from ble2mqtt.devices.base import (
    SENSOR_DOMAIN,
    ConnectionMode,
    Sensor,
    SubscribeAndSetDataMixin,
)


@dataclass
class Beat:
    heart_rate: int

    @classmethod
    def from_data(cls, data: bytearray) -> "Beat":
        return cls(int.from_bytes(data[1:3], "little") if data[0] & 1 else data[1])


class HeartRate(SubscribeAndSetDataMixin, Sensor):
    NAME = "heart_rate"
    MANUFACTURER = "Any"
    MAC_TYPE = "random"
    DATA_CHAR = UUID("00002a37-0000-1000-8000-00805f9b34fb")
    SENSOR_CLASS = Beat
    STATE_TOPIC = "heart_rate"
    ACTIVE_CONNECTION_MODE = ConnectionMode.ACTIVE_KEEP_CONNECTION

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._beats: asyncio.Queue[bytearray] = asyncio.Queue()

    @property
    def entities(self) -> dict[str, Any]:
        return {SENSOR_DOMAIN: [{"name": "heart_rate", "unit_of_measurement": "bpm"}]}

    def process_data(self, data: bytearray) -> None:
        self._beats.put_nowait(data)

    async def handle_active(self, publish_topic: Any, send_config: Any, *_: Any, **__: Any) -> None:
        while True:
            super().process_data(await self._beats.get())
            await self.update_device_data(send_config)
            await self._notify_state(publish_topic)


async def leave_alone(_: str) -> None:
    """Replace the restart of the machine's real bluetoothd, after ten scans that heard nothing."""


def main() -> None:
    port, *addresses = sys.argv[1:]
    devices = [{"address": address, "type": "heart_rate"} for address in addresses]
    settings = {"mqtt_host": "127.0.0.1", "mqtt_port": int(port), "log_level": "WARNING"}
    with NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(settings | {"devices": devices}, file)
        file.flush()
        os.environ["BLE2MQTT_CONFIG"] = file.name
        for module in (exceptions, manager, bridge):
            module.restart_bluetooth = leave_alone
        program.main()


main()
