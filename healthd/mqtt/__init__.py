"""Delivery: topics, an acknowledged client, and the publisher above it."""
