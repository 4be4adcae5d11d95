"""Containers of radio traffic: files with packets and their times."""
