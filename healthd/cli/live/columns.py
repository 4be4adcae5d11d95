"""Which columns of the live table there is room for, and how wide each of them is."""

from collections.abc import Mapping

# In the order in which they stand.
HEADINGS = (
    *("gateway", "peripheral", "device", "state", "stream"),
    *("newest", "rate", "age", "trend", "samples", "history", "gaps"),
)
ALWAYS = {"gateway", "peripheral", "state", "stream", "newest", "age"}

# Between two columns.
SPACE = 2

# One long name must not take the room of everything else.
_MOST = {"gateway": 16, "peripheral": 20, "device": 18, "state": 24, "stream": 24}

# How far names are cut where there is little room, the most patient first.
_LEAST = (("stream", 13), ("peripheral", 12), ("state", 9), ("gateway", 8))

# The value alone: "117.5 mmHg".
_LEAST_NEWEST = 12

# What is worth cutting names for.
_WORTH = (("rate", 7), ("trend", 8))

# What the room is for that is left, the most wanted first: how wide which column becomes, if it
# can. Eighty characters reach as far as the number of gaps, unless names are long.
_STEPS = (
    *_WORTH,
    ("gaps", 4),
    ("newest", 30),
    ("gaps", 20),
    ("device", 18),
    ("trend", 16),
    ("samples", 10),
    ("history", 10),
)


def fit(wanted: Mapping[str, int], width: int) -> dict[str, int]:
    """Share out a terminal's width.

    Args:
        wanted: by heading how wide each column would be if it were up to its cells.
        width: of the terminal.

    Returns:
        The width of each column that there is room for, in the order in which they stand.
    """
    widths = {one: min(wanted[one], _MOST.get(one, 99)) for one in ALWAYS & wanted.keys()}
    widths["newest"] = min(wanted["newest"], _LEAST_NEWEST)
    worth = {one: min(size, wanted[one]) for one, size in _WORTH if one in wanted}
    for one, least in _LEAST:
        too_much = max(0, _total(widths | worth) - width)
        if one in widths:
            widths[one] = min(widths[one], max(least, widths[one] - too_much))
    for heading, size in _STEPS:
        wider = widths | {heading: min(size, wanted.get(heading, 0))}
        if heading in wanted and _total(wider) <= width:
            widths = wider
    for heading in ("newest", "trend"):
        if heading not in widths:
            continue
        left = max(0, width - _total(widths))
        widths[heading] = min(wanted[heading], widths[heading] + left)
    return {one: widths[one] for one in HEADINGS if one in widths}


def _total(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + SPACE * (len(widths) - 1)
