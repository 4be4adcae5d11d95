"""What has been received and imported, in an SQLite file: it outlives kills and power cuts.

The samples themselves are not kept, only sums per hour, and the numbers of the samples in them:
these are consecutive, so a few ranges distinguish a repeated sample from a new one. Sums are kept
forever, because a meter may be read after a year.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from healthd.backfill.database import Database
from healthd.backfill.hours import HOUR_S, Aggregate, Values, hour_of
from healthd.backfill.reading import Reading
from healthd.backfill.series import Series, statistic_id
from healthd.log import get_logger

_ADD = """
INSERT INTO hours VALUES (:series, :start, 1, :value, :value, :value)
ON CONFLICT DO UPDATE SET count = count + 1, total = total + :value,
    least = min(least, :value), most = max(most, :value)
"""
_MARK = "INSERT OR IGNORE INTO due SELECT id, ? FROM targets WHERE series = ? AND active"

# Numbers between two samples of a run that did not arrive.
_HOLES = """
SELECT peripheral, stream, run, last + 1 AS first, next - 1 AS last FROM (
    SELECT *, lead(first) OVER (PARTITION BY peripheral, stream, run ORDER BY first) AS next
    FROM seen
) WHERE next IS NOT NULL
"""

# One list for Home Assistant: 90 kB.
_MOST_HOURS = 720


class Target(NamedTuple):
    """Statistics of Home Assistant into which a series is imported.

    Attributes:
        id: its number in the store.
        name: its statistic id.
        series: what is imported.
    """

    id: int
    name: str
    series: Series


class Store:
    """The file; one process at a time."""

    def __init__(self, file: Path, gateway: str) -> None:
        """Open the file, or create it.

        Args:
            file: its path; the folder is created.
            gateway: id of the gateway whose samples it has.

        Raises:
            Fatal: another process uses it, or a newer version has written it.
            FileUnavailable: the disk refuses it.
        """
        self._gateway = gateway
        self._ids: dict[Series, int] = {}
        self._log = get_logger(service="hass-backfill")
        self._database = Database(file)
        self._db = self._database.connection

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(self, readings: Iterable[Reading], *, durable: bool) -> int:
        """Add samples to their hours, in one transaction; repeated ones change nothing.

        Args:
            readings: the samples.
            durable: whether they must survive a power cut from now on, not only a kill.

        Returns:
            How many of them were new.
        """
        # After a rollback a series may not be in the file.
        ids = dict(self._ids)
        try:
            with self._database.transaction(durable=durable):
                return sum(self._add(reading) for reading in readings)
        except BaseException:
            self._ids = ids
            raise

    def _add(self, reading: Reading) -> bool:
        if not self._is_new(reading):
            return False
        start = hour_of(reading.at)
        for series, value in reading.values.items():
            number = self._id(series)
            self._db.execute(_ADD, {"series": number, "start": start, "value": value})
            self._db.execute(_MARK, (start, number))
        return True

    def _is_new(self, reading: Reading) -> bool:
        """Note the sample's number; return whether it is a new one."""
        seq = reading.seq
        stream = (reading.place.peripheral, reading.place.stream, reading.run)
        of_stream = "peripheral = ? AND stream = ? AND run = ?"
        before = self._db.execute(
            f"SELECT first, last FROM seen WHERE {of_stream} AND first <= ?"
            " ORDER BY first DESC LIMIT 1",
            (*stream, seq),
        ).fetchone()
        first, last = before or (seq, seq - 2)
        if seq <= last:
            return False
        if seq > last + 1:
            first = seq
        after = self._db.execute(
            f"DELETE FROM seen WHERE {of_stream} AND first = ? RETURNING last", (*stream, seq + 1)
        ).fetchone()
        end = after[0] if after else seq
        self._db.execute(
            "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)", (*stream, first, end)
        )
        return True

    def _id(self, series: Series) -> int:
        """Return the number of a series, which may be new."""
        if (known := self._ids.get(series)) is not None:
            return known
        self._db.execute(
            "INSERT OR IGNORE INTO series (peripheral, stream, key, person) VALUES (?, ?, ?, ?)",
            series,
        )
        which = "peripheral = ? AND stream = ? AND key = ? AND person = ?"
        (number,) = self._db.execute(f"SELECT id FROM series WHERE {which}", series).fetchone()
        own = statistic_id(self._gateway, series)
        self._db.execute(
            "INSERT OR IGNORE INTO targets (name, series, active) VALUES (?, ?, 1)", (own, number)
        )
        (owner,) = self._db.execute("SELECT series FROM targets WHERE name = ?", (own,)).fetchone()
        if owner != number:
            # Ids that differ in "-" and "_" only.
            self._log.warning(
                "not imported",
                statistic_id=own,
                stream=f"{series.peripheral}/{series.stream}",
                error="another peripheral has the same statistic id; give one of them another id",
            )
        self._ids[series] = number
        return number

    def set_entities(self, entities: Mapping[str, Series]) -> None:
        """Import into these entities' own statistics, and into no others."""
        with self._database.transaction(durable=True):
            self._db.execute(
                "UPDATE targets SET active = 0 WHERE name NOT LIKE 'healthd:%' AND name NOT IN"
                f" ({', '.join('?' * len(entities))})",
                tuple(entities),
            )
            for entity, series in entities.items():
                self._activate(entity, self._id(series))
            self._db.execute(
                "DELETE FROM due WHERE target IN (SELECT id FROM targets WHERE NOT active)"
            )

    def _activate(self, entity: str, series: int) -> None:
        unchanged = "SELECT 1 FROM targets WHERE name = ? AND series = ? AND active"
        if self._db.execute(unchanged, (entity, series)).fetchone():
            return
        self._db.execute(
            "INSERT INTO targets (name, series, active) VALUES (?, ?, 1)"
            " ON CONFLICT DO UPDATE SET series = excluded.series, active = 1",
            (entity, series),
        )
        self._db.execute(
            "INSERT OR IGNORE INTO due SELECT targets.id, start FROM targets JOIN hours"
            " USING (series) WHERE name = ?",
            (entity,),
        )

    def series(self) -> set[Series]:
        """Return all series that have values."""
        rows = self._db.execute("SELECT peripheral, stream, key, person FROM series")
        return {Series(*row) for row in rows}

    def targets(self, until: int) -> list[Target]:
        """Return the targets that have hours to import, up to the hour ``until``."""
        rows = self._db.execute(
            "SELECT DISTINCT targets.id, name, peripheral, stream, key, person FROM due"
            " JOIN targets ON targets.id = target JOIN series ON series.id = series"
            " WHERE start <= ? ORDER BY name",
            (until,),
        )
        return [Target(number, name, Series(*series)) for number, name, *series in rows]

    def due(self, target: Target, until: int) -> dict[int, Aggregate]:
        """Return hours to import, the oldest first, up to ``until``; all of one month at most."""
        rows = self._db.execute(
            "SELECT due.start, count, total, least, most FROM due"
            " JOIN targets ON targets.id = target JOIN hours USING (series, start)"
            " WHERE target = ? AND due.start <= ? ORDER BY due.start LIMIT ?",
            (target.id, until, _MOST_HOURS),
        ).fetchall()
        end = rows[0][0] + _MOST_HOURS * HOUR_S if rows else 0
        return {start: Aggregate(*known) for start, *known in rows if start < end}

    def sent(self, target: Target, hours: Collection[int]) -> dict[int, list[Values]]:
        """Return what was sent for these hours, from their first to their last."""
        found: dict[int, list[Values]] = {}
        rows = self._db.execute(
            "SELECT start, mean, least, most FROM sent WHERE target = ? AND start BETWEEN ? AND ?",
            (target.id, min(hours), max(hours)),
        )
        for start, *values in rows:
            found.setdefault(start, []).append(Values(*values))
        return found

    def note_sent(self, target: Target, hours: Mapping[int, Values]) -> None:
        """Note what is about to be sent."""
        with self._database.transaction(durable=True):
            self._db.executemany(
                "INSERT OR IGNORE INTO sent VALUES (?, ?, ?, ?, ?)",
                [(target.id, start, *values) for start, values in hours.items()],
            )

    def settle(
        self, target: Target, hours: Mapping[int, Aggregate], stored: Mapping[int, Values]
    ) -> None:
        """Note that these hours are done, unless they have changed meanwhile.

        Args:
            target: where they are.
            hours: what they were made of.
            stored: what Home Assistant has of them now, if it is ours.
        """
        with self._database.transaction(durable=True):
            self._db.executemany(
                "DELETE FROM sent WHERE target = ? AND start = ?"
                " AND (mean, least, most) IS NOT (?, ?, ?)",
                [(target.id, start, *values) for start, values in stored.items()],
            )
            self._db.executemany(
                "DELETE FROM due WHERE target = ? AND start = ? AND ? ="
                " (SELECT count FROM hours JOIN targets USING (series)"
                " WHERE targets.id = target AND hours.start = due.start)",
                [(target.id, start, known.samples) for start, known in hours.items()],
            )

    def missing(self, now: float, after_s: float) -> dict[tuple[str, str], int]:
        """Return how many samples have been missing for this long, by peripheral and stream.

        Each of them is returned once. Late samples arrive after newer ones, so a sample that is
        missing now may still arrive.

        Args:
            now: seconds since 1970.
            after_s: how long they have been missing.
        """
        which = "(peripheral, stream, run, first, last)"
        overdue = "NOT logged AND noticed <= ?"
        with self._database.transaction(durable=False):
            # One that has become smaller is another one.
            self._db.execute(f"DELETE FROM holes WHERE {which} NOT IN ({_HOLES})")
            self._db.execute(f"INSERT OR IGNORE INTO holes SELECT *, ?, 0 FROM ({_HOLES})", (now,))
            rows = self._db.execute(
                "SELECT peripheral, stream, sum(last - first + 1) FROM holes"
                f" WHERE {overdue} GROUP BY peripheral, stream",
                (now - after_s,),
            ).fetchall()
            self._db.execute(f"UPDATE holes SET logged = 1 WHERE {overdue}", (now - after_s,))
        return {(peripheral, stream): count for peripheral, stream, count in rows}

    def note_session(self, name: str) -> bool:
        """Note that a broker was asked to keep this session; return whether that was known."""
        with self._database.transaction(durable=True):
            done = self._db.execute("INSERT OR IGNORE INTO sessions VALUES (?)", (name,))
            return done.rowcount == 0
