"""Samples that the broker has not acknowledged yet."""
