"""The version of the outbox's file: which files healthd can use, and the upgrade of older ones."""

import sqlite3
import zlib
from contextlib import closing, suppress

from healthd.outbox.schema import COUNTING, TABLES, VERSION, WITHOUT_CHECKSUMS

# Tables that come and go: SQLite's own, and the claim on the disk's space.
_OTHERS = ("sqlite_%", "filler")

# The last bits of a note about the tables: how often they were changed.
_COUNTER_BITS = 12
_COUNTER = (1 << _COUNTER_BITS) - 1

# What version 3 has added.
_NEW_TABLE, _NEW_COLUMN = "salvage", ("checksum", "INTEGER")


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
        sqlite3.DatabaseError: it cannot be read, or the description of its tables is damaged.
    """
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    noted: int = db.execute("PRAGMA application_id").fetchone()[0]
    if noted and version in (COUNTING, VERSION):
        _check_note(noted, _note(db))
    _check_tables(db, version)


def _check_note(noted: int, found: int) -> None:
    # One changed letter could make SQLite read and write something else than rows. If a program has
    # changed the tables on purpose, SQLite has counted that.
    if noted >> _COUNTER_BITS != found >> _COUNTER_BITS and not (noted ^ found) & _COUNTER:
        raise sqlite3.DatabaseError("the description of the tables is damaged")


def _check_tables(db: sqlite3.Connection, version: int) -> None:
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
    required = {"pending"} if not version else expected.keys()
    if version < VERSION:
        required -= {_NEW_TABLE}
    if missing := sorted(required - found.keys()):
        raise OtherVersion("unknown", f"no table {', '.join(missing)}")
    for table, columns in found.items():
        older = version < VERSION and columns == _without_checksum(expected[table])
        if columns != expected[table] and not older:
            raise OtherVersion("unknown", f"unknown columns in table {table}")


def _without_checksum(columns: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [column for column in columns if column != _NEW_COLUMN]


def upgrade(db: sqlite3.Connection) -> None:
    """Give an empty or older file the tables of this version, in one transaction.

    It takes the same time however many rows there are: no row is rewritten.

    Raises:
        sqlite3.OperationalError: there is no room, or the disk fails; nothing was changed.
    """
    before: int = db.execute("PRAGMA user_version").fetchone()[0]
    columns = _columns(db)
    fresh = not columns
    if before == VERSION or (before == COUNTING and _NEW_TABLE in columns):
        return
    older = not fresh and _NEW_COLUMN not in columns["pending"]
    add = f"ALTER TABLE pending ADD COLUMN {' '.join(_NEW_COLUMN)};" if older else ""
    version = VERSION if fresh or before == WITHOUT_CHECKSUMS else COUNTING
    try:
        db.executescript(f"BEGIN IMMEDIATE; {add} {TABLES}; PRAGMA user_version={version}")
        note_tables(db)
        db.execute("COMMIT")
    except BaseException:
        # On a full disk SQLite has already rolled back, and a second rollback fails.
        with suppress(sqlite3.OperationalError):
            db.execute("ROLLBACK")
        raise


def is_counted(db: sqlite3.Connection) -> bool:
    """Return whether table ``tally`` is complete; only reads."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version in (WITHOUT_CHECKSUMS, VERSION)


def mark_counted(db: sqlite3.Connection) -> None:
    """Note that table ``tally`` is complete."""
    db.execute(f"PRAGMA user_version={VERSION}")


def forget_tally(db: sqlite3.Connection) -> None:
    """Have all rows counted again; call it inside a transaction."""
    db.execute("DELETE FROM tally")
    db.execute(f"PRAGMA user_version={COUNTING}")


def note_tables(db: sqlite3.Connection) -> None:
    """Note, in the file's ``application_id``, what an intact description of its tables is.

    Call it after each change of the tables.
    """
    db.execute(f"PRAGMA application_id={_note(db)}")


def _note(db: sqlite3.Connection) -> int:
    """Return a checksum of what describes the tables, and SQLite's count of the changes to it."""
    what = "type, name, rootpage, sql"
    hidden = "name NOT LIKE 'filler'"
    rows = db.execute(f"SELECT {what} FROM sqlite_schema WHERE {hidden} ORDER BY name").fetchall()
    changes: int = db.execute("PRAGMA schema_version").fetchone()[0]
    checksum = zlib.crc32(repr(rows).encode()) % (1 << 31 - _COUNTER_BITS)
    return checksum << _COUNTER_BITS | changes & _COUNTER


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
