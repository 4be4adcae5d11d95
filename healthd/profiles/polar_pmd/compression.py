"""Delta-compressed samples: one whole sample, then blocks of small differences.

A block is {bits of a difference u8, samples u8, the differences}. Differences are packed without
gaps, lowest bit first, channel by channel within a sample, each in two's complement; the last byte
of a block is padded. Other decoders read two widths differently; here both follow from plain
arithmetic: a difference of 0 bits is 0, so such a block repeats the sample before it (the vendor's
code skips it), and a difference of 1 bit is 0 or -1 (others read 0 or 1).

A frame has at most as many numbers as bits. Real frames have far fewer: a Verity Sense sends 70
samples of three axes with 8 bits each, or 41 samples of four channels with 10 bits, in 227 bytes
(polar-ble-sdk issues 187 and 527).
"""

import struct
from itertools import accumulate

from healthd.errors import DecodeError
from healthd.profiles.polar_pmd.raw import Read, Samples, finite, rows

# Numbers have at most 32 bits, so a block whose differences claim more is not of this format.
_WIDEST = 32
# Otherwise blocks without bits, of two bytes each, would become thousands of numbers.
_MOST_NUMBERS_PER_BYTE = 8


def whole_numbers(channels: int, size: int) -> Read:
    """Return a reader of signed numbers, which have ``size`` bytes in the first sample."""

    def read(payload: bytes) -> Samples:
        values, truncated = decompress(payload, channels, size)
        return Samples(values, len(payload), truncated)

    return read


def float_bits(channels: int) -> Read:
    """Return a reader of floats whose bits were compressed like whole numbers, modulo 2**32."""

    def read(payload: bytes) -> Samples:
        samples, truncated = decompress(payload, channels, 4)
        bits = [number & 0xFFFFFFFF for sample in samples for number in sample]
        count = len(bits)
        values = finite(struct.unpack(f"<{count}f", struct.pack(f"<{count}I", *bits)))
        shaped = values if channels == 1 else rows(values, channels)
        return Samples(shaped, len(payload), truncated)

    return read


def decompress(data: bytes, channels: int, size: int) -> tuple[list[tuple[int, ...]], bool]:
    """Decompress the samples of a payload, each with ``channels`` numbers.

    Args:
        data: from the reference sample to the end of the packet.
        channels: numbers in a sample.
        size: bytes of each number of the reference sample.

    Returns:
        The samples, and whether the reference sample or a block was dropped because it is cut
        short, or is wider than the format allows.

    Raises:
        DecodeError: the blocks claim more numbers than a frame of this size can have.
    """
    first = channels * size
    if len(data) < first:
        return [], True
    deltas, truncated = _deltas(data[first:], channels)
    starts = (data[at : at + size] for at in range(0, first, size))
    columns = (
        accumulate(deltas[channel::channels], initial=int.from_bytes(start, "little", signed=True))
        for channel, start in enumerate(starts)
    )
    return list(zip(*columns, strict=True)), truncated


def _deltas(blocks: bytes, channels: int) -> tuple[list[int], bool]:
    """Return the differences up to the first block that is not whole, and whether there is one."""
    deltas: list[int] = []
    offset, most = 0, _MOST_NUMBERS_PER_BYTE * len(blocks)
    while offset < len(blocks):
        width, *rest = blocks[offset : offset + 2]
        count = rest[0] * channels if rest else 0
        start = offset + 2
        offset = start + (width * count + 7) // 8
        if not (start <= offset <= len(blocks) and width <= _WIDEST):
            return deltas, True
        if len(deltas) + count > most:
            raise DecodeError(f"expected at most {most} numbers, found {len(deltas) + count}")
        deltas += _unpack(blocks[start:offset], width, count)
    return deltas, False


def _unpack(block: bytes, width: int, count: int) -> list[int]:
    if width == 0:
        return [0] * count
    bits = int.from_bytes(block, "little")
    mask, sign = (1 << width) - 1, 1 << width - 1
    return [((bits >> at & mask) ^ sign) - sign for at in range(0, width * count, width)]
