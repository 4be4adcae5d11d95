"""mosquitto as config/ sets it up: the command really run, its files really used."""

import os
import re
import secrets
import shutil
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from healthd.mqtt.endpoints import Endpoint
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.restartable import PATH
from tests.support.subscriber import Subscriber

CONFIG = Path(__file__).parents[2] / "config"
OWN_ID = "living-room"  # of config/healthd.toml

needs_broker_command = pytest.mark.skipif(
    not all(shutil.which(tool, path=PATH) for tool in ("mosquitto_passwd", "openssl")),
    reason="NOT TESTED: no mosquitto or openssl on this machine; apt-get install mosquitto openssl",
)

_LOG = "log_dest stderr\nlog_type all\nconnection_messages true\n"


class Machine:
    """The files of a machine with a healthd, for ``config/broker``.

    Attributes:
        root: what stands before every path.
        passwords: that were shown, by user.
        environ: laid over the command's environment.
    """

    def __init__(self, root: Path) -> None:
        """Make it, with healthd's settings as they are installed, unless it is there."""
        self.root = root
        self.passwords: dict[str, str] = {}
        self.environ: dict[str, str] = {}
        self.healthd = root / "etc/healthd"
        if not self.healthd.exists():
            self.healthd.mkdir(parents=True)
            shutil.copy(CONFIG / "healthd.toml", self.healthd)
        self.mosquitto = root / "etc/mosquitto"
        self.ca = root / "etc/healthd-ca"
        self.trusted = self.mosquitto / "ca_certificates/healthd.crt"
        self.pem = self.mosquitto / "certs/healthd.pem"

    def copy(self, root: Path) -> "Machine":
        """One like it."""
        shutil.copytree(self.root, root)
        copy = Machine(root)
        copy.passwords |= self.passwords
        return copy

    def broker(self, *arguments: str) -> str:
        """Call ``config/broker``; what it says."""
        code, said = self.tried(*arguments)
        assert code == 0, said
        found: dict[str, str] = dict(re.findall(r"password of (\S+), shown only once: (\S+)", said))
        self.passwords |= found
        return said

    def tried(self, *arguments: str) -> tuple[int, str]:
        """Call ``config/broker``; its exit code, and what it says."""
        done = subprocess.run(
            [CONFIG / "broker", *arguments],
            env={**os.environ, "PATH": PATH, "DESTDIR": str(self.root), **self.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.replace(str(self.root), "")

    def files(self) -> Mapping[str, tuple[bytes, int, int]]:
        """Content, mode and time of change of each file."""
        return {
            str(path.relative_to(self.root)): (
                path.read_bytes(),
                path.stat().st_mode,
                path.stat().st_mtime_ns,
            )
            for path in self.root.rglob("*")
            if path.is_file()
        }

    @property
    def own_password(self) -> Path:
        """The file with the password of this machine's gateway."""
        return self.healthd / "mqtt-password"


class Shipped(Mosquitto):
    """The mosquitto of such a machine, on ports of its own.

    Attributes:
        machine: whose.
        port: of this machine's plain listener.
        tls_port: of that with TLS.
        certificate_port: of that for certificates, where it is switched on.
    """

    def __init__(self, machine: Machine) -> None:
        """Prepare it, after ``config/broker setup``."""
        super().__init__(machine.root)
        self.machine = machine
        self.tls_port, self.certificate_port = free_port(), free_port()

    def configure(self) -> None:
        """Take what is installed, with paths and ports that a test may have."""
        text = (self.machine.mosquitto / "conf.d/healthd.conf").read_text()
        for default, port in ((1883, self.port), (8883, self.tls_port)):
            assert f"\nlistener {default}" in text
            text = text.replace(f"\nlistener {default}", f"\nlistener {port}")
        text = text.replace("\nlistener 8884", f"\nlistener {self.certificate_port}")
        text = text.replace("/etc/mosquitto/", f"{self.machine.mosquitto}/")
        # What Debian's own file says.
        text += f"persistence_location {self.machine.root}/\n{_LOG}"
        if os.geteuid() == 0:
            # As another user it could not read the test's folder.
            text += "user root\n"
        self._config.write_text(text)

    async def start(self) -> None:
        """Start it."""
        self.configure()
        await super().start()

    async def broker(self, *arguments: str) -> str:
        """Call ``config/broker``, and do what it has systemd do."""
        said = self.machine.broker(*arguments)
        await self.reload()
        return said

    def endpoint(self, user: str | None, version: str = "5") -> Endpoint:
        """For a client over TLS with the password that this user was given."""
        return Endpoint(
            host="localhost",
            port=self.tls_port,
            version=version,
            client_id=f"client-{secrets.token_hex(4)}",
            username=user,
            password=None if user is None else self.password(user),
            tls=ssl.create_default_context(cafile=self.machine.trusted),
        )

    def password(self, user: str) -> str:
        """What this user was given."""
        if user == OWN_ID:
            return self.machine.own_password.read_text().strip()
        return self.machine.passwords[user]

    def subscriber(self, user: str, topic_filter: str = "#") -> Subscriber:
        """This user, over the plain listener."""
        return Subscriber(
            self.port,
            topic_filter,
            username=user,
            password=self.password(user),
            name=f"subscriber-{user}",
        )
