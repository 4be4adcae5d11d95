"""The format of log lines, and what they never contain."""

import logging
import re
from collections.abc import Iterator
from datetime import datetime
from io import BytesIO, TextIOWrapper
from typing import Any

import orjson
import pytest
import structlog

from healthd.log import Disclosed, configure, get_logger

ADDRESSES = ["A0:9E:1A:00:00:01", "a0:9e:1a:00:00:01", "A0_9E_1A_00_00_01", "A0-9E-1A-00-00-01"]


class Out(TextIOWrapper):
    """A stream that records what is written; it can claim to be a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        self._memory = BytesIO()
        self._terminal = terminal
        super().__init__(self._memory, encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return self._terminal

    @property
    def text(self) -> str:
        return self._memory.getvalue().decode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.text.splitlines()]

    @property
    def line(self) -> dict[str, Any]:
        (line,) = self.lines
        return line


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def pipe() -> Out:
    return Out(terminal=False)


@pytest.fixture
def terminal() -> Out:
    return Out(terminal=True)


def test_one_json_object_per_line_with_timestamp_level_and_event_first(pipe: Out) -> None:
    configure(stream=pipe)
    get_logger(peripheral="strap").info("state", state="searching")
    assert list(pipe.line) == ["timestamp", "level", "event", "peripheral", "state"]
    assert datetime.fromisoformat(pipe.line["timestamp"]).utcoffset() is not None
    assert pipe.line["level"] == "info"
    assert pipe.line["event"] == "state"
    assert pipe.line["peripheral"] == "strap"
    assert pipe.line["state"] == "searching"
    assert pipe.text.endswith("}\n")


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_lines_below_the_level_are_not_written(pipe: Out, level: str, written: list[str]) -> None:
    configure(level, stream=pipe)
    log = get_logger()
    for write in (log.debug, log.info, log.warning, log.error):
        write("x")
    assert [line["level"] for line in pipe.lines] == written


def test_exception_is_one_line_with_its_traceback(pipe: Out) -> None:
    configure(stream=pipe)
    get_logger().error("crashed", exc_info=ValueError("of a bug"))
    assert "ValueError: of a bug" in pipe.line["exception"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_are_redacted(pipe: Out, address: str) -> None:
    configure(stream=pipe)
    path = f"/org/bluez/hci0/dev_{address}/service0010"
    get_logger(peripheral=address).warning(f"lost {address}", path=path)
    assert address not in pipe.text
    assert pipe.line["peripheral"] == "<address>"
    assert pipe.line["event"] == "lost <address>"
    assert pipe.line["path"] == "/org/bluez/hci0/dev_<address>/service0010"


@pytest.mark.parametrize("out", ["pipe", "terminal"])
def test_an_address_that_its_reader_needs_is_not_redacted(
    request: pytest.FixtureRequest, out: str
) -> None:
    stream: Out = request.getfixturevalue(out)
    configure(stream=stream)
    needed, other = ADDRESSES[0], "C0:00:00:00:00:99"
    get_logger().warning("two devices match", addresses=[Disclosed(needed)], other=other)
    assert needed in stream.text
    assert other not in stream.text


def test_the_topics_of_a_person_are_redacted(pipe: Out) -> None:
    configure(stream=pipe)
    topic = "healthd/home/device/scale/person/anna-2/weight"
    get_logger().error("topic refused", topic=topic, streams=["scale/person/anna-2/weight"])
    assert pipe.line["topic"] == "healthd/home/device/scale/person/<person>/weight"
    assert "anna" not in pipe.text


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("out", ["pipe", "terminal"])
def test_addresses_are_redacted_in_exceptions(
    request: pytest.FixtureRequest, out: str, address: str
) -> None:
    stream: Out = request.getfixturevalue(out)
    configure(stream=stream)
    get_logger().error("crashed", exc_info=ValueError(f"{address} is gone"))
    assert "is gone" in stream.text
    assert address not in stream.text


@pytest.mark.parametrize(
    "value",
    [[ADDRESSES[0]], {"address": ADDRESSES[0]}, ValueError(ADDRESSES[0])],
    ids=["list", "dict", "object"],
)
def test_addresses_are_redacted_inside_other_values(pipe: Out, value: object) -> None:
    configure(stream=pipe)
    get_logger().warning("found", value=value)
    assert pipe.line["event"] == "found"
    assert ADDRESSES[0] not in pipe.text


@pytest.mark.parametrize("address", ADDRESSES)
def test_debug_keeps_addresses(pipe: Out, address: str) -> None:
    configure("debug", stream=pipe)
    get_logger().warning("lost", address=address)
    assert pipe.line["address"] == address


@pytest.mark.parametrize(
    "value", [object(), b"\x01", 2**64, {1: 2}, "\udcff"], ids=lambda value: type(value).__name__
)
def test_a_value_that_json_cannot_represent_does_not_lose_the_line(
    pipe: Out, value: object
) -> None:
    configure(stream=pipe)
    get_logger().info("odd", value=value)
    assert pipe.line["event"] == "odd"


def test_a_terminal_gets_readable_lines(terminal: Out) -> None:
    configure(stream=terminal)
    get_logger(peripheral="strap").info("streaming", address=ADDRESSES[0])
    assert terminal.text.count("\n") == 1
    assert "streaming" in terminal.text
    assert "strap" in terminal.text
    assert not terminal.text.startswith("{")
    assert ADDRESSES[0] not in terminal.text


def test_libraries_are_logged_from_warning_up(pipe: Out) -> None:
    configure("debug", stream=pipe)
    library = logging.getLogger("bleak.backends")
    library.info("detail")
    library.warning("lost %s of %s", "this", "that")
    assert pipe.line["level"] == "warning"
    assert pipe.line["event"] == "lost this of that"
    assert pipe.line["library"] == "bleak.backends"


def test_lines_of_libraries_are_redacted_with_their_traceback(pipe: Out) -> None:
    configure(stream=pipe)
    try:
        raise OSError(f"{ADDRESSES[2]} is gone")
    except OSError:
        logging.getLogger("asyncio").exception("lost %s", ADDRESSES[0])
    assert pipe.line["level"] == "error"
    assert pipe.line["event"] == "lost <address>"
    assert "<address> is gone" in pipe.line["exception"]


def test_after_a_second_configuration_lines_go_to_the_newest_stream_only(pipe: Out) -> None:
    older = Out(terminal=False)
    configure(stream=older)
    log = get_logger()
    configure(stream=pipe)
    log.warning("ours")
    logging.getLogger("library").warning("theirs")
    assert [line["event"] for line in pipe.lines] == ["ours", "theirs"]
    assert older.text == ""


HOSTILE = "Zq\x1b]2;x\x07\x9b\u202e\u2066\u200b\u2028\U000e0041\ufe0f\u3164\nforged"


def raise_hostile(log: Any) -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("crashed")


def test_outside_text_on_a_terminal_is_plain(terminal: Out) -> None:
    configure("debug", stream=terminal)
    log = get_logger()
    log.warning(HOSTILE, error=HOSTILE, names=[HOSTILE], of={HOSTILE: (HOSTILE,)})
    raise_hostile(log)
    logging.getLogger("library").warning(HOSTILE)
    text = re.sub(r"\x1b\[[0-9;]*m", "", terminal.text)
    assert text.count("Zq") == 7
    assert all(line.isprintable() for line in text.split("\n"))
    assert not {"\ufe0f", "\u3164"} & set(text)
    # A traceback may have several lines, everything else is one.
    assert sum(line.startswith("forged") for line in text.split("\n")) == 1


def test_outside_text_in_json_lines_is_plain_and_means_the_same(pipe: Out) -> None:
    configure(stream=pipe)
    log = get_logger()
    log.warning(HOSTILE, error=HOSTILE)
    raise_hostile(log)
    lines = pipe.text.split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(pipe.text.splitlines()) == 2, "no other line breaks"
    assert all(line.isprintable() for line in lines)
    assert orjson.loads(lines[0])["event"] == orjson.loads(lines[0])["error"] == HOSTILE
    assert HOSTILE in orjson.loads(lines[1])["exception"]
