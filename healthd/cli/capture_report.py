"""The summary of a capture as text."""

from heapq import nlargest
from pathlib import Path

from healthd.capture.summarised import DeviceSummary, LinkSummary, Summary, Values
from healthd.cli import tables

_IDENTITY = {
    "replaced": "Addresses, names and serial numbers are replaced.",
    "kept": "Addresses, names and serial numbers are the real ones, if no one has changed them.",
}

# Of a list, how much a person reads.
_MOST_SHOWN = 20


def report(file: Path, summary: Summary) -> None:
    """Print a summary."""
    say = tables.line
    lines = [
        f"{file}: {summary.source}, {summary.lines} lines in {summary.seconds:.1f} s, "
        f"from {summary.first_time} to {summary.last_time}",
        _IDENTITY[summary.identity],
    ]
    if made := {**summary.healthd, **summary.system}:
        lines.append("Made with " + ", ".join(f"{key} {value}" for key, value in made.items()))
    if summary.encrypted:
        lines.append("A part is encrypted, which the program that wrote the file could not read.")
    tables.show(*map(say, lines), soft_wrap=True)
    for device in summary.devices[:_MOST_SHOWN]:
        _device(device)
    rest = len(summary.devices) - _MOST_SHOWN
    closing = [f"{rest} more devices; --json lists them"] if rest > 0 else []
    closing += _counts("Failed requests", summary.errors)
    closing += _counts("Changes of the adapter", summary.adapter)
    closing += _counts("Missing", summary.missing)
    if summary.left_out:
        closing.append(f"{summary.left_out} lines are about further devices and links")
    tables.show(*map(say, closing), soft_wrap=True)


def _device(device: DeviceSummary) -> None:
    names = ", ".join(f'"{name}"' for name in device.names[:_MOST_SHOWN]) or "no name"
    advertised = f", with {', '.join(device.advertised)}" if device.advertised else ""
    lines = ["", f"{device.address} ({names}), advertisements: {device.advertisements}{advertised}"]
    lines += _counts("  Links that could not be made", device.failed_connects)
    tables.show(*map(tables.line, lines), soft_wrap=True)
    for link in device.links[:_MOST_SHOWN]:
        _link(link)
    if (rest := len(device.links) - _MOST_SHOWN) > 0:
        tables.show(tables.line(f"  {rest} more links; --json lists them"))


def _link(link: LinkSummary) -> None:
    began = "since before the capture" if link.from_t is None else f"from {link.from_t:.3f} s"
    ended = "did not end" if link.ended is None else f"ended: {link.ended}"
    code = "" if link.code is None else f" ({link.code:#04x})"
    mtu = "" if link.mtu is None else f", MTU {link.mtu}"
    lines = [f"  Link {link.link}: {began}, {link.seconds:.1f} s{mtu}, {ended}{code}"]
    read = [f"{each.uuid} {each.profile}" for each in link.services if each.profile]
    unread = [each.uuid for each in link.services if not each.profile]
    if read:
        lines.append(f"  Services that healthd reads: {', '.join(read)}")
    if unread:
        lines.append(f"  Services that it does not read: {', '.join(unread)}")
    tables.show(*map(tables.line, lines), soft_wrap=True)
    if link.values:
        _values(link.values)


def _values(values: list[Values]) -> None:
    table = tables.table(
        *("Handle", "UUID", "healthd reads", "Sent", "per s", "longest silence"),
        *("Read", "Written", "Errors"),
    )
    for each in values:
        tables.add_row(
            table,
            f"{each.handle:#06x}",
            each.uuid or "?",
            each.kind or "",
            each.notifications or "",
            "" if each.per_second is None else f"{each.per_second:.2f}",
            "" if each.longest_silence_s is None else f"{each.longest_silence_s:.1f} s",
            *(count or "" for count in (each.reads, each.writes, each.errors)),
        )
    tables.show(table)


def _counts(what: str, counts: dict[str, int]) -> list[str]:
    often = nlargest(_MOST_SHOWN, counts, key=lambda text: counts[text])
    found = [f"{counts[text]} × {text}" for text in often]
    if rest := len(counts) - len(found):
        found.append(f"{rest} others")
    return [f"{what}: {'; '.join(found)}"] if found else []
