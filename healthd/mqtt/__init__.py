"""MQTT: topics and payloads, a client with acknowledgements, the publisher, and requests."""
