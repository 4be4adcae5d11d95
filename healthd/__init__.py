"""healthd: Bluetooth LE health and fitness sensors to MQTT."""

__version__ = "0.1.0"
