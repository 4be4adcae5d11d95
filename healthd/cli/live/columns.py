"""Choose the columns of the live table that fit the terminal, and their widths."""

from collections.abc import Mapping

# From left to right.
HEADINGS = (
    *("gateway", "peripheral", "device", "state", "stream"),
    *("newest", "rate", "age", "trend", "samples", "history", "gaps"),
)
ALWAYS = {"gateway", "peripheral", "state", "stream", "newest", "age"}

# Between two columns.
SPACE = 2

# Maximum widths: a long name must not push out everything else.
_MOST = {"gateway": 16, "peripheral": 20, "device": 18, "state": 24, "stream": 24}

# Minimum widths of names if the terminal is narrow; the first column is cut first.
_LEAST = (("stream", 13), ("peripheral", 12), ("state", 9), ("gateway", 8))

# One value without a label: "117.5 mmHg".
_LEAST_NEWEST = 12

# Names are cut to make room for these.
_PREFERRED = (("rate", 7), ("trend", 8))

# How the remaining width is used, most important first: column and width. Eighty characters are
# enough up to the number of gaps, unless names are long.
_STEPS = (
    *_PREFERRED,
    ("gaps", 4),
    ("newest", 30),
    ("gaps", 20),
    ("device", 18),
    ("trend", 16),
    ("samples", 10),
    ("history", 10),
)


def fit(wanted: Mapping[str, int], width: int) -> dict[str, int]:
    """Distribute the terminal's width over the columns.

    Args:
        wanted: by heading, the width that the cells of each column need.
        width: width of the terminal.

    Returns:
        The width of each column that fits, from left to right.
    """
    always = ALWAYS & wanted.keys()
    widths = {heading: min(wanted[heading], _MOST.get(heading, 99)) for heading in always}
    widths["newest"] = min(wanted["newest"], _LEAST_NEWEST)
    preferred = {
        heading: min(size, wanted[heading]) for heading, size in _PREFERRED if heading in wanted
    }
    for heading, least in _LEAST:
        excess = max(0, _total(widths | preferred) - width)
        if heading in widths:
            widths[heading] = min(widths[heading], max(least, widths[heading] - excess))
    for heading, size in _STEPS:
        wider = widths | {heading: min(size, wanted.get(heading, 0))}
        if heading in wanted and _total(wider) <= width:
            widths = wider
    for heading in ("newest", "trend"):
        if heading not in widths:
            continue
        left = max(0, width - _total(widths))
        widths[heading] = min(wanted[heading], widths[heading] + left)
    return {heading: widths[heading] for heading in HEADINGS if heading in widths}


def _total(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + SPACE * (len(widths) - 1)
