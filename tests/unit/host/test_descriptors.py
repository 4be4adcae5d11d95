"""Open files are counted, and a leak is an error."""

import os

import pytest

from healthd.host import descriptors


def test_each_open_file_counts_once() -> None:
    before = descriptors.count()
    ends = os.pipe()
    assert descriptors.count() == before + 2
    for end in ends:
        os.close(end)
    assert descriptors.count() == before


async def test_a_leak_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "LIMIT", descriptors.count())
    with pytest.raises(descriptors.Leak, match="open files"):
        await descriptors.watch()
