"""Fitness machines: GATT service 0x1826."""
