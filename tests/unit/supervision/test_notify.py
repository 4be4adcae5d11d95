"""The messages that arrive at a real notification socket."""

import os
import socket
import time
import uuid
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from healthd.supervision.notify import Manager, status_line
from tests.unit.supervision.listener import Listener


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@healthd-{uuid.uuid4()}"


def test_ready_comes_first_and_once(address: str) -> None:
    with Listener(address) as systemd:
        manager = Manager({"NOTIFY_SOCKET": address})
        manager.alive("1 searching, outbox 0")
        manager.alive("1 streaming, outbox 0")
        manager.stopping()
        messages = [systemd.next() for _ in range(3)]
    assert messages == [
        {"READY": "1", "STATUS": "1 searching, outbox 0", "WATCHDOG": "1"},
        {"STATUS": "1 streaming, outbox 0", "WATCHDOG": "1"},
        {"STOPPING": "1", "STATUS": "stopping"},
    ]


def test_ready_is_sent_again_if_it_did_not_arrive(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    manager = Manager({"NOTIFY_SOCKET": address})
    with capture_logs() as log:
        manager.alive("outbox 0")
    assert [line["event"] for line in log] == ["sd_notify failed"]
    with Listener(address) as systemd:
        manager.alive("outbox 0")
        assert systemd.next() == {"READY": "1", "STATUS": "outbox 0", "WATCHDOG": "1"}


def test_a_manager_that_does_not_read_does_not_block(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with Listener(address), capture_logs() as log:
        manager = Manager({"NOTIFY_SOCKET": address})
        # Until the socket is full; a call that blocked would run into the timeout of the test.
        while not log:
            manager.alive("outbox 0")
    assert log[0]["event"] == "sd_notify failed"


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "notify"])
def test_nothing_is_sent_outside_systemd(
    address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> socket.socket:
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    manager = Manager({} if address is None else {"NOTIFY_SOCKET": address})
    manager.alive("outbox 0")
    manager.stopping()
    assert (manager.listens, manager.watchdog_s) == (False, None)


OURS, ANOTHER = str(os.getpid()), str(os.getppid())


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": OURS}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": ANOTHER}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdogs_period(environ: dict[str, str], watchdog_s: float | None) -> None:
    assert Manager(environ).watchdog_s == watchdog_s


def test_the_status_line_counts_states() -> None:
    states = ["streaming", "searching", "streaming"]
    assert status_line(states, 3) == "2 streaming, 1 searching, outbox 3"
    assert status_line([], 0) == "outbox 0"


def test_a_reload_is_reported_but_not_before_ready(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with Listener(address) as systemd:
        manager = Manager({"NOTIFY_SOCKET": address})
        manager.reloading()
        manager.reloaded()
        manager.alive("outbox 0")
        before_us = time.monotonic_ns() // 1000
        manager.reloading()
        manager.reloaded()
        ready, reloading, again = (systemd.next() for _ in range(3))
    assert ready == {"READY": "1", "STATUS": "outbox 0", "WATCHDOG": "1"}
    assert reloading is not None
    assert reloading.keys() == {"RELOADING", "MONOTONIC_USEC"}
    assert before_us <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert again == {"READY": "1"}
