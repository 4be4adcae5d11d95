"""The outbox: samples that the broker has not acknowledged yet."""
