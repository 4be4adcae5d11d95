"""How long decoding takes, model included: ``python -m tests.unit.profiles.bench [UUID …]``.

One line for each characteristic: its typical packet, the median of its good vectors by length, in
microseconds (the best of five rounds), and as a ratio to what struct alone takes to unpack a packet
of that size byte by byte. The same for its longest packet. A quirk's decoder stands in a line of
its own, with the packets of its characteristic that it can read.
"""

import struct
import sys
import timeit
from collections.abc import Callable, Iterator

from healthd.errors import DecodeError
from healthd.profiles.quirks import QUIRKS
from tests.unit.profiles.test_vectors import ALL, CHARACTERISTICS

# What a decoder may take for a typical packet, with its model.
LIMIT_US = 5.0

_ROUNDS = 5
_ROUND_S = 0.02


def decoders() -> Iterator[tuple[str, str, Callable[[bytes], object]]]:
    """Title, UUID and decoder of everything that decodes."""
    for uuid, one in CHARACTERISTICS.items():
        yield one.model.kind, uuid, one.decode
    for quirk in QUIRKS:
        yield f"quirk: {quirk.title}", quirk.uuid, quirk.decode


def packets(uuid: str, decode: Callable[[bytes], object]) -> list[bytes]:
    """The vectors of one characteristic that are whole and can be decoded, by length."""
    good = [vector for vector in ALL if vector.uuid == uuid and vector.expected is not None]
    whole = [one.packet for one in good if "truncated" not in (one.expected or {})]
    return sorted((packet for packet in whole if can_be_read(decode, packet)), key=len)


def can_be_read(decode: Callable[[bytes], object], packet: bytes) -> bool:
    try:
        decode(packet)
    except DecodeError:
        return False
    return True


def microseconds(call: Callable[[bytes], object], packet: bytes) -> float:
    """The best of five rounds of at least 20 ms."""
    timer = timeit.Timer(lambda: call(packet))
    once_s = max(timer.timeit(100) / 100, 1e-8)
    number = max(int(_ROUND_S / once_s), 100)
    return min(timer.repeat(_ROUNDS, number)) / number * 1e6


def measured(decode: Callable[[bytes], object], packet: bytes) -> tuple[float, str]:
    taken = microseconds(decode, packet)
    bare = microseconds(struct.Struct(f"<{len(packet)}B").unpack_from, packet)
    return taken, f"{len(packet):4} B {taken:6.2f} us {taken / bare:5.1f} x"


def main(wanted: list[str]) -> None:
    slow = 0
    sys.stdout.write(f"{'uuid':38}{'typical packet':26}{'longest packet':26}what\n")
    for title, uuid, decode in decoders():
        if (wanted and uuid not in wanted) or not (found := packets(uuid, decode)):
            continue
        taken, typical = measured(decode, found[len(found) // 2])
        _, longest = measured(decode, found[-1])
        slow += taken > LIMIT_US
        mark = " <- over the limit" if taken > LIMIT_US else ""
        sys.stdout.write(f"{uuid:38}{typical:26}{longest:26}{title}{mark}\n")
    sys.stdout.write(f"{slow} over {LIMIT_US} us for a typical packet\n")


if __name__ == "__main__":
    main(sys.argv[1:])
