"""Reads the files that the connection to a broker needs: password, certificates and key."""

import codecs
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from healthd.errors import Fatal, FileUnavailable
from healthd.host.sha256 import sha256
from healthd.settings.model import MqttSettings
from healthd.settings.problems import unavailable
from healthd.settings.secret_files import password

# What a file of these keys contains in its PEM form.
_CERTIFICATE, _KEY = "CERTIFICATE", "PRIVATE KEY"
_CONTENTS = {"ca_file": _CERTIFICATE, "cert_file": _CERTIFICATE, "key_file": _KEY}

# OpenSSL's reasons while a renewal tool has replaced one of certificate and key, but not the other.
_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")


@dataclass(frozen=True, slots=True)
class Tls:
    """How to verify a broker, and how to identify this gateway to it.

    Attributes:
        context: for the connection.
        fingerprint: of the files, because contexts cannot be compared. The system's certificate
            authorities are not included.
    """

    context: "ssl.SSLContext"
    fingerprint: str


def broker_password(mqtt: MqttSettings, environ: Mapping[str, str]) -> str | None:
    """Return the broker's password, or None.

    Raises:
        FileUnavailable: its file cannot be read now.
        Fatal: its file is not text.
    """
    source = "mqtt.password_file" if mqtt.password_file else "credential mqtt-password"
    try:
        return password(mqtt, environ)
    except OSError as error:
        raise unavailable(source, error.filename, error) from error
    except ValueError as error:
        raise Fatal(f"{source}: found {error}") from error


def read_tls(mqtt: MqttSettings) -> Tls:
    """Read the certificates and the key.

    Raises:
        FileUnavailable: a file is missing, empty, cut off, or does not fit the other one, as
            happens while another program replaces it.
        Fatal: a file has the wrong content, or the key is encrypted.
    """
    digests = [
        _digest("ca_file", mqtt.ca_file),
        _digest("cert_file", mqtt.cert_file, is_alone=mqtt.key_file is None),
        _digest("key_file", mqtt.key_file),
    ]
    # The default context verifies certificate and host name; no setting switches that off.
    try:
        context = ssl.create_default_context(cafile=mqtt.ca_file)
    except OSError as error:  # includes ssl.SSLError
        raise _fault("ca_file", mqtt.ca_file, error) from error
    if mqtt.cert_file is not None:
        _load_certificate(context, mqtt.cert_file, mqtt.key_file)
    return Tls(context, sha256(b"".join(digests)).hexdigest())


def _digest(key: str, file: Path | None, *, is_alone: bool = False) -> bytes:
    """Check whether a file can contain what it should, and return a hash of it.

    Args:
        key: the key of the settings that names the file.
        file: None returns an empty hash.
        is_alone: whether the file also contains the private key.
    """
    if file is None:
        return b""
    place = f"mqtt.{key}: {file}"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _fault(key, file, error) from error
    if not content.strip(b"\0 \t\r\n"):
        raise FileUnavailable(f"{place}: the file is empty")
    if content.startswith(codecs.BOM_UTF8):
        remove = f"sed -i '1s/^\\xEF\\xBB\\xBF//' {file}"
        raise Fatal(f"{place}: OpenSSL accepts no byte order mark; remove it: {remove}")
    if not re.search(_pem(_CONTENTS[key]), content):
        raise Fatal(f"{place}: expected PEM, a text with a line -----BEGIN {_CONTENTS[key]}-----")
    if is_alone and not re.search(_pem(_KEY), content):
        raise Fatal(f"{place}: there is no private key in it; add the key, or set key_file")
    if content.count(b"-----BEGIN ") != content.count(b"-----END "):
        raise FileUnavailable(f"{place}: the file is cut off")
    return sha256(content).digest()


def _pem(kind: str) -> bytes:
    """Return a pattern for the first line of PEM, such as -----BEGIN RSA PRIVATE KEY-----."""
    return rf"-----BEGIN [A-Z0-9 ]*{kind}-----".encode()


def _load_certificate(context: "ssl.SSLContext", certificate: Path, key: Path | None) -> None:
    name, file = ("cert_file", certificate) if key is None else ("key_file", key)

    def refuse() -> NoReturn:
        # Without this function OpenSSL would ask on the terminal, and a service has none.
        raise Fatal(
            f"mqtt.{name}: {file}: the key is encrypted, and a service cannot ask for its pass "
            f"phrase; write a key without one: openssl pkey -in {file} -out NEW_FILE"
        )

    try:
        context.load_cert_chain(certificate, key, refuse)
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            raise FileUnavailable(
                f"mqtt.{name}: {file}: this key does not belong to the certificate {certificate}"
            ) from error
        raise _fault(name, file, error) from error
    except OSError as error:
        raise _fault(name, file, error) from error


def _fault(key: str, file: Path | None, error: OSError) -> Fatal:
    if isinstance(error, ssl.SSLError):
        return Fatal(f"mqtt.{key}: {file}: the content cannot be used: {error}")
    return unavailable(f"mqtt.{key}", file, error)
