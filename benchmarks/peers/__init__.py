"""What people run instead of healthd, as programs: the broker's port and the addresses of straps.

``with_bleakheart`` has a library for heart rates and paho, ``with_ble2mqtt`` a gateway with a
device type of one's own. A third one, with bleak and aiomqtt alone, is
``tests/system/guest/script.py``. They are as a user would write them from the documentation of what
they import, and store nothing on disk.
"""
