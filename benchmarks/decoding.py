"""How long decoding takes, model included: ``python -m benchmarks.decoding [UUID …]``.

Prints one line per characteristic or broadcast: the time for its typical packet, in microseconds
(the best of five rounds), and as a ratio to the time in which struct alone unpacks a packet of that
size byte by byte; the same for its longest packet. Typical is the median by length of the captured
packets, or of all good vectors if none was captured. A quirk's decoder has a line of its own, with
the packets of its characteristic that it can read.
"""

import statistics
import struct
import sys
import timeit
from collections.abc import Callable, Container, Iterator

from benchmarks.figures import Budget, Effort, Figure
from healthd.errors import DecodeError
from healthd.profiles.quirks import QUIRKS
from tests.unit.profiles.test_vectors import ALL, KINDS, SOURCES

# The time that decoding a typical packet may take, model included.
LIMIT_US = 5.0

_ROUNDS = 5
_ROUND_S = 0.02


def decoders() -> Iterator[tuple[str, str, Callable[[bytes], object]]]:
    """Yield title, UUID and decoder of each characteristic, broadcast and quirk."""
    for uuid, source in SOURCES.items():
        yield source.model.kind, uuid, source.decode
    for quirk in QUIRKS:
        yield f"quirk: {quirk.title}", quirk.uuid, quirk.decode


def packets(uuid: str, decode: Callable[[bytes], object], kinds: Container[str]) -> list[bytes]:
    """Return the complete, decodable packets of one characteristic, sorted by length."""
    good = [one for one in ALL if one.uuid == uuid and one.expected is not None]
    whole = [one for one in good if one.kind in kinds and "truncated" not in (one.expected or {})]
    return sorted((one.packet for one in whole if can_be_read(decode, one.packet)), key=len)


def can_be_read(decode: Callable[[bytes], object], packet: bytes) -> bool:
    """Return whether this decoder accepts the packet."""
    try:
        decode(packet)
    except DecodeError:
        return False
    return True


def microseconds(call: Callable[[bytes], object], packet: bytes) -> float:
    """Return the best of five rounds of at least 20 ms."""
    timer = timeit.Timer(lambda: call(packet))
    once_s = max(timer.timeit(100) / 100, 1e-8)
    number = max(int(_ROUND_S / once_s), 100)
    return min(timer.repeat(_ROUNDS, number)) / number * 1e6


def bare_microseconds(packet: bytes) -> float:
    """Return the floor: struct alone, byte by byte."""
    return microseconds(struct.Struct(f"<{len(packet)}B").unpack_from, packet)


def typical(uuid: str, decode: Callable[[bytes], object]) -> bytes | None:
    """Return the typical packet of a characteristic; None if no good one is known."""
    found = packets(uuid, decode, {"device_capture"}) or packets(uuid, decode, KINDS)
    return found[len(found) // 2] if found else None


def measured(decode: Callable[[bytes], object], packet: bytes) -> tuple[float, str]:
    """Return the microseconds, and a text with packet size, microseconds and ratio to the floor."""
    taken = microseconds(decode, packet)
    ratio = taken / bare_microseconds(packet)
    return taken, f"{len(packet):4} B {taken:6.2f} us {ratio:5.1f} x"


async def decode(effort: Effort) -> list[Figure]:
    """Measure decoding with the model: a heart rate, the median of all, and the slowest."""
    strap = Figure("decode with model, heart rate", "µs", budget=Budget(LIMIT_US))
    middle = Figure("the same, median of all characteristics", "µs")
    slowest = Figure("the same, slowest characteristic", "µs")
    known = [
        (uuid, decode, packet)
        for _, uuid, decode in decoders()
        if (packet := typical(uuid, decode)) is not None
    ]
    every: list[tuple[float, str]] = []
    for _ in range(effort.rounds):
        every.clear()
        for uuid, decode, packet in known:
            taken = microseconds(decode, packet)
            every.append((taken, uuid))
            if uuid == "2a37":
                strap.product.append(taken)
                strap.floor.append(bare_microseconds(packet))
        middle.product.append(statistics.median(taken for taken, _ in every))
        worst, uuid = max(every)
        slowest.product.append(worst)
        slowest.note = uuid
    over = sum(taken > LIMIT_US for taken, _ in every)
    middle.note = f"{over} of {len(known)} over {LIMIT_US:g} µs"
    return [strap, middle, slowest]


def main(wanted: list[str]) -> None:
    """Print a line for each characteristic."""
    slow = 0
    sys.stdout.write(f"{'uuid':38}{'typical packet':26}{'longest packet':26}what\n")
    for title, uuid, decode in decoders():
        packet = None if wanted and uuid not in wanted else typical(uuid, decode)
        if packet is None:
            continue
        taken, usual = measured(decode, packet)
        _, longest = measured(decode, packets(uuid, decode, KINDS)[-1])
        slow += taken > LIMIT_US
        mark = " <- over the limit" if taken > LIMIT_US else ""
        sys.stdout.write(f"{uuid:38}{usual:26}{longest:26}{title}{mark}\n")
    sys.stdout.write(f"{slow} over {LIMIT_US} us for a typical packet\n")


if __name__ == "__main__":
    main(sys.argv[1:])
