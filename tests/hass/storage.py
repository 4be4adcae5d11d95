"""The files with which Home Assistant starts as if a person had set it up.

There is an owner with a long-lived access token, MQTT is set up with a broker, and nothing waits to
be confirmed. The layouts are those that Home Assistant 2026.11 writes to ``.storage`` itself.
"""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.mosquitto import HOST

_CONFIGURATION = """\
homeassistant:
  name: Home
  unit_system: metric
  time_zone: UTC
  latitude: 51.0
  longitude: 7.0
logger:
  default: warning
{more}
"""
# Each state is in the database one second later, so that a test need not wait for it.
_RECORDER = """\
recorder:
  commit_interval: 1
history:
"""

_OWNER, _TOKEN = "1" * 32, "2" * 32
_KEY = "a key that signs tokens of this test only"
_YEARS_S = 10 * 365 * 86400.0


def seed(folder: Path, port: int, broker: int, *, recorder: bool) -> str:
    """Write the files of a new installation, and return an access token of its owner.

    Args:
        folder: Home Assistant's configuration folder.
        port: where it is to listen.
        broker: the MQTT broker's port on this machine.
        recorder: whether it keeps states and statistics, in SQLite.
    """
    more = _RECORDER if recorder else ""
    (folder / "configuration.yaml").write_text(_CONFIGURATION.format(more=more))
    storage = folder / ".storage"
    storage.mkdir()
    now = datetime.now(UTC).isoformat()
    for key, version, minor, data in (
        ("auth", 1, 1, _auth(now)),
        ("onboarding", 4, 1, {"done": ["user", "core_config", "analytics", "integration"]}),
        ("core.config_entries", 1, 5, {"entries": [_mqtt(now, broker)]}),
        ("http", 3, 1, _http(now, port)),
    ):
        document = {"version": version, "minor_version": minor, "key": key, "data": data}
        (storage / key).write_text(json.dumps(document))
    return _access_token()


def _auth(now: str) -> dict[str, Any]:
    owner = {
        "id": _OWNER,
        "name": "Owner",
        "group_ids": ["system-admin"],
        "is_owner": True,
        "is_active": True,
        "system_generated": False,
        "local_only": False,
    }
    token = {
        "id": _TOKEN,
        "user_id": _OWNER,
        "token_type": "long_lived_access_token",
        "client_id": None,
        "client_name": "tests",
        "client_icon": None,
        "created_at": now,
        "access_token_expiration": _YEARS_S,
        "token": "3" * 128,
        "jwt_key": _KEY,
        "last_used_at": None,
        "last_used_ip": None,
        "expire_at": None,
        "credential_id": None,
        "version": None,
    }
    group = {"id": "system-admin", "name": "Administrators"}
    return {"users": [owner], "groups": [group], "credentials": [], "refresh_tokens": [token]}


def _mqtt(now: str, broker: int) -> dict[str, Any]:
    return {
        "entry_id": "01HEALTHDTESTS00000000MQTT",
        "domain": "mqtt",
        "title": "Broker",
        "unique_id": None,
        "version": 2,
        "minor_version": 1,
        "source": "user",
        "data": {"broker": HOST, "port": broker, "protocol": "5"},
        "options": {},
        "subentries": [],
        "discovery_keys": {},
        "disabled_by": None,
        "pref_disable_new_entities": False,
        "pref_disable_polling": False,
        "created_at": now,
        "modified_at": now,
    }


def _http(now: str, port: int) -> dict[str, Any]:
    # By default it would listen on all addresses of this machine.
    stable = {
        "server_host": [HOST],
        "server_port": port,
        "cors_allowed_origins": [],
        "login_attempts_threshold": -1,
        "ip_ban_enabled": False,
        "ssl_profile": "intermediate_v6",
        "use_x_frame_options": True,
        "created_at": now,
        "error": None,
        "error_message": None,
    }
    return {"stable": stable, "pending": None, "yaml_migration_done": True}


def _access_token() -> str:
    """Return a JSON Web Token (RFC 7519) of the long-lived token above."""
    issued = int(time.time())
    header = {"alg": "HS256", "typ": "JWT"}
    claims = {"iss": _TOKEN, "iat": issued, "exp": issued + int(_YEARS_S)}
    signed = b".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
    signature = hmac.new(_KEY.encode(), signed, hashlib.sha256).digest()
    return b".".join((signed, _base64(signature))).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
