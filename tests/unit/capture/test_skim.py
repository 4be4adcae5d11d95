"""The quick way through a log gives what the careful way gives."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from healthd.capture.reading import read
from healthd.traffic.lines import Line
from tests.fuzz.target import folder
from tests.support.radio_log import Packet, acl, btsnoop, connected, disconnected

_DEVICES = ("C0:11:22:33:44:55", "C0:11:22:33:44:66")


def _packets(step: tuple[int, int, int, bytes]) -> list[Packet]:
    what, device, handle, value = step
    connection = 0x40 + device
    head = bytes((0x1D if what == 1 else 0x1B, handle, 0))
    if what == 2:
        return acl(connection, head + value, received=True, fragment=6)
    if what == 3:
        return acl(connection, head + value, received=False)
    if what == 4:
        return [disconnected(connection, 0x13), connected(connection, _DEVICES[device])]
    if what == 5:
        # The UUID becomes known: an answer to *find information*.
        question, answer = bytes((4, handle, 0, handle, 0)), bytes((5, 1, handle, 0, 0x37, 0x2A))
        return [
            *acl(connection, question, received=False),
            *acl(connection, answer, received=True),
        ]
    if what == 6:
        return acl(connection, head + value, received=True, channel=6)
    return acl(connection, head + value, received=True)


def _lines(folder: Path, packets: list[Packet], link_type: int) -> list[Line]:
    file = folder / str(link_type)
    file.write_bytes(btsnoop(packets, link_type))
    return list(read(file))[1:]


_STEPS = st.tuples(st.integers(0, 9), st.integers(0, 1), st.integers(1, 3), st.binary(max_size=20))


@given(st.lists(_STEPS, max_size=30), st.booleans())
def test_skimmed_values_are_those_of_a_log_that_is_not_skimmed(
    steps: list[tuple[int, int, int, bytes]], from_beginning: bool
) -> None:
    made = [connected(0x40 + number, each) for number, each in enumerate(_DEVICES)]
    packets = made if from_beginning else []
    packets += [packet for step in steps for packet in _packets(step)]
    with folder() as place:
        careful = _lines(Path(place), packets, 2001)
        assert _lines(Path(place), packets, 1002) == careful
    sent = sum(step[0] not in (3, 4, 5, 6) for step in steps)
    assert sum(line.what == "notification" for line in careful) == sent
