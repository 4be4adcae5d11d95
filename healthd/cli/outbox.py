"""``healthd outbox``: show the samples waiting on disk, without disturbing the daemon."""

import os
import sqlite3
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from healthd.cli import console, tables
from healthd.cli.run import EXIT_FAILED
from healthd.host.folders import state_folder
from healthd.outbox.database import NotAFile, open_read_only
from healthd.outbox.outbox import STORE_NAME
from healthd.outbox.set_aside import files_set_aside
from healthd.outbox.tally import read_stats
from healthd.outbox.version import OtherVersion
from healthd.profiles import registry
from healthd.samples import utc_text
from healthd.settings.file import read


def main(config: Path | None, directory: Path | None, as_json: bool) -> int:
    """Show count, age and bytes by stream, and the topics that the broker refuses.

    Samples of the last two seconds are only in the daemon's memory; its ``health`` topic counts
    them.

    Args:
        config: settings that name the outbox's folder.
        directory: the outbox's folder; overrides the settings.
        as_json: print one JSON object instead of a table.

    Returns:
        The exit code: 0, 1 there is no outbox, it cannot be read, or is of another version.

    Raises:
        Fatal: bad settings.
    """
    if directory is None and config is not None:
        directory = read(config, os.environ, registry.load().listed).outbox.directory
    path = state_folder(directory, os.environ) / STORE_NAME
    try:
        report = _report(path)
    except OtherVersion as other:
        found = f"{path}: {other}; healthd sets it aside at its next start"
        console.complain(found)
        return EXIT_FAILED
    except NotAFile as error:
        console.complain(f"{error}; move it away, healthd then creates a new one")
        return EXIT_FAILED
    except FileNotFoundError:
        console.complain(f"{path}: no such file, expected an outbox of healthd")
        return EXIT_FAILED
    except (sqlite3.Error, OSError) as error:
        console.complain(f"{path}: {error}, expected an outbox of healthd")
        return EXIT_FAILED
    if as_json:
        console.say_json(report)
    else:
        _show(report)
    return 0


def _report(path: Path) -> dict[str, Any]:
    db = open_read_only(path)
    try:
        stats = read_stats(db)
        parked = db.execute("SELECT topic, since_ns, reason FROM parked ORDER BY topic").fetchall()
    finally:
        db.close()
    oldest_ns = min((stream.oldest_ns for stream in stats), default=None)
    return {
        "file": str(path),
        "file_bytes": path.stat().st_size,
        "samples": sum(stream.count for stream in stats),
        "payload_bytes": sum(stream.payload_bytes for stream in stats),
        "age_s": None if oldest_ns is None else round((time.time_ns() - oldest_ns) / 1e9, 1),
        "streams": [{**asdict(stream), "oldest": utc_text(stream.oldest_ns)} for stream in stats],
        "parked": [
            {"topic": topic, "since": utc_text(since_ns), "reason": reason}
            for topic, since_ns, reason in parked
            # A damaged row may have anything; healthd removes it at its next start.
            if tuple(map(type, (topic, since_ns, reason))) == (str, int, str)
        ],
        "set_aside": [file.name for file in files_set_aside(path)],
    }


def _show(report: dict[str, Any]) -> None:
    age = "" if report["age_s"] is None else f", the oldest is {report['age_s']} s old"
    tables.show(tables.line(f"{report['file']}: {report['samples']} samples waiting{age}"))
    if report["streams"]:
        table = tables.table("peripheral", "stream", "samples", "payload bytes", "oldest")
        for stream in report["streams"]:
            cells = (stream["peripheral"] or "(gateway)", stream["stream"], stream["count"])
            tables.add_row(table, *cells, stream["payload_bytes"], stream["oldest"])
        tables.show(table)
    for topic in report["parked"]:
        tables.show(tables.line(f"refused by the broker: {topic['topic']} ({topic['reason']})"))
    for name in report["set_aside"]:
        tables.show(tables.line(f"set aside, not delivered: {name}"))
