"""Password, certificates and key: their content, and what is wrong with it."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from healthd.errors import Fatal, FileUnavailable
from healthd.mqtt.credentials import Tls, broker_password, read_tls
from healthd.settings.model import MqttSettings
from tests.support.certificates import Authority, encrypted, needs_openssl
from tests.support.terminal import running


def settings(**mqtt: Any) -> MqttSettings:
    return MqttSettings.model_validate(mqtt)


def tls(**files: Path) -> Tls:
    return read_tls(settings(tls=True, **files))


def test_issue_16_a_missing_password_file_may_come_back(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(FileUnavailable) as caught:
        broker_password(settings(password_file=absent), {})
    assert str(caught.value) == f"mqtt.password_file: {absent}: No such file or directory"


def test_a_password_that_is_not_text_is_refused_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "mqtt-password"
    file.write_bytes(b"first\nhunter2\xff")
    with pytest.raises(Fatal, match=r"^credential mqtt-password: .*line 2") as caught:
        broker_password(settings(), {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert not isinstance(caught.value, FileUnavailable)
    assert "hunter2" not in str(caught.value)
    assert "0xff" not in str(caught.value)


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, FileUnavailable, "No such file or directory"),
        (b"", FileUnavailable, "empty"),
        (b"\0" * 100, FileUnavailable, "empty"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n", FileUnavailable, "cut off"),
        (b"0\x82\x01\x0a", Fatal, "expected PEM, a text with a line -----BEGIN CERTIFICATE-----"),
        (b"no certificate", Fatal, "expected PEM"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", Fatal, ""),
        (b"\xef\xbb\xbf-----BEGIN CERTIFICATE-----", Fatal, "byte order mark; remove it: sed -i"),
    ],
    ids=["missing", "empty", "NUL bytes", "cut off", "DER", "text", "not base64", "BOM"],
)
@needs_openssl
def test_issue_16_a_file_that_may_be_whole_later_is_not_a_bad_setting(
    tmp_path: Path,
    authority: Authority,
    key: str,
    content: bytes | None,
    error: type[Fatal],
    message: str,
) -> None:
    certificate, private = authority.issue("gateway")
    files = {"ca_file": authority.certificate, "cert_file": certificate, "key_file": private}
    file = files[key] = tmp_path / "other.pem"
    if content is not None:
        if key == "key_file":
            content = content.replace(b"CERTIFICATE", b"PRIVATE KEY")
            message = message.replace("CERTIFICATE", "PRIVATE KEY")
        file.write_bytes(content)
    with pytest.raises(error) as caught:
        tls(**files)
    assert type(caught.value) is error
    text = str(caught.value)
    assert text.startswith((f"mqtt.{key}: {file}: ", "mqtt.key_file: "))
    assert message in text


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@needs_openssl
def test_the_advice_for_a_byte_order_mark_works(authority: Authority) -> None:
    file = authority.certificate
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    with pytest.raises(Fatal) as caught:
        tls(ca_file=file)
    advice = str(caught.value).split("remove it: ")[1]
    subprocess.run(shlex.split(advice), check=True, timeout=30)
    tls(ca_file=file)


@needs_openssl
def test_issue_16_certificate_and_key_of_two_renewals_may_fit_later(authority: Authority) -> None:
    old_certificate, old_key = authority.issue("old")
    certificate, key = authority.issue("new")
    tls(cert_file=certificate, key_file=key)
    for files in ((old_certificate, key), (certificate, old_key)):
        with pytest.raises(FileUnavailable, match=r"^mqtt\.key_file: .*does not belong to"):
            tls(cert_file=files[0], key_file=files[1])


@needs_openssl
def test_a_certificate_without_a_key_is_refused(authority: Authority) -> None:
    certificate, key = authority.issue("gateway")
    with pytest.raises(Fatal, match=r"^mqtt\.cert_file: .*gateway\.crt: .*no private key"):
        tls(cert_file=certificate)
    certificate.write_bytes(certificate.read_bytes() + key.read_bytes())
    tls(cert_file=certificate)


@needs_openssl
@pytest.mark.parametrize("form", ["pkcs8", "legacy"])
@pytest.mark.parametrize("in_one_file", [False, True])
async def test_issue_16_an_encrypted_key_is_named_without_a_prompt(
    authority: Authority, form: Literal["pkcs8", "legacy"], in_one_file: bool
) -> None:
    certificate, key = authority.issue("gateway")
    secret = encrypted(key, form)
    files = [str(certificate), str(secret)]
    if in_one_file:
        certificate.write_bytes(certificate.read_bytes() + secret.read_bytes())
        files = [str(certificate)]
    name, file = ("cert_file", certificate) if in_one_file else ("key_file", secret)
    # Without a terminal of the session, OpenSSL asks on standard input.
    async with running("setsid", sys.executable, "-c", _READ, *files) as terminal:
        await terminal.shows(f"Fatal: mqtt.{name}: {file}: the key is encrypted", "openssl pkey")
    assert "phrase:" not in terminal.screen, "OpenSSL asked on the terminal"


_READ = """
import shlex
import subprocess
import sys
from healthd.errors import Fatal
from healthd.mqtt.credentials import read_tls
from healthd.settings.model import MqttSettings
files = dict(zip(("cert_file", "key_file"), sys.argv[1:]))
try:
    read_tls(MqttSettings.model_validate({"tls": True, **files}))
except Fatal as error:
    print(f"{type(error).__name__}: {error}")
"""
