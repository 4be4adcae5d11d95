"""The announcements of gateways and devices in the format of Home Assistant's MQTT integration.

Loaded only if discovery is on. Home Assistant refuses a whole device for one unknown key at its
root, and an entity for a unit that its class does not allow: ``tests/support/hass_rules.py`` has
the rules.
"""
