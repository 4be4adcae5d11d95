"""The settings file: any bytes are settings, or a SettingsError that names the problems."""

from collections.abc import Iterable
from pathlib import Path

from healthd.profiles.registry import load
from healthd.settings.file import read
from healthd.settings.problems import SettingsError
from tests.fuzz import target

_EXAMPLE = Path(__file__).parents[3] / "config/healthd.toml"


class Target(target.Target):
    """The input is the file."""

    words = (
        *(b"[gateway]\n", b"[mqtt]\n", b"[outbox]\n", b"[[peripherals]]\n", b"[[people]]\n"),
        *(
            b"id = ",
            b'brokers = ["localhost"]\n',
            b'max_size = "256MB"\n',
            b'"""',
            b"'''",
            b"\\u",
            b"[[",
            b"]]",
        ),
        *(
            b"inf",
            b"nan",
            b"1979-05-27T07:32:00Z",
            b"0xff",
            b"1_000",
            b"true",
            b"{a = 1}",
            b"\xef\xbb\xbf",
        ),
    )

    def __init__(self) -> None:
        """Make a folder."""
        self._temporary = target.folder()
        self._folder = Path(self._temporary.name)
        self._services = load().profiles

    def seeds(self) -> Iterable[bytes]:
        """Yield the example with and without its comment signs, and one of each table."""
        text = _EXAMPLE.read_text()
        yield text.encode()
        yield "\n".join(
            line.removeprefix("# ").removeprefix("#") for line in text.splitlines()
        ).encode()
        yield (
            b'[gateway]\nid = "g"\n[mqtt]\nbrokers = ["localhost"]\n'
            b'[[peripherals]]\nid = "a"\nname = "A*"\n'
        )
        yield (
            b'[[peripherals]]\nid = "a"\naddress = "C0:00:00:00:00:01"\n'
            b'every = ["08:00"]\npair = true\n'
        )
        yield b'[[peripherals]]\nid = "a"\nname = "A*"\nconnect = false\nbind_key_file = "k"\n'
        yield b'[[people]]\nid = "a"\nweight_kg = 70\n[[people]]\nid = "b"\nusers = {scale = 1}\n'

    def fuzz(self, data: bytes) -> None:
        """Read them; each problem can be printed."""
        file = self._folder / "healthd.toml"
        file.write_bytes(data)
        try:
            read(file, {}, self._services)
        except SettingsError as error:
            assert str(error)
            str(error).encode()

    def __exit__(self, *exception: object) -> None:
        """Remove the folder."""
        self._temporary.cleanup()
