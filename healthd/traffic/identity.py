"""What identifies a device or a person in a capture, and what stands in its place."""

import re
from collections.abc import Iterator

# No device has such an address: 00-00-5E is IANA's, for documents (RFC 7042), and in the first byte
# is the bit of addresses that were not assigned.
_PREFIX = bytes((0x02, 0x00, 0x5E, 0x10))

_SEPARATED = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{2}(?:[:_-][0-9A-Fa-f]{2}){5}(?![0-9A-Fa-f])")

# Of an address in a System ID, between maker and device (Bluetooth SIG, Device Information 1.1).
_EUI = b"\xff\xfe"
_SYSTEM_ID_BYTES, _DEVICE_BYTES = 8, 5

# A shorter text is in other values by chance.
_SHORTEST = 4

# Serial numbers are sent as four bytes, too. A smaller number is in other values by chance.
_SMALLEST_NUMBER = 1 << 20

# The serial number in a name: five digits, or a last word of hex digits. In BLEsmart_ names the
# first eight digits are the model. The rest of a name is the model, and is kept.
_DIGITS = re.compile(
    r"(?i:(?<=BLESMART_)\d{8}(?P<rest>[0-9A-F]*))"
    r"|(?<=[ _:#])(?:(?=[0-9A-Fa-f]*\d)[0-9A-Fa-f]{4,}|[A-F]{4,})(?=[*?]*$)"
    r"|(?:\d{5,}|(?=[A-Za-z]*\d+[A-Za-z]+\d)(?=(?:[A-Za-z]*\d){4})[0-9A-Za-z]{8,})"
)
_OWNER = re.compile(r"\b[^\W\d_]+(?=['\u2019]s\b)")


class Identities:
    """All replacements of one capture; the same original always has the same one."""

    def __init__(self) -> None:
        """Start without any."""
        self._addresses: dict[bytes, bytes] = {}
        self._words: dict[str, str] = {}
        self._systems: dict[bytes, bytes] = {}
        self._table: dict[bytes, bytes] = {}
        self._lengths: list[int] = []

    def __len__(self) -> int:
        """Return how many originals are known."""
        return len(self._addresses) + len(self._words) + len(self._systems)

    def address(self, text: str) -> str:
        """Return the replacement of an address, or the text itself if it is none."""
        if not _SEPARATED.fullmatch(text):
            return text
        original = bytes.fromhex(re.sub("[:_-]", "", text))
        return _with(":", self._address(original))

    def name(self, text: str) -> str:
        """Return a name with its model, but without what belongs to one device or person."""
        parts = re.split(f"({_SEPARATED.pattern}|{'|'.join(self._plain()) or '(?!)'})", text)
        # Every second part is an address.
        return "".join(
            self.text(part) if number % 2 else _OWNER.sub("Owner", self._part(part))
            for number, part in enumerate(parts)
        )

    def pattern(self, text: str) -> str:
        """Return a pattern of names; what it has of a serial number is left out."""
        found = _DIGITS.search(text)
        return text if found is None else f"{text[: found.start()]}*"

    def word(self, text: str) -> str:
        """Return the replacement of a text that is of one device or person as a whole."""
        core = text.strip("\0 ")
        if not core:
            return text
        if core not in self._words:
            number, size = len(self._words) + 1, len(_encoded(core))
            self._words[core] = f"{number:0{size}d}"[-size:]
            self._learn_word(core, self._words[core])
        return text.replace(core, self._words[core])

    def system_id(self, value: bytes) -> bytes:
        """Return a System ID: of the replaced address if it is made from one."""
        if len(value) != _SYSTEM_ID_BYTES:
            return self.value(value)
        for original, replaced in self._addresses.items():
            for order in (1, -1):
                if value[::order] == original[:3] + _EUI + original[3:]:
                    return (replaced[:3] + _EUI + replaced[3:])[::order]
                if value[::order] == original[:3] + _EUI[::-1] + original[3:]:
                    return (replaced[:3] + _EUI[::-1] + replaced[3:])[::order]
        if value not in self._systems:
            number = len(self._systems) + 1
            # The maker stays.
            self._systems[value] = number.to_bytes(_DEVICE_BYTES, "little") + value[_DEVICE_BYTES:]
        return self._systems[value]

    def text(self, text: str) -> str:
        """Return a text with all that is known replaced, and every address."""
        for found in _SEPARATED.findall(text):
            self.address(found)
        return self.value(_encoded(text)).decode("utf-8", "surrogateescape")

    def value(self, value: bytes) -> bytes:
        """Return a value with all that is known replaced; it has the same length."""
        if not any(len(value) >= length for length in self._lengths):
            return value
        made, position = bytearray(), 0
        while position < len(value):
            for length in self._lengths:
                if (replaced := self._table.get(value[position : position + length])) is not None:
                    made += replaced
                    position += length
                    break
            else:
                made.append(value[position])
                position += 1
        return bytes(made)

    def _part(self, text: str) -> str:
        def replaced(found: re.Match[str]) -> str:
            whole = found[0]
            if found["rest"] is not None:
                rest = found["rest"]
                return whole[: len(whole) - len(rest)] + (self.word(rest) if rest else "")
            return self.word(whole)

        return _DIGITS.sub(replaced, text)

    def _address(self, original: bytes) -> bytes:
        if original in self._addresses.values():
            return original
        if original not in self._addresses:
            number = len(self._addresses) + 1
            replaced = _PREFIX + number.to_bytes(2)
            self._addresses[original] = replaced
            for separator in (":", "-", "_", ""):
                for each in (original, original[::-1]):
                    new = replaced if each is original else replaced[::-1]
                    self._learn(_with(separator, each), _with(separator, new))
            # Six equal bytes are in many values by chance.
            if len(set(original)) > 2:
                self._add(original, replaced)
                self._add(original[::-1], replaced[::-1])
        return self._addresses[original]

    def _plain(self) -> Iterator[str]:
        """Yield the known addresses as they may be in names, without separators."""
        for original in self._addresses:
            yield f"(?i:{original.hex()})"

    def _learn_word(self, word: str, replaced: str) -> None:
        if len(word) < _SHORTEST or len(set(word)) < 2:
            return
        self._learn(word, replaced)
        if re.fullmatch(r"(?:[0-9A-Fa-f]{2}){4,}", word):
            original, new = bytes.fromhex(word), bytes.fromhex(replaced)
            self._add(original, new)
            self._add(original[::-1], new[::-1])
        if word.isdecimal() and word.isascii() and _SMALLEST_NUMBER <= int(word) < 1 << 32:
            for order in ("little", "big"):
                self._add(int(word).to_bytes(4, order), int(replaced).to_bytes(4, order))

    def _learn(self, text: str, replaced: str) -> None:
        """Replace a text from now on, in upper and lower case."""
        for original in (text, text.upper(), text.lower()):
            new = replaced.lower() if original.islower() else replaced
            self._add(_encoded(original), new.encode())
            self._add(original.encode("utf-16-le", "surrogatepass"), new.encode("utf-16-le"))

    def _add(self, original: bytes, replaced: bytes) -> None:
        if self._table.setdefault(original, replaced) is replaced:
            self._lengths = sorted({*self._lengths, len(original)}, reverse=True)


def _encoded(text: str) -> bytes:
    # Devices have bytes in their names that are not UTF-8.
    return text.encode("utf-8", "surrogateescape")


def _with(separator: str, address: bytes) -> str:
    return address.hex(":").upper().replace(":", separator)
