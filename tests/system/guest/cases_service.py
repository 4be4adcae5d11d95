"""healthd as a systemd service: what it refuses, and what happens if it hangs."""

import asyncio
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import ADAPTER_RESET, SERVICE, World, drop_in

_SETTINGS = Path("/etc/healthd/healthd.toml")
_PASSWORD = Path("/etc/healthd/mqtt-password")
_LATE = Path("/etc/healthd/late-password")
_RESET = Path("/run/healthd/reset-adapter")
# Between two runs of the program after requests that are good; the unit's own 30 s would make this
# one of the longest cases. The program's own pause of 600 s remains.
_RESET_PAUSE_S = 3
_RESET_PAUSE = f"[Service]\nExecStartPost=\nExecStartPost=/usr/bin/sleep {_RESET_PAUSE_S}\n"
_HOOKS = Path("/run/healthd-hooks")
# Python runs it at its start: at SIGUSR1 the thread of the event loop blocks.
_HOOK = """
import signal, time

def block(number, frame):
    time.sleep(3600)

signal.signal(signal.SIGUSR1, block)
"""
# The unit's own 60 s would make this the longest case.
_WATCHDOG = "WatchdogSec=10"
_BAD_SETTINGS_EXIT = "78"


@case(guest="debian12")
async def bad_settings(world: World) -> None:
    """Bad settings end in exit code 78, without a restart, and the journal names the keys."""
    world.configure(more="[mqtt]\nbrokers = 5\n[log]\nlevle = 'info'")
    await _start_is_given_up(world)
    text = "\n".join(await world.journal.lines())
    for key in ("mqtt.brokers", "log.levle"):
        if key not in text:
            raise Failed(f"the journal does not name {key}: {text}")


@case(guest="debian13")
async def empty_settings(world: World) -> None:
    """Settings that a power cut emptied end in exit code 78, and nothing retained is cleared."""
    strap = await world.strap()
    await world.start_streaming()
    await vm.run("systemctl", "stop", SERVICE)
    world.excuse_last_of_links()
    state = world.broker.state(strap.id)
    _write(_SETTINGS, "")
    await _start_is_given_up(world)
    if not state or world.broker.state(strap.id) != state:
        raise Failed(f"retained was {state}, is {world.broker.state(strap.id)}")
    if "restore it from a backup" not in "\n".join(await world.journal.lines()):
        raise Failed("the journal does not say what to do")


@case()
async def removed_password_file(world: World) -> None:
    """Without /etc/healthd/mqtt-password the service starts, and logs once that it has none."""
    with _password(None):
        strap = await world.strap()
        await world.start_streaming()
        state = await world.service_state()
        if state["NRestarts"] != "0":
            raise Failed(f"expected no restart, found {state}")
        lines = [line for line in await world.journal.lines() if '"no password"' in line]
        if len(lines) != 1 or str(_PASSWORD) not in lines[0]:
            raise Failed(f"expected one line about the missing password, found {lines}")
        await world.streaming(strap)


@case()
async def password_file(world: World) -> None:
    """The password in /etc/healthd/mqtt-password is used, not the unit's default for it."""
    with _password("hunter2\n"):
        strap = await world.strap()
        await world.start_streaming()
        if lines := [line for line in await world.journal.lines() if '"no password"' in line]:
            raise Failed(f"the password was not read: {lines}")
        await world.streaming(strap)


@case(guest="debian12")
async def file_that_comes_later(world: World) -> None:
    """While a file of the settings is missing, systemd tries again; it streams once it is there."""
    strap = await world.strap()
    world.configure(more=f"[mqtt]\npassword_file = '{_LATE}'")
    with _removed(_LATE):
        await world.start()

        async def restarted() -> bool:
            return int((await world.service_state())["NRestarts"]) >= 2

        await until(restarted, "systemd restarts it twice", 60)
        lines = [line for line in await world.journal.lines() if "file unavailable" in line]
        if not lines or str(_LATE) not in lines[0]:
            raise Failed(f"the journal does not name the file: {lines}")
        _write(_LATE, "hunter2\n")
        await world.streaming(strap)


@case(crashes=True)
async def upgraded_python(world: World) -> None:
    """After an upgrade of Python the journal says to install again, and the service stays down."""
    world.configure()
    with _packages_of_another_python():
        await _start_is_given_up(world)
        lines = await world.journal.lines()
        if not any("sudo make install" in line for line in lines):
            raise Failed(f"the journal does not say what to do: {lines}")
        if any("Traceback" in line for line in lines):
            raise Failed(f"the journal has a stack trace: {lines}")


@case()
async def folder_as_reset_request(world: World) -> None:
    """D22: a folder in place of a request to reset the adapter starts the program once."""
    drop_in("pause", _RESET_PAUSE, ADAPTER_RESET)
    await vm.run("systemctl", "daemon-reload")
    strap = await world.strap()
    await world.start_streaming()
    # The daemon's own, with something that the program may not delete.
    for folder in (_RESET, _RESET / "deeper"):
        await vm.run("install", "-d", "-o", "healthd", "-g", "healthd", "-m", "700", str(folder))
    try:
        await until(lambda: not _RESET.exists(), "the folder is gone")
        # It comes back at once.
        await vm.run("install", "-d", "-o", "healthd", "-g", "healthd", str(_RESET))
        await until(_reset_lines, "the journal has the reason")
        # If the program did not wait, it would have run twice by then, on a slow machine, too.
        await asyncio.sleep(_RESET_PAUSE_S + 5)
        lines = await _reset_lines()
        if len(lines) != 1 or ("not a regular file" not in lines[0] and "denied" not in lines[0]):
            raise Failed(f"expected one line that says why, found {lines}")
        await world.streaming(strap)
    finally:
        await vm.run("systemctl", "stop", "healthd-adapter-reset.path", ADAPTER_RESET)
        await vm.run("sh", "-c", f"rm -r {_RESET}*")


async def _reset_lines() -> list[str]:
    shown = await vm.run("journalctl", "-u", ADAPTER_RESET, "-o", "cat", "--no-pager")
    return [line for line in shown.splitlines() if "adapter not reset" in line]


def _write(file: Path, text: str) -> None:
    file.write_text(text)


@contextmanager
def _removed(file: Path) -> Generator[None]:
    """Remove a file, now and at the end of the block."""
    file.unlink(missing_ok=True)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


@contextmanager
def _password(content: str | None) -> Generator[None]:
    """Write the file with the broker's password, or remove it; then restore the empty one."""
    if content is None:
        _PASSWORD.unlink()
    else:
        _PASSWORD.write_text(content)
    try:
        yield
    finally:
        _PASSWORD.write_text("")
        _PASSWORD.chmod(0o600)


@contextmanager
def _packages_of_another_python() -> Generator[None]:
    """Rename the folder of healthd's packages, which has the version of its Python in its name."""
    (library,) = Path("/opt/healthd/lib").glob("python3*")
    elsewhere = library.with_name("python3.1")
    library.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(library)


async def _start_is_given_up(world: World) -> None:
    """Start the service; check that it fails with exit code 78 and is not restarted."""
    await world.start()

    async def failed() -> bool:
        return (await world.service_state())["ActiveState"] == "failed"

    await until(failed, "the service fails", 60)
    # Longer than RestartSec, so that a restart would be seen.
    try:
        await until(lambda: vm.is_active(SERVICE), "it is restarted", 8)
    except Failed:
        pass
    else:
        raise Failed("systemd restarted it")
    state = await world.service_state()
    if state["ExecMainStatus"] != _BAD_SETTINGS_EXIT or state["NRestarts"] != "0":
        raise Failed(f"expected exit code 78 and no restart, found {state}")


@case()
async def reload(world: World) -> None:
    """`systemctl reload` adds a peripheral, a second healthd is refused; no link ends by either."""
    first, second = await world.strap("first"), await world.strap("second")
    world.configure([first])
    await world.start()
    await world.streaming(first)
    process = await vm.main_pid(SERVICE)
    world.configure()
    await vm.run("systemctl", "reload", SERVICE)
    await world.streaming(first, second)
    code = await _second_instance()
    if code in ("0", "-9", ""):
        raise Failed(f"the second instance was not refused: {code!r}")
    world.notes.append(f"the second instance is refused with exit code {code}")
    await world.streaming(first, second)
    ends = [len(world.radio.end_times(strap.address)) for strap in (first, second)]
    if any(ends):
        raise Failed(f"the links of the straps have ended {ends} times")
    state = await world.service_state()
    if (state["ActiveState"], state["MainPID"]) != ("active", str(process)):
        raise Failed(f"expected process {process} to continue, found {state}")


async def _second_instance() -> str:
    """Start healthd on the same outbox; return its exit code."""
    output = await vm.run(
        *("setpriv", "--reuid=healthd", "--regid=healthd", "--clear-groups"),
        *("env", "STATE_DIRECTORY=/var/lib/healthd", "RUNTIME_DIRECTORY=/run/healthd"),
        *("/opt/healthd/bin/python", "-c", _RUN_AND_PRINT),
        timeout_s=60,
    )
    return output.strip().splitlines()[-1]


# Prints its exit code; kills it if it is not refused.
_RUN_AND_PRINT = """
import subprocess, sys
command = ["/opt/healthd/bin/healthd", "run"]
second = subprocess.Popen(command)
try:
    code = second.wait(timeout=40)
except subprocess.TimeoutExpired:
    second.kill()
    code = second.wait()
print(code)
"""


@case(crashes=True)
async def event_loop_blocked(world: World) -> None:
    """If the event loop is blocked, systemd's watchdog restarts the process, which then streams."""
    if (await world.service_state())["WatchdogUSec"] in ("0", "infinity"):
        raise Failed("the unit has no watchdog")
    hook(_HOOK, _WATCHDOG)
    await vm.run("systemctl", "daemon-reload")
    strap = await world.strap()
    await world.start_streaming()
    before = await vm.main_pid(SERVICE)
    async with world.fault():
        await vm.run("systemctl", "kill", "--kill-whom=main", "--signal=USR1", SERVICE)

        async def restarted() -> bool:
            state = await world.service_state()
            return state["MainPID"] not in ("0", str(before)) and state["NRestarts"] != "0"

        await until(restarted, "the watchdog restarts it", 60)
    await world.recovered(strap)
    world.notes.append("WatchdogSec=10 instead of the unit's own value")


def hook(code: str, *settings: str) -> None:
    """Let the service's Python run some code at its start; settings of the unit may follow.

    Call `systemctl daemon-reload` afterwards.
    """
    shutil.rmtree(_HOOKS, ignore_errors=True)
    _HOOKS.mkdir()
    (_HOOKS / "sitecustomize.py").write_text(code)
    drop_in("hook", "\n".join(["[Service]", f"Environment=PYTHONPATH={_HOOKS}", *settings, ""]))
