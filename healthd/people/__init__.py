"""Whose result is it: attributes the results of a shared device to people. Pure."""
