"""Captures: files of radio traffic, read, shown, converted, replayed and made into tests."""
