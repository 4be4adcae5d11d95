"""Tools for decoding packets."""
