"""Writes lines of a capture as the packets that a Bluetooth log has: btsnoop and pcap.

healthd sees values, not packets. So packets are made from the lines: the ones that a central and
a peripheral would have exchanged. What no packet can say is counted, not dropped silently.
"""
