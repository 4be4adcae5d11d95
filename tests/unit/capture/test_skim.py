"""The quick way through a log gives what the careful way gives."""

import struct
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from healthd.capture.reading import read
from healthd.traffic.lines import Line, Missing
from tests.fuzz.target import folder
from tests.support.radio_log import Packet, acl, btsnoop, connected, disconnected

_DEVICES = ("C0:11:22:33:44:55", "C0:11:22:33:44:66")
# Continues a frame: the boundary flag is 1.
_CONTINUES = 0x1000

Make = Callable[[int, int, bytes], list[Packet]]


def _notified(device: int, handle: int, value: bytes) -> list[Packet]:
    return acl(0x40 + device, bytes((0x1B, handle, 0)) + value, received=True)


def _indicated(device: int, handle: int, value: bytes) -> list[Packet]:
    return acl(0x40 + device, bytes((0x1D, handle, 0)) + value, received=True)


def _in_fragments(device: int, handle: int, value: bytes) -> list[Packet]:
    return acl(0x40 + device, bytes((0x1B, handle, 0)) + value, received=True, fragment=6)


def _by_the_host(device: int, handle: int, value: bytes) -> list[Packet]:
    return acl(0x40 + device, bytes((0x1B, handle, 0)) + value, received=False)


def _on_another_channel(device: int, handle: int, value: bytes) -> list[Packet]:
    return acl(0x40 + device, bytes((0x1B, handle, 0)) + value, received=True, channel=6)


def _made_again(device: int, _handle: int, _value: bytes) -> list[Packet]:
    return [disconnected(0x40 + device, 0x13), connected(0x40 + device, _DEVICES[device])]


def _discovered(device: int, handle: int, _value: bytes) -> list[Packet]:
    """Make a UUID known: *find information* and its answer."""
    question, answer = bytes((4, handle, 0, handle, 0)), bytes((5, 1, handle, 0, 0x37, 0x2A))
    asked = acl(0x40 + device, question, received=False)
    return [*asked, *acl(0x40 + device, answer, received=True)]


def _cut(device: int, handle: int, value: bytes) -> list[Packet]:
    return [each._replace(cut=1) for each in _notified(device, handle, value)]


def _after_lost_packets(device: int, handle: int, value: bytes) -> list[Packet]:
    return [each._replace(dropped=len(value)) for each in _notified(device, handle, value)]


def _continuing(device: int, handle: int, value: bytes) -> list[Packet]:
    (packet,) = _notified(device, handle, value)
    head = struct.pack("<H", 0x40 + device | _CONTINUES)
    return [packet._replace(data=head + packet.data[2:])]


def _with_acl_length(wrong_by: int) -> Make:
    def make(device: int, handle: int, value: bytes) -> list[Packet]:
        (packet,) = _notified(device, handle, value)
        (length,) = struct.unpack_from("<H", packet.data, 2)
        wrong = struct.pack("<H", length + wrong_by)
        return [packet._replace(data=packet.data[:2] + wrong + packet.data[4:])]

    return make


def _with_frame_length(wrong_by: int) -> Make:
    def make(device: int, handle: int, value: bytes) -> list[Packet]:
        (packet,) = _notified(device, handle, value)
        (length,) = struct.unpack_from("<H", packet.data, 4)
        wrong = struct.pack("<H", length + wrong_by)
        return [packet._replace(data=packet.data[:4] + wrong + packet.data[6:])]

    return make


_USUAL: tuple[Make, ...] = (_notified, _indicated, _in_fragments)
_QUIET: tuple[Make, ...] = (_by_the_host, _on_another_channel, _made_again, _discovered)
_DAMAGED: tuple[Make, ...] = (
    *(_cut, _after_lost_packets, _continuing),
    *(_with_acl_length(1), _with_acl_length(-1), _with_frame_length(1), _with_frame_length(-1)),
)

Steps = list[tuple[Make, int, int, bytes]]


def _steps(makes: tuple[Make, ...]) -> st.SearchStrategy[Steps]:
    # Most values of a log are notifications, which are skimmed from the second one on.
    make = st.one_of(st.just(_notified), st.sampled_from(makes))
    values = st.binary(max_size=20)
    return st.lists(st.tuples(make, st.integers(0, 1), st.integers(1, 2), values), max_size=40)


def _both_ways(steps: Steps) -> tuple[list[Line], list[Line]]:
    """Return the lines of a log that is skimmed, and of one that is not: one of btmon."""
    packets = [connected(0x40 + number, each) for number, each in enumerate(_DEVICES)]
    for make, device, handle, value in steps:
        packets += make(device, handle, value)
    with folder() as place:
        return _lines(Path(place), packets, 1002), _lines(Path(place), packets, 2001)


def _lines(place: Path, packets: list[Packet], link_type: int) -> list[Line]:
    file = place / str(link_type)
    file.write_bytes(btsnoop(packets, link_type))
    # Packets are at other places, and a packet of UART has one byte more.
    return [
        line.model_copy(update={"reason": line.reason.split(": ")[-1].split(" of a packet")[-1]})
        if isinstance(line, Missing)
        else line
        for line in list(read(file))[1:]
    ]


@given(_steps(_USUAL + _QUIET))
def test_skimmed_values_are_all_that_was_sent(steps: Steps) -> None:
    skimmed, careful = _both_ways(steps)
    assert skimmed == careful
    values = [line.value for line in skimmed if line.what == "notification"]
    assert values == [value for make, _, _, value in steps if make in _USUAL]


@given(_steps(_USUAL + _QUIET + _DAMAGED))
def test_damaged_packets_are_not_skimmed(steps: Steps) -> None:
    skimmed, careful = _both_ways(steps)
    assert skimmed == careful
