"""Which answers belong to which request of a capture."""

from typing import Any

from healthd.capture.replay.exchanges import Script
from healthd.capture.replay.recording import RecordedLink, recording_of
from healthd.traffic import lines
from tests.support.capture_writer import ADDRESS, CaptureWriter

CONTROL, DATA = 0x31, 0x33
MACHINE = (
    lines.Service(
        uuid="1826",
        handle=0x30,
        characteristics=(
            lines.Characteristic(uuid="2ad9", handle=CONTROL, properties=("indicate", "write")),
            lines.Characteristic(uuid="2ad2", handle=DATA, properties=("notify",)),
        ),
    ),
)


class Talk(CaptureWriter):
    def write(self, t: float, value: str | None, took_s: float = 0.1) -> None:
        where: dict[str, Any] = {"uuid": "2ad9", "handle": CONTROL, "response": True}
        data = None if value is None else bytes.fromhex(value)
        self.on_link(t, lines.Written, **where, value=data, took_s=took_s)

    def notify(self, t: float, handle: int, value: str) -> None:
        self.on_link(t, lines.Notified, uuid=None, handle=handle, value=bytes.fromhex(value))

    def script(self) -> Script:
        (link,) = recording_of(self.lines, ()).devices[ADDRESS].entries
        assert isinstance(link, RecordedLink)
        return Script(link)


def talk() -> Talk:
    writer = Talk()
    writer.connect(0, MACHINE)
    return writer


def answers(script: Script) -> list[list[str]]:
    return [[line.value.hex() for line in one.answers] for one in script.exchanges]


def test_answers_and_a_stream_that_began_before() -> None:
    writer = talk()
    writer.notify(1, DATA, "aa")
    writer.write(2, "00")
    writer.notify(2.5, CONTROL, "800001")
    writer.notify(3, DATA, "bb")
    # The answer comes before the acknowledgement of its request.
    writer.notify(3.95, CONTROL, "800501")
    writer.write(4, "05c800", took_s=0.1)
    script = writer.script()
    assert answers(script) == [["800001"], ["800501"]]
    assert [line.value.hex() for line in script.free if isinstance(line, lines.Notified)] == [
        "aa",
        "bb",
    ]


def test_a_stream_that_was_asked_for() -> None:
    writer = talk()
    writer.write(1, "02")
    writer.notify(2, DATA, "aa")
    writer.notify(3, DATA, "bb")
    assert answers(writer.script()) == [["aa", "bb"]]


def test_the_most_similar_request() -> None:
    writer = talk()
    for t, value in ((1, "0001"), (2, "0505"), (3, None), (4, "0506")):
        writer.write(t, value)
    script = writer.script()
    first, second, secret, third = script.exchanges

    def found(value: str) -> object:
        return script.exchange(CONTROL, bytes.fromhex(value))

    assert found("0506") is third  # equal
    assert found("0599") is second  # the same operation
    second.is_used = True
    assert found("0599") is third
    assert found("0901") is first  # as long
    assert script.exchange(DATA, b"\0\1") is None
    for each in (first, third):
        each.is_used = True
    assert found("0901") is secret
    secret.is_used = True
    assert found("0506") is third  # all were used: it is answered again


def test_reads_in_order_and_then_the_last_again() -> None:
    writer = CaptureWriter()
    writer.connect(0)
    for t, pct in ((1, 80), (2, 79)):
        writer.read_battery(t, pct)
    (link,) = recording_of(writer.lines, ()).devices[ADDRESS].entries
    assert isinstance(link, RecordedLink)
    script = Script(link)
    found = [script.request(lines.Read, 0x12) for _ in range(3)]
    assert [one.value[0] for one in found if isinstance(one, lines.Read) and one.value] == [
        80,
        79,
        79,
    ]
    assert script.request(lines.Read, 0x99) is None
