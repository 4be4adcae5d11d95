"""The examples of docs/mqtt.md and docs/consumers.md, and functions to run them as they are."""

import asyncio
import re
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.process import clean_environment

_DOCS = Path(__file__).parents[2] / "docs"
PAGE = (_DOCS / "mqtt.md").read_text(encoding="utf-8")
REQUESTS, _, EXAMPLES = PAGE.partition("\n## Requests\n")[2].partition("\n## Examples\n")

BOUND_S = 20.0

# The example is run unchanged, except that the broker of the test listens on another port.
_AT_PORT = """
import functools, sys
from paho.mqtt import subscribe
subscribe.callback = functools.partial(subscribe.callback, port=int(sys.argv[1]))
exec(compile(sys.argv[2], "the example", "exec"))
"""


_ASK_AT_PORT = """
import functools, sys
from paho.mqtt.client import Client
Client.connect = functools.partialmethod(Client.connect, port=int(sys.argv[1]))
exec(compile(sys.argv[2], "docs/mqtt.md", "exec"))
"""


def example(language: str, section: str = EXAMPLES) -> str:
    """Return the only block of the section in this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return str(found)


def consumer_section(title: str) -> str:
    """Return a section of docs/consumers.md."""
    page = (_DOCS / "consumers.md").read_text(encoding="utf-8")
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def database_writer(port: int, database: str) -> Sequence[str]:
    """Return the command that runs the example that writes to a database at this address."""
    code = example("python", consumer_section("InfluxDB and VictoriaMetrics"))
    address = "http://localhost:8086"
    assert code.count(address) == 1
    return (sys.executable, "-c", _AT_PORT, str(port), code.replace(address, database))


def python_consumer(port: int) -> Sequence[str]:
    """Return the command that runs the Python example of a consumer."""
    return (sys.executable, "-c", _AT_PORT, str(port), example("python"))


def python_asker(port: int) -> Sequence[str]:
    """Return the command that runs the Python example of a request."""
    return (sys.executable, "-c", _ASK_AT_PORT, str(port), example("python", REQUESTS))


@asynccontextmanager
async def running(
    *command: str,
    stdin: str = "",
    environ: Mapping[str, str] | None = None,
    at_most: float = BOUND_S,
) -> AsyncGenerator[asyncio.StreamReader]:
    """Run a command, and give its output; it is killed after the block or ``at_most`` seconds."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**clean_environment(), **(environ or {})},
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(stdin.encode())
        process.stdin.close()
        async with asyncio.timeout(at_most):
            yield process.stdout
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def lines(out: asyncio.StreamReader, count: int) -> list[str]:
    """Read this many lines."""
    return [(await out.readline()).decode().rstrip() for _ in range(count)]
