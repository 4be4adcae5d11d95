"""Lines of ``healthd decode --advertisement``, often pasted from elsewhere."""

from collections.abc import Iterable
from io import StringIO

import orjson

from healthd.cli.decode_advertisement import decode_advertisements
from healthd.errors import DecodeError
from healthd.profiles.advertisement import advertised
from tests.fuzz import target


class Target(target.Target):
    """Bytes: an advertisement; as text: lines of input."""

    words = (
        b"\x03\x16\xd2\xfc",
        b"\x05\xff\x57\x01",
        b"020106",
        b"0a16d2fc40",
        b"service_data_181d ",
        b"manufacturer_data_a3c0 ",
        b"\n",
        b"0x",
        b"-",
    )

    def seeds(self) -> Iterable[bytes]:
        """Yield an advertisement, and lines."""
        yield bytes.fromhex("020106 0b094449592d73656e736f72 0a16d2fc4002c40903bf13")
        yield b"020106 0a16d2fc4002c40903bf13\n1d18223e30e607020e10293a\n"
        yield b"service_data_181d 223e30e607020e10293a\n181d 00\n\n"

    def fuzz(self, data: bytes) -> None:
        """Take it apart; and answer each line, in JSON."""
        try:
            found = advertised(data)
        except DecodeError:
            pass
        else:
            assert sum(len(value) for _, value in found.data) <= len(data)
        text = data.decode("utf-8", "replace")
        answers: list[object] = []
        decode_advertisements((), StringIO(text, newline="\n"), answers.append)
        assert len(answers) == len(list(StringIO(text, newline="\n")))
        orjson.dumps(answers)
