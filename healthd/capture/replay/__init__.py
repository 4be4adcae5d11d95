"""Plays a capture to the daemon: a radio without a controller, whose devices do what they did."""
