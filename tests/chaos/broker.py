"""mosquitto with passwords and access rights that can be changed while it runs."""

import signal
from pathlib import Path

from tests.chaos.ledger import GATEWAY
from tests.support.mosquitto import Mosquitto, password_file

GATEWAY_USER, GATEWAY_PASSWORD = "gateway", "right"
LISTENER_USER, LISTENER_PASSWORD = "listener", "listening"

_OPTIONS = """\
allow_anonymous false
password_file {passwords}
acl_file {rights}
# Otherwise every packet is logged: hundreds of thousands of lines in a long run.
log_type none
log_type error
log_type warning
log_type notice
log_type information
"""
# As in config/mosquitto.conf: a kill loses at most the last second of the queued messages.
_PERSISTENT = """
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes true
"""


class Broker(Mosquitto):
    """A broker that can reject and accept again the gateway's password and topics."""

    def __init__(self, folder: Path, *, persistent: bool = False, options: str = "") -> None:
        """Write the configuration; ``options`` are additional lines."""
        self._folder = folder
        self._rights = folder / "rights"
        folder.mkdir(exist_ok=True)
        self._set_password(GATEWAY_PASSWORD)
        self._deny()
        self._limit = ""
        passwords = folder / "passwords"
        config = _OPTIONS.format(passwords=passwords, rights=self._rights) + options
        super().__init__(folder, config + (_PERSISTENT.format(folder=folder) if persistent else ""))

    @property
    def is_running(self) -> bool:
        return self._process is not None

    async def change_password(self, password: str) -> None:
        """Accept the gateway with this password only; existing connections stay open."""
        self._set_password(password)
        await self._reload()

    async def deny(self, *topics: str) -> None:
        """Do not let the gateway publish to these topics; allow all others."""
        self._deny(*topics)
        await self._reload()

    async def limit(self, payload_bytes: int) -> None:
        """Refuse longer payloads; 0 for no limit."""
        config = self._config.read_text().removesuffix(self._limit)
        self._limit = f"\nmessage_size_limit {payload_bytes}\n"
        self._config.write_text(config + self._limit)
        await self._reload()

    async def _reload(self) -> None:
        known = len(self.log)
        self._running.send_signal(signal.SIGHUP)
        await self.logged("Reloading config", since=known)

    def _set_password(self, password: str) -> None:
        users = {GATEWAY_USER: password, LISTENER_USER: LISTENER_PASSWORD}
        password_file(self._folder, users)

    def _deny(self, *topics: str) -> None:
        denied = "".join(f"topic deny {topic}\n" for topic in topics)
        self._rights.write_text(
            f"user {GATEWAY_USER}\n{denied}topic write healthd/{GATEWAY}/#\n"
            f"user {LISTENER_USER}\ntopic read #\n"
        )
        # mosquitto warns if other users can read the file.
        self._rights.chmod(0o600)
