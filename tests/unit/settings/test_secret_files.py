"""Where passwords and codes come from, and what is accepted as one."""

from pathlib import Path

import pytest

from healthd.errors import Fatal, FileUnavailable
from healthd.settings.model import HassSettings, MqttSettings, PeripheralSettings
from healthd.settings.secret_files import (
    bind_key,
    consent_code,
    has_unusual_characters,
    hass_token,
    passkey,
    password,
)


class TestPassword:
    """The password comes from a file or from a systemd credential."""

    def test_without_file_and_credential_there_is_none(self) -> None:
        assert password(MqttSettings(), {}) is None

    def test_the_files_newline_is_removed(self, tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_text(" hunter2 \r\n", encoding="utf-8")
        assert password(MqttSettings(password_file=file), {}) == " hunter2 "

    @pytest.mark.parametrize("line_end", ["\n", "\r\n"])
    def test_issue_16_a_byte_order_mark_is_removed_and_spaces_are_kept(
        self, tmp_path: Path, line_end: str
    ) -> None:
        file = tmp_path / "password"
        file.write_bytes(f"\ufeff\thunter2  {line_end}".encode())
        assert password(MqttSettings(password_file=file), {}) == "\thunter2  "
        (tmp_path / "mqtt-password").write_bytes("\ufeffhunter2".encode())
        assert password(MqttSettings(), {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "hunter2"

    def test_the_credential_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "mqtt-password").write_text("hunter2\n", encoding="utf-8")
        assert password(MqttSettings(), {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "hunter2"

    def test_the_file_takes_precedence_over_the_credential(self, tmp_path: Path) -> None:
        (tmp_path / "mqtt-password").write_text("from systemd", encoding="utf-8")
        file = tmp_path / "password"
        file.write_text("from the file", encoding="utf-8")
        environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
        assert password(MqttSettings(password_file=file), environ) == "from the file"

    @pytest.mark.parametrize("content", [None, "", "\n"])
    def test_an_empty_or_missing_credential_is_no_password(
        self, tmp_path: Path, content: str | None
    ) -> None:
        if content is not None:
            (tmp_path / "mqtt-password").write_text(content, encoding="utf-8")
        assert password(MqttSettings(), {"CREDENTIALS_DIRECTORY": str(tmp_path)}) is None

    def test_a_missing_password_file_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            password(MqttSettings(password_file=tmp_path / "absent"), {})


class TestHassToken:
    """Home Assistant's token comes from a file or from a systemd credential."""

    # A JWT, as Home Assistant makes them.
    TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiIwIn0.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ"

    def test_spaces_and_line_breaks_are_removed(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_bytes(f"\ufeff {self.TOKEN}\r\n".encode())
        assert hass_token(HassSettings(token_file=file), {}) == self.TOKEN

    def test_the_credential_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "hass-token").write_text(self.TOKEN)
        environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
        assert hass_token(HassSettings(), environ) == self.TOKEN

    def test_no_file_is_a_mistake_in_the_settings(self) -> None:
        with pytest.raises(Fatal, match=r"hass\.token_file: missing"):
            hass_token(HassSettings(), {})

    @pytest.mark.parametrize("content", [None, b"", b"\n"])
    def test_a_missing_or_empty_file_may_come_back(
        self, tmp_path: Path, content: bytes | None
    ) -> None:
        file = tmp_path / "token"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(FileUnavailable, match="token"):
            hass_token(HassSettings(token_file=file), {})

    @pytest.mark.parametrize("content", [b"one\ntwo", b"my secret", b"\xff"])
    def test_other_content_is_not_shown(self, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "token"
        file.write_bytes(content)
        with pytest.raises(Fatal) as caught:
            hass_token(HassSettings(token_file=file), {})
        assert "two" not in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("secret", ["hunter2", "correct horse", "pässwörd", "\u5bc6\u7801"])
def test_a_usual_password(secret: str) -> None:
    assert not has_unusual_characters(secret)


@pytest.mark.parametrize(
    "secret",
    [
        "hunter2 ",
        " hunter2",
        "\thunter2",
        "hunter2\u00a0",
        "hunter\u200b2",
        "one\ntwo",
        "\0",
    ],
)
def test_a_password_with_characters_that_cannot_be_seen(secret: str) -> None:
    assert has_unusual_characters(secret)


@pytest.mark.parametrize(
    ("text", "number"), [("000042\n", 42), ("123456", 123456), ("\ufeff000042\r\n", 42)]
)
def test_a_passkey_is_six_digits_in_a_file(tmp_path: Path, text: str, number: int) -> None:
    file = tmp_path / "passkey"
    file.write_text(text, encoding="utf-8")
    assert passkey(PeripheralSettings(id="scale", passkey_file=file)) == number
    assert passkey(PeripheralSettings(id="scale")) is None


@pytest.mark.parametrize("text", ["", "12345", "1234567", "hunter2", "12 3456", "\u0661" * 6])
def test_an_invalid_passkey_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "passkey"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="six digits") as refused:
        passkey(PeripheralSettings(id="scale", passkey_file=file))
    assert not text or text not in str(refused.value)


def test_a_consent_code_is_four_digits_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "consent"
    for text in ("0042\n", "\ufeff0042\r\n"):
        file.write_text(text, encoding="utf-8")
        assert consent_code(PeripheralSettings(id="scale", user=1, consent_file=file)) == 42
    assert consent_code(PeripheralSettings(id="scale")) is None


@pytest.mark.parametrize("text", ["", "42", "000042", "hunter2", "\u0661" * 4])
def test_an_invalid_consent_code_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "consent"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="four digits") as refused:
        consent_code(PeripheralSettings(id="scale", user=1, consent_file=file))
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["231D39C1d7cc1ab1aee224cd096db932", " 231d39c1d7cc1ab1aee224cd096db932\n"]
)
def test_a_bind_key_is_32_hex_digits_in_a_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    key = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
    assert bind_key(PeripheralSettings(id="room", bind_key_file=file)) == key
    assert bind_key(PeripheralSettings(id="room")) is None


@pytest.mark.parametrize("text", ["", "231d39c1", "231d39c1d7cc1ab1aee224cd096db93x", "23 1d" * 8])
def test_an_invalid_bind_key_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(ValueError, match="32 hex digits") as caught:
        bind_key(PeripheralSettings(id="room", bind_key_file=file))
    assert not text or text not in str(caught.value)
