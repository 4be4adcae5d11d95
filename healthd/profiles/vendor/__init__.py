"""Protocols of single makers, one module each; see ``registry.load``."""
