"""The version of the outbox's file: which files healthd can use, and the upgrade of older ones."""

import sqlite3
from contextlib import closing, suppress

from healthd.outbox.schema import COUNTING, TABLES, VERSION

# Tables that come and go: SQLite's own, and the claim on the disk's space.
_OTHERS = ("sqlite_%", "filler")


class OtherVersion(Exception):
    """The file is intact, but was not written by this version of healthd.

    Attributes:
        label: a part of the name under which the file is set aside.
    """

    def __init__(self, label: str, found: str) -> None:
        """Say what was found, such as ``version 7``."""
        super().__init__(f"{found}, expected an outbox of version {VERSION} or older")
        self.label = label


def check_version(db: sqlite3.Connection) -> None:
    """Check that the file is empty or has the tables of a version that can be used; only reads.

    Raises:
        OtherVersion: it is not.
        sqlite3.DatabaseError: it cannot be read.
    """
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if not 0 <= version <= VERSION:
        raise OtherVersion(f"version-{version}", f"version {version}")
    found = _columns(db)
    with closing(sqlite3.connect(":memory:")) as model:
        model.executescript(TABLES)
        expected = _columns(model)
    if not found and not version:
        return
    if unknown := sorted(found.keys() - expected.keys()):
        raise OtherVersion("unknown", f"unknown table {', '.join(unknown)}")
    required = expected.keys() if version else {"pending"}
    if missing := sorted(required - found.keys()):
        raise OtherVersion("unknown", f"no table {', '.join(missing)}")
    for table, columns in found.items():
        if columns != expected[table]:
            raise OtherVersion("unknown", f"unknown columns in table {table}")


def upgrade(db: sqlite3.Connection) -> None:
    """Give an empty or older file the tables of this version, in one transaction.

    Raises:
        sqlite3.OperationalError: there is no room, or the disk fails; nothing was changed.
    """
    if db.execute("PRAGMA user_version").fetchone()[0]:
        return
    fresh = not _columns(db)
    version = VERSION if fresh else COUNTING
    try:
        db.executescript(f"BEGIN IMMEDIATE; {TABLES}; PRAGMA user_version={version}; COMMIT")
    except BaseException:
        # On a full disk SQLite has already rolled back, and a second rollback fails.
        with suppress(sqlite3.OperationalError):
            db.execute("ROLLBACK")
        raise


def is_counted(db: sqlite3.Connection) -> bool:
    """Return whether table ``tally`` is complete; only reads."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version == VERSION


def mark_counted(db: sqlite3.Connection) -> None:
    """Note that table ``tally`` is complete."""
    db.execute(f"PRAGMA user_version={VERSION}")


def _columns(db: sqlite3.Connection) -> dict[str, list[tuple[str, str]]]:
    """Return name and type of every column of the outbox's own tables."""
    hidden = " AND ".join(f"t.name NOT LIKE '{pattern}'" for pattern in _OTHERS)
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, name, kind in db.execute(
        "SELECT t.name, c.name, c.type FROM sqlite_schema t JOIN pragma_table_info(t.name) c"
        f" WHERE t.type = 'table' AND {hidden} ORDER BY t.name, c.cid"
    ):
        columns.setdefault(table, []).append((name, kind))
    return columns
