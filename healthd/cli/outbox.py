"""``healthd outbox``: show the samples waiting on disk, without disturbing the daemon."""

import os
import sqlite3
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

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
        directory = read(config, os.environ, registry.load().profiles).outbox.directory
    path = state_folder(directory, os.environ) / STORE_NAME
    try:
        report = _report(path)
    except OtherVersion as other:
        found = f"{path}: {other}; healthd sets it aside at its next start"
        print(found, file=sys.stderr)  # noqa: T201
        return EXIT_FAILED
    except NotAFile as error:
        print(f"{error}; move it away, healthd then creates a new one", file=sys.stderr)  # noqa: T201
        return EXIT_FAILED
    except FileNotFoundError:
        print(f"{path}: no such file, expected an outbox of healthd", file=sys.stderr)  # noqa: T201
        return EXIT_FAILED
    except (sqlite3.Error, OSError) as error:
        print(f"{path}: {error}, expected an outbox of healthd", file=sys.stderr)  # noqa: T201
        return EXIT_FAILED
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(report, option=orjson.OPT_APPEND_NEWLINE))
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
    console = Console()
    age = "" if report["age_s"] is None else f", the oldest is {report['age_s']} s old"
    console.print(Text(f"{report['file']}: {report['samples']} samples waiting{age}"))
    if report["streams"]:
        table = Table("peripheral", "stream", "samples", "payload bytes", "oldest")
        for stream in report["streams"]:
            cells = (stream["peripheral"] or "(gateway)", stream["stream"], stream["count"])
            table.add_row(*map(_cell, (*cells, stream["payload_bytes"], stream["oldest"])))
        console.print(table)
    for topic in report["parked"]:
        console.print(Text(f"refused by the broker: {topic['topic']} ({topic['reason']})"))
    for name in report["set_aside"]:
        console.print(Text(f"set aside, not delivered: {name}"))


def _cell(value: object) -> Text:
    return Text(str(value))
