"""A real WebSocket server with the rules of Home Assistant's recorder, as measured on 2026.11.0.

It accepts what Home Assistant accepts, even if that does harm: ``harmed`` has the hours that all
sensors would lose. As there, the answer to an import comes before the import.
"""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

HOST = "127.0.0.1"
BOUND_S = 30.0
TOKEN = "token-of-an-administrator"

# Home Assistant compiles an hour within the five minutes and some seconds after its end.
_COMPILED_S = 315

_OWN_ID = re.compile(r"(?!.+__)(?!_)[\da-z_]+(?<!_):(?!_)[\da-z_]+(?<!_)")
_ENTITY_ID = re.compile(r"[a-z_]+\.[\da-z_]+")
_REQUIRED = {"has_sum", "name", "source", "statistic_id", "unit_of_measurement"}

# Some units of each class (util/unit_conversion.py).
_CLASSES = {
    "blood_glucose_concentration": {"mmol/L", "mg/dL"},
    "distance": {"m", "km", "mi"},
    "duration": {"s", "ms", "min", "h"},
    "energy": {"kJ", "kcal", "kWh"},
    "mass": {"kg", "g", "mg", "lb"},
    "power": {"W", "kW"},
    "pressure": {"hPa", "mmHg"},
    "speed": {"m/s", "km/h", "mph"},
    "temperature": {"°C", "°F"},
}

Row = dict[str, float | None]


class Refused(Exception):
    """A command that is refused; its arguments are the code and the message."""


class HassStatistics:
    """The server; an async context manager.

    Attributes:
        now: its clock, in seconds since 1970; None: the real one.
        metadata: what it knows about statistics, by their id.
        rows: their hours, by their start.
        registry: rows of the entity registry.
        imports: the messages that asked for an import.
        connections: how many clients have logged in.
        harmed: hours that were imported too early.
        warnings: what its log would have.
        recording: whether the recorder runs.
        job_s: how long an import waits in the recorder's queue.
    """

    def __init__(self, now: float | None = None) -> None:
        """Start without statistics."""
        self.now = now
        self.metadata: dict[str, dict[str, Any]] = {}
        self.rows: dict[str, dict[int, Row]] = {}
        self.registry: list[dict[str, Any]] = []
        self.imports: list[dict[str, Any]] = []
        self.connections = 0
        self.harmed: list[int] = []
        self.warnings: list[str] = []
        self.recording = True
        self.job_s = 0.05
        self._jobs: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Its address, as in the settings."""
        assert self._server is not None
        (socket,) = self._server.sockets
        return f"http://{HOST}:{socket.getsockname()[1]}"

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await serve(self._client, HOST, 0)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections."""
        assert self._server is not None
        for job in self._jobs:
            job.cancel()
        self._server.close()
        await self._server.wait_closed()

    def record(
        self, entity: str, unit: str, rows: Mapping[int, Row], unit_class: str | None = None
    ) -> None:
        """Have statistics of an entity that it recorded itself."""
        self.metadata[entity] = {
            "mean_type": 1,
            "has_sum": False,
            "name": None,
            "source": "recorder",
            "unit_class": unit_class,
            "unit_of_measurement": unit,
        }
        self.rows[entity] = dict(rows)

    async def has(self, rows: Mapping[str, Mapping[int, Row]]) -> None:
        """Wait until it has these statistics and no others."""
        try:
            async with asyncio.timeout(BOUND_S), self._changed:
                await self._changed.wait_for(lambda: self.rows == rows)
        except TimeoutError:
            pass
        assert self.rows == rows

    async def _client(self, connection: ServerConnection) -> None:
        try:
            await connection.send('{"type": "auth_required", "ha_version": "2026.11.0"}')
            login = json.loads(await connection.recv())
            if login != {"type": "auth", "access_token": TOKEN}:
                invalid = "Invalid access token or password"
                await connection.send(json.dumps({"type": "auth_invalid", "message": invalid}))
                return
            self.connections += 1
            await connection.send('{"type": "auth_ok", "ha_version": "2026.11.0"}')
            async for text in connection:
                message = json.loads(text)
                for answer in self._answers(message):
                    await connection.send(json.dumps({"id": message["id"], **answer}))
        except ConnectionClosed:
            pass

    def _answers(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        command = message["type"]
        try:
            result = self._result(command, message)
        except Refused as error:
            code, text = error.args
            failure = {"code": code, "message": text}
            return [{"type": "result", "success": False, "error": failure}]
        answers: list[dict[str, Any]] = [{"type": "result", "success": True, "result": result}]
        if command == "render_template":
            assert message["template"] == "{{ utcnow().isoformat() }}"
            now = datetime.fromtimestamp(self._time(), UTC).isoformat()
            answers.append({"type": "event", "event": {"result": now, "listeners": {}}})
        return answers

    def _time(self) -> float:
        return time.time() if self.now is None else self.now

    def _result(self, command: str, message: dict[str, Any]) -> Any:
        match command:
            case "render_template" | "unsubscribe_events":
                return None
            case "config/entity_registry/list":
                return self.registry
            case "recorder/info":
                return {"thread_running": self.recording, "migration_in_progress": False}
            case "recorder/get_statistics_metadata":
                return [
                    self._described(one) for one in message["statistic_ids"] if one in self.rows
                ]
            case "recorder/statistics_during_period":
                return self._during(message)
            case "recorder/import_statistics":
                return self._import(message)
            case _:
                raise Refused("unknown_command", "Unknown command.")

    def _described(self, statistic_id: str) -> dict[str, Any]:
        known = dict(self.metadata[statistic_id])
        unit = known.pop("unit_of_measurement")
        return {"statistic_id": statistic_id, "statistics_unit_of_measurement": unit, **known}

    def _during(self, message: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
        first, last = (
            datetime.fromisoformat(message[key]).timestamp() for key in ("start_time", "end_time")
        )
        (statistic_id,) = message["statistic_ids"]
        if known := self.metadata.get(statistic_id):
            # Only in the unit in which they are kept do values arrive as they are.
            unit_class, unit = known["unit_class"], known["unit_of_measurement"]
            assert message["units"] == ({} if unit_class is None else {unit_class: unit})
        found = [
            {"start": hour * 1000, "end": (hour + 3600) * 1000, **row}
            for hour, row in sorted(self.rows.get(statistic_id, {}).items())
            if first <= hour < last
        ]
        return {statistic_id: found} if found else {}

    def _import(self, message: dict[str, Any]) -> None:
        self.imports.append(message)
        metadata, stats = message["metadata"], message["stats"]
        if missing := _REQUIRED - metadata.keys():
            raise Refused("invalid_format", f"required key not provided @ {sorted(missing)}")
        self.warnings += [key for key in ("mean_type", "unit_class") if key not in metadata]
        self._check(metadata)
        hours: dict[int, Row] = {}
        for row in stats:
            start = _parsed(row)
            hours[int(start.timestamp())] = {key: row.get(key) for key in ("mean", "min", "max")}
        self.harmed += [hour for hour in hours if hour + 3600 + _COMPILED_S > self._time()]
        job = asyncio.get_running_loop().create_task(self._run_job(metadata, hours))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    def _check(self, metadata: dict[str, Any]) -> None:
        statistic_id, source = metadata["statistic_id"], metadata["source"]
        if _ENTITY_ID.fullmatch(statistic_id):
            expected = "recorder"
        elif _OWN_ID.fullmatch(statistic_id):
            expected = statistic_id.partition(":")[0]
        else:
            raise Refused("home_assistant_error", "Invalid statistic_id")
        if source != expected:
            raise Refused("home_assistant_error", "Invalid source")
        unit_class, unit = metadata.get("unit_class"), metadata["unit_of_measurement"]
        if unit_class is not None and unit not in _CLASSES.get(unit_class, ()):
            problem = f"Unsupported unit_of_measurement '{unit}' for unit_class '{unit_class}'"
            raise Refused("home_assistant_error", problem)

    async def _run_job(self, metadata: dict[str, Any], hours: dict[int, Row]) -> None:
        await asyncio.sleep(self.job_s)
        known = {key: metadata[key] for key in _REQUIRED - {"statistic_id"}}
        known |= {"mean_type": metadata["mean_type"], "unit_class": metadata["unit_class"]}
        self.metadata[metadata["statistic_id"]] = known
        async with self._changed:
            # The whole row: what is not sent becomes null.
            self.rows.setdefault(metadata["statistic_id"], {}).update(hours)
            self._changed.notify_all()


def _parsed(row: dict[str, Any]) -> datetime:
    start = datetime.fromisoformat(row["start"])
    if start.tzinfo is None:
        problem = "Naive timestamp: no or invalid timezone info provided"
        raise Refused("home_assistant_error", problem)
    if (start.minute, start.second, start.microsecond) != (0, 0, 0):
        problem = "Invalid timestamp: timestamps must be from the top of the hour"
        raise Refused("home_assistant_error", problem)
    if any(row.get(key, 0) is None for key in ("mean", "min", "max")):
        raise Refused("invalid_format", "expected float for dictionary value")
    return start
