"""The files with secrets that the settings name: passwords, tokens, passkeys, codes and keys."""

import re
from collections.abc import Mapping
from pathlib import Path

from healthd.errors import Fatal, FileUnavailable
from healthd.settings.model import HassSettings, MqttSettings, PeripheralSettings
from healthd.settings.problems import unavailable
from healthd.settings.text import read_text

PASSWORD_FILE = Path("/etc/healthd/mqtt-password")
"""Where the unit takes the credential ``mqtt-password`` from."""


def credential(environ: Mapping[str, str]) -> Path | None:
    """Return where systemd puts the credential ``mqtt-password``; None outside systemd."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) / "mqtt-password" if folder else None


def password(mqtt: MqttSettings, environ: Mapping[str, str]) -> str | None:
    """Return the broker's password: ``password_file``, else systemd's ``mqtt-password`` credential.

    Raises:
        OSError: the file is set but cannot be read.
        ValueError: the file is not UTF-8.
    """
    path = mqtt.password_file
    if path is None and (candidate := credential(environ)) and candidate.exists():
        path = candidate
    # Editors end a file with a newline; it is not part of the secret.
    secret = "" if path is None else read_text(path).rstrip("\r\n")
    # The credential is installed as an empty file; the administrator fills it in. If the file was
    # removed, the unit's default for it is an empty line.
    return secret or None


def hass_token(hass: HassSettings, environ: Mapping[str, str]) -> str:
    """Return Home Assistant's access token: ``token_file``, else the credential ``hass-token``.

    Raises:
        FileUnavailable: there is no file, it cannot be read, or it is empty.
        Fatal: it is not a token.
    """
    folder = environ.get("CREDENTIALS_DIRECTORY")
    path = hass.token_file or (Path(folder) / "hass-token" if folder else None)
    source = "hass.token_file" if hass.token_file else "credential hass-token"
    if path is None:
        raise Fatal("hass.token_file: missing; expected a file with Home Assistant's access token")
    try:
        token = read_text(path).strip()
    except OSError as error:
        raise unavailable(source, path, error) from error
    except ValueError as error:
        raise Fatal(f"{source}: found {error}") from error
    if not token:
        raise FileUnavailable(f"{source}: {path} is empty")
    # Never show the content: it may be another secret.
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise Fatal(f"{source}: {path}: found something else, expected one line: the access token")
    return token


def passkey(peripheral: PeripheralSettings) -> int | None:
    """Return the six-digit passkey for pairing from ``passkey_file``; None without a file.

    Raises:
        OSError: the file is set but cannot be read.
        ValueError: the file contains something else.
    """
    file = peripheral.passkey_file
    expected = "the six digits of a passkey"
    return None if file is None else int(_secret(file, "[0-9]{6}", expected))


def consent_code(peripheral: PeripheralSettings) -> int | None:
    """Return the four-digit consent code of the user from ``consent_file``; None without a file.

    Raises:
        OSError: the file is set but cannot be read.
        ValueError: the file contains something else.
    """
    file = peripheral.consent_file
    expected = "the four digits of a consent code"
    return None if file is None else int(_secret(file, "[0-9]{4}", expected))


def bind_key(peripheral: PeripheralSettings) -> bytes | None:
    """Return the key with which a device encrypts what it advertises; None without a file.

    Raises:
        OSError: the file is set but cannot be read.
        ValueError: the file contains something else.
    """
    file = peripheral.bind_key_file
    return None if file is None else read_bind_key(file)


def read_bind_key(file: Path) -> bytes:
    """Return the key of a device that encrypts its advertisements: the 32 hex digits in the file.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file contains something else.
    """
    return bytes.fromhex(_secret(file, "[0-9A-Fa-f]{32}", "the 32 hex digits of a bind key"))


def _secret(file: Path, pattern: str, expected: str) -> str:
    text = read_text(file).strip()
    # Never show the content: it may be another secret.
    if not re.fullmatch(pattern, text):
        raise ValueError(f"found something else, expected {expected}")
    return text


def has_unusual_characters(secret: str) -> bool:
    """Return whether a password has characters that cannot be seen.

    These are spaces at its ends, tabs, line breaks, and what is copied along from web pages, such
    as a no-break space. They may be part of it, but are usually a mistake.
    """
    return secret != secret.strip() or not secret.isprintable()
