"""One peripheral at a time: what a session does with a link."""
