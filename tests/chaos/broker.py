"""mosquitto with users and rights that can be changed while it runs."""

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
# Every packet is logged otherwise: hundreds of thousands of lines in a long run.
log_type none
log_type error
log_type warning
log_type notice
log_type information
"""
# As shipped in config/mosquitto.conf: what it holds survives a kill, up to a second of it.
_PERSISTENT = """
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes true
"""


class Broker(Mosquitto):
    """One broker whose gateway may lose and regain its password and its rights.

    Attributes:
        passwords: a file with the gateway's right password.
    """

    def __init__(self, folder: Path, *, persistent: bool = False, options: str = "") -> None:
        """Prepare; ``options`` are further lines of its configuration."""
        self._folder = folder
        self._rights = folder / "rights"
        folder.mkdir(exist_ok=True)
        self._set_password(GATEWAY_PASSWORD)
        self._deny()
        self._limit = ""
        passwords = folder / "passwords"
        every = _OPTIONS.format(passwords=passwords, rights=self._rights) + options
        super().__init__(folder, every + (_PERSISTENT.format(folder=folder) if persistent else ""))

    @property
    def is_running(self) -> bool:
        return self._process is not None

    async def change_password(self, password: str) -> None:
        """From now on the gateway is let in with this password only; who is in stays in."""
        self._set_password(password)
        await self._reload()

    async def deny(self, *topics: str) -> None:
        """From now on the gateway may not publish to these topics, and to all others."""
        self._deny(*topics)
        await self._reload()

    async def limit(self, payload_bytes: int) -> None:
        """From now on longer payloads are refused; 0: none."""
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
        # mosquitto warns of rights that others may read.
        self._rights.chmod(0o600)
