"""mosquitto as config/broker sets it up, with the real command and the real files."""

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
    """The files of a machine with healthd installed, for ``config/broker``.

    Attributes:
        root: the prefix of every path.
        passwords: the passwords that were shown, by user.
        environ: added to the command's environment.
    """

    def __init__(self, root: Path) -> None:
        """Make the files, with healthd's settings as installed, unless they exist."""
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
        """Return a copy of the machine."""
        shutil.copytree(self.root, root)
        copy = Machine(root)
        copy.passwords |= self.passwords
        return copy

    def broker(self, *arguments: str) -> str:
        """Run ``config/broker`` successfully, and return its output."""
        code, output = self.tried(*arguments)
        assert code == 0, output
        shown = re.findall(r"password of (\S+), shown only once: (\S+)", output)
        found: dict[str, str] = dict(shown)
        self.passwords |= found
        return output

    def tried(self, *arguments: str) -> tuple[int, str]:
        """Run ``config/broker``; return its exit code and its output."""
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
        """Return content, mode and modification time of each file."""
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
    """The mosquitto of such a machine, on its own ports.

    Attributes:
        machine: the machine.
        port: the port of the plain listener.
        tls_port: the port of the listener with TLS.
        certificate_port: the port of the listener for client certificates, if it is enabled.
    """

    def __init__(self, machine: Machine) -> None:
        """Prepare it, after ``config/broker setup``."""
        super().__init__(machine.root)
        self.machine = machine
        self.tls_port, self.certificate_port = free_port(), free_port()

    def configure(self) -> None:
        """Use the installed configuration, with the paths and ports of this test."""
        text = (self.machine.mosquitto / "conf.d/healthd.conf").read_text()
        for default, port in ((1883, self.port), (8883, self.tls_port)):
            assert f"\nlistener {default}" in text
            text = text.replace(f"\nlistener {default}", f"\nlistener {port}")
        text = text.replace("\nlistener 8884", f"\nlistener {self.certificate_port}")
        text = text.replace("/etc/mosquitto/", f"{self.machine.mosquitto}/")
        # As in Debian's own file.
        text += f"persistence_location {self.machine.root}/\n{_LOG}"
        if os.geteuid() == 0:
            # As another user mosquitto could not read the folder of the test.
            text += "user root\n"
        self._config.write_text(text)

    async def start(self) -> None:
        """Start it."""
        self.configure()
        await super().start()

    async def broker(self, *arguments: str) -> str:
        """Run ``config/broker``, and reload mosquitto, which systemd does otherwise."""
        output = self.machine.broker(*arguments)
        await self.reload()
        return output

    def endpoint(self, user: str | None, version: str = "5") -> Endpoint:
        """Return the endpoint of this user, over TLS with its password."""
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
        """Return the password of this user."""
        if user == OWN_ID:
            return self.machine.own_password.read_text().strip()
        return self.machine.passwords[user]

    def subscriber(self, user: str, topic_filter: str = "#") -> Subscriber:
        """Return a subscriber for this user, over the plain listener."""
        return Subscriber(
            self.port,
            topic_filter,
            username=user,
            password=self.password(user),
            name=f"subscriber-{user}",
        )
