"""What hangs is left behind, and holds nobody up."""

import asyncio
import threading

import pytest

from healthd.doctor.aside import aside


async def test_what_comes_back_and_what_is_raised() -> None:
    assert await aside(lambda: 7, 10.0) == 7

    def fail() -> int:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        await aside(fail, 10.0)


def test_what_hangs_is_not_waited_for() -> None:
    goes_on, ended = threading.Event(), threading.Event()

    def hang() -> None:
        goes_on.wait()
        ended.set()

    with pytest.raises(TimeoutError):
        asyncio.run(aside(hang, 0.01))
    # The loop is closed and the work is not done: only now it goes on, and harms nobody.
    assert not ended.is_set()
    goes_on.set()
    assert ended.wait(timeout=20)
