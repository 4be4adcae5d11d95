"""What Home Assistant is told of gateways and devices, in the words of its MQTT integration.

Loaded only where discovery is on. Home Assistant refuses a whole device for one unknown key at its
root, and one entity for a unit that does not go with its class: ``tests/support/hass_rules.py``
has the rules.
"""
