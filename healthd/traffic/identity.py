"""What identifies a device or a person in a capture, and what stands in its place."""

import re
from collections.abc import Iterator

# No device has such an address: 00-00-5E is IANA's, for documents (RFC 7042), and in the first byte
# is the bit of addresses that were not assigned.
_MAKER = bytes((0x02, 0x00, 0x5E))
_FIRST = 0x100000

_ADDRESS_BYTES = 6
_SEPARATED = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{2}(?:[:_-][0-9A-Fa-f]{2}){5}(?![0-9A-Fa-f])")
_DIGITS_OF_BYTES = re.compile(r"[0-9A-Fa-f]{12,}")

# Between the two parts of an address in a System ID, in either order (Bluetooth SIG, Device
# Information Service 1.1, 3.9; IEEE, Guidelines for EUI-64).
_EUI = (b"\xff\xfe", b"\xfe\xff")
_SYSTEM_ID_BYTES, _DEVICE_BYTES = 8, 5

# A shorter text is in other values by chance, and so are fewer bytes.
_SHORTEST = 4

# Serial numbers are sent as four bytes, too. A smaller number is in other values by chance.
_SMALLEST_NUMBER = 1 << 20

# Of a local name (Core Specification, Vol 3, Part C, 12.1). What is longer is no name of a device.
_LONGEST_NAME = 248

# The serial number in a name: five digits, or a last word of hex digits. In BLEsmart_ names the
# first eight digits are the model, in SpO names (Contec) the first three. The rest of a name is the
# model, and is kept.
_SERIAL = re.compile(
    r"(?i:(?:(?<=BLESMART_)\d{8}|(?<=SPO)\d{3})(?P<rest>[0-9A-F]*))"
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
        # What else is replaced in values and texts, and the lengths of that by its first bytes.
        self._table: dict[bytes, bytes] = {}
        self._starts: dict[bytes, list[int]] = {}

    def __len__(self) -> int:
        """Return how many originals are known."""
        return len(self._addresses) + len(self._words) + len(self._systems)

    def address(self, text: str) -> str:
        """Return the replacement of an address, or the text itself if it is none."""
        return _SEPARATED.sub(self._separated, text)

    def name(self, text: str) -> str:
        """Return a name with its model, but without what belongs to one device or person."""
        if len(text) > _LONGEST_NAME:
            return self.word(text)
        made, position = "", 0
        for start, end in self._places(text):
            made += self._without_serial(text[position:start]) + self._address_text(text[start:end])
            position = end
        return made + self._without_serial(text[position:])

    def pattern(self, text: str) -> str:
        """Return a pattern of names; what it has of a serial number is left out."""
        found = _SERIAL.search(text[:_LONGEST_NAME])
        return text if found is None else f"{text[: found.start()]}*"

    def word(self, text: str) -> str:
        """Return the replacement of a text that is of one device or person as a whole."""
        core = text.strip("\0 ")
        if not core:
            return text
        if core not in self._words:
            number, size = len(self._words) + 1, len(_encoded(core))
            self._words[core] = f"{number:0{size}d}"[-size:]
            self._learn(core, self._words[core])
        return text.replace(core, self._words[core])

    def system_id(self, value: bytes) -> bytes:
        """Return a System ID: of the replaced address if it is made from one."""
        if len(value) != _SYSTEM_ID_BYTES:
            return self.value(value)
        for order in (1, -1):
            ordered = value[::order]
            replaced = self._addresses.get(ordered[:3] + ordered[5:])
            if replaced is not None and ordered[3:5] in _EUI:
                return (replaced[:3] + ordered[3:5] + replaced[3:])[::order]
        if value not in self._systems:
            number = len(self._systems) + 1
            # The maker stays.
            self._systems[value] = number.to_bytes(_DEVICE_BYTES, "little") + value[_DEVICE_BYTES:]
        return self._systems[value]

    def text(self, text: str) -> str:
        """Return a text with all that is known replaced, and every address."""
        made, position = "", 0
        for start, end in self._places(text):
            made += text[position:start] + self._address_text(text[start:end])
            position = end
        return _decoded(self._replaced(_encoded(made + text[position:])))

    def value(self, value: bytes) -> bytes:
        """Return a value with all that is known replaced; it has the same length."""
        value = self._replaced(value)
        if len(value) < 2 * _ADDRESS_BYTES:
            return value
        # It may be a text with an address; every byte is a character here.
        text = value.decode("latin-1")
        for start, end in self._places(text):
            text = text[:start] + self._address_text(text[start:end]) + text[end:]
        return text.encode("latin-1")

    def _replaced(self, value: bytes) -> bytes:
        made, position = bytearray(), 0
        while position < len(value):
            original, replaced = self._at(value, position)
            made += replaced
            position += len(original)
        return bytes(made)

    def _at(self, value: bytes, position: int) -> tuple[bytes, bytes]:
        """Return the original at this place, or one byte, and what stands in its place."""
        for length in self._starts.get(value[position : position + _SHORTEST], ()):
            original = value[position : position + length]
            if (replaced := self._table.get(original)) is not None:
                return original, replaced
        original = value[position : position + _ADDRESS_BYTES]
        if (replaced := self._addresses.get(original)) is None:
            replaced = self._addresses.get(original[::-1])
            replaced = None if replaced is None else replaced[::-1]
        # Six bytes of one or two values are in many packets by chance.
        if replaced is not None and len(set(original)) > 2:
            return original, replaced
        return value[position : position + 1], value[position : position + 1]

    def _places(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where addresses are: with separators any one, without them those that are known."""
        places = [found.span() for found in _SEPARATED.finditer(text)]
        size = 2 * _ADDRESS_BYTES
        for digits in _DIGITS_OF_BYTES.finditer(text):
            position = digits.start()
            while position <= digits.end() - size:
                octets = bytes.fromhex(text[position : position + size])
                is_known = octets in self._addresses or octets[::-1] in self._addresses
                if is_known:
                    places.append((position, position + size))
                position += size if is_known else 1
        yield from sorted(places)

    def _address_text(self, text: str) -> str:
        """Return the replacement of an address as a text, in the form of that text."""
        octets = bytes.fromhex(re.sub("[:_-]", "", text))
        if octets not in self._addresses and octets[::-1] in self._addresses:
            replaced = self._addresses[octets[::-1]][::-1]
        else:
            replaced = self._address(octets)
        separator = text[2] if len(text) > 2 * _ADDRESS_BYTES else ""
        shown = replaced.hex(":").replace(":", separator)
        return shown if text == text.lower() else shown.upper()

    def _separated(self, found: re.Match[str]) -> str:
        return self._address(bytes.fromhex(re.sub("[:_-]", "", found[0]))).hex(":").upper()

    def _address(self, original: bytes) -> bytes:
        if original.startswith(_MAKER):
            return original
        if original not in self._addresses:
            number = _FIRST + len(self._addresses) + 1
            self._addresses[original] = _MAKER + number.to_bytes(3)
        return self._addresses[original]

    def _without_serial(self, text: str) -> str:
        def replaced(found: re.Match[str]) -> str:
            rest = found["rest"]
            if rest is None:
                return self.word(found[0])
            return found[0].removesuffix(rest) + self.word(rest)

        return _OWNER.sub("Owner", _SERIAL.sub(replaced, text))

    def _learn(self, word: str, replaced: str) -> None:
        """Replace a word from now on, in all forms in which devices send it."""
        if len(word) < _SHORTEST or len(set(word)) < 2:
            return
        for original in (word, word.upper(), word.lower()):
            self._add(_encoded(original), replaced.encode())
            self._add(original.encode("utf-16-le", "surrogatepass"), replaced.encode("utf-16-le"))
        if re.fullmatch(r"(?:[0-9A-Fa-f]{2}){4,}", word):
            original, new = bytes.fromhex(word), bytes.fromhex(replaced)
            self._add(original, new)
            self._add(original[::-1], new[::-1])
        if re.fullmatch(r"[0-9]{7,10}", word) and _SMALLEST_NUMBER <= int(word) < 1 << 32:
            for order in ("little", "big"):
                self._add(int(word).to_bytes(4, order), int(replaced).to_bytes(4, order))

    def _add(self, original: bytes, replaced: bytes) -> None:
        self._table.setdefault(original, replaced)
        lengths = self._starts.setdefault(original[:_SHORTEST], [])
        if len(original) not in lengths:
            lengths.append(len(original))
            lengths.sort(reverse=True)


def _encoded(text: str) -> bytes:
    # Devices have bytes in their names that are not UTF-8.
    return text.encode("utf-8", "surrogateescape")


def _decoded(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
