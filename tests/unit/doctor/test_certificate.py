"""When a certificate is valid, compared with what OpenSSL says."""

import ssl
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.doctor.certificate import validity
from tests.support.certificates import Authority, needs_openssl

# After 2049 a time in a certificate has four digits of the year.
_AFTER_2049_DAYS = 20_000


def dates(file: Path) -> list[datetime]:
    """Return the dates as OpenSSL prints them."""
    command = ["openssl", "x509", "-noout", "-dates", "-in", str(file)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [
        datetime.strptime(line.partition("=")[2], "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
        for line in done.stdout.splitlines()
    ]


@needs_openssl
@pytest.mark.parametrize("days", [-1, 30, _AFTER_2049_DAYS])
def test_the_dates_are_those_that_openssl_shows(tmp_path: Path, days: int) -> None:
    certificate, key = Authority(tmp_path, "authority").issue("gateway", days=days)
    assert list(validity(certificate)) == dates(certificate)
    # The key may be in the same file, in front of it or after it.
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + b"text\n" + certificate.read_bytes())
    assert list(validity(both)) == dates(certificate)


@needs_openssl
def test_what_is_not_a_certificate(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path, "authority").issue("gateway")
    with pytest.raises(ValueError, match="no certificate"):
        validity(key)
    with pytest.raises(OSError, match="nowhere"):
        validity(tmp_path / "nowhere")
    lines = certificate.read_text(encoding="ascii").splitlines()
    cut = tmp_path / "cut.pem"
    cut.write_text("\n".join([lines[0], *lines[1:3], lines[-1]]), encoding="ascii")
    with pytest.raises(ValueError, match="cut off"):
        validity(cut)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_certificate_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.mktemp("any") / "any.pem"
    file.write_text(ssl.DER_cert_to_PEM_cert(data), encoding="ascii")
    with suppress(ValueError):
        validity(file)
