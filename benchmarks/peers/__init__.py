"""What people run instead of healthd, as programs: the broker's port and the addresses of straps.

``script`` has only bleak and aiomqtt, ``with_bleakheart`` a library for heart rates and paho, and
``with_ble2mqtt`` a gateway with a device type of one's own. They are as a user would write them
from the documentation of what they import, and make no promise: a sample that cannot be published
is lost.
"""
