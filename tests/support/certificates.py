"""Temporary certificates, made with the openssl command."""

import shutil
import subprocess
from pathlib import Path
from typing import Literal

import pytest

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(
    OPENSSL is None, reason="NOT TESTED: no openssl command on this machine"
)

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")

# Longer than the month before which the doctor warns.
_DAYS = 90


class Authority:
    """A certificate authority.

    Attributes:
        certificate: the file for clients that trust the authority.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Create its key and certificate in ``folder``."""
        self.certificate = folder / f"{name}.crt"
        self._key = folder / f"{name}.key"
        self._folder = folder
        _openssl(
            *("req", "-x509", *_KEY, "-days", str(_DAYS), "-subj", f"/CN={name}"),
            *("-keyout", self._key, "-out", self.certificate),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    def issue(self, host: str, *, days: int = _DAYS) -> tuple[Path, Path]:
        """Return a server's certificate for this host name, and its key; -1 days: it is expired."""
        request, certificate, key, extensions = (
            self._folder / f"{host}.{suffix}" for suffix in ("csr", "crt", "key", "ext")
        )
        extensions.write_text(
            f"subjectAltName=DNS:{host}\n"
            "basicConstraints=CA:FALSE\n"
            "subjectKeyIdentifier=hash\n"
            "authorityKeyIdentifier=keyid\n"
        )
        _openssl("req", *_KEY, "-subj", f"/CN={host}", "-keyout", key, "-out", request)
        _openssl(
            *("x509", "-req", "-days", str(days), "-in", request, "-out", certificate),
            *("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"),
            *("-extfile", extensions),
        )
        return certificate, key


def encrypted(key: Path, form: Literal["pkcs8", "legacy"]) -> Path:
    """Encrypt a private key with a pass phrase, in today's form or the older one with DEK-Info."""
    out = key.with_suffix(f".{form}")
    command = ("ec", "-aes256") if form == "legacy" else ("pkcs8", "-topk8")
    _openssl(*command, "-in", key, "-out", out, "-passout", "pass:correct horse")
    assert "ENCRYPTED" in out.read_text(encoding="ascii")
    return out


def _openssl(*arguments: str | Path) -> None:
    assert OPENSSL is not None, "mark the test with needs_openssl"
    done = subprocess.run([OPENSSL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
