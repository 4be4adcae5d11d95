"""The settings models: parsed values, defaults, and where secrets come from."""

from datetime import time
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from healthd.profiles.polar_pmd.kinds import STREAMS
from healthd.settings.model import (
    Broker,
    GatewaySettings,
    MqttSettings,
    PeripheralSettings,
    PolarStream,
    Settings,
    consent_code,
    known_keys,
    passkey,
    password,
)


def test_every_setting_has_a_default() -> None:
    settings = Settings()
    assert settings.peripherals == ()
    assert settings.mqtt.brokers == (Broker(host="localhost"),)
    assert (settings.mqtt.prefix, settings.mqtt.version, settings.mqtt.tls) == (
        "healthd",
        "5",
        False,
    )
    assert settings.outbox.max_size == 256_000_000
    assert settings.log.level == "info"


@pytest.mark.parametrize(
    ("host", "slug"),
    [
        ("raspberrypi", "raspberrypi"),
        ("Living.Room.lan", "living-room-lan"),
        ("-_x_-", "x"),
        ("Küche", "k-che"),
        ("...", "healthd"),
        ("h" * 100, "h" * 64),
    ],
)
def test_the_gateways_id_defaults_to_the_host_name(
    monkeypatch: pytest.MonkeyPatch, host: str, slug: str
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert Settings().gateway.id == slug
    assert GatewaySettings(id=slug).id == slug  # the default is a valid setting


@pytest.mark.parametrize(
    ("written", "broker"),
    [
        ("localhost", Broker(host="localhost")),
        ("broker.lan:1884", Broker(host="broker.lan", port=1884)),
        ("192.0.2.7:1", Broker(host="192.0.2.7", port=1)),
        ("[::1]:65535", Broker(host="::1", port=65535)),
        ("[fe80::1]", Broker(host="fe80::1")),
    ],
)
def test_a_broker_is_parsed_and_printed_in_the_same_form(written: str, broker: Broker) -> None:
    mqtt = MqttSettings.model_validate({"brokers": [written]})
    assert mqtt.brokers == (broker,)
    assert str(mqtt.brokers[0]) == written


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("250ms", 0.25), ("30s", 30), ("1.5s", 1.5), (" 15 min ", 900), ("2h", 7200), ("1d", 86400)],
)
def test_a_duration_is_parsed_to_seconds(written: str, seconds: float) -> None:
    entry = {"id": "strap", "name": "Strap", "silence": written}
    assert PeripheralSettings.model_validate(entry).silence == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("written", "cadence"),
    [
        ("15min", 900.0),
        ("08:00", (time(8),)),
        (["20:30", "08:00", "08:00"], (time(8), time(20, 30))),
    ],
)
def test_every_is_parsed_to_a_cadence(written: object, cadence: object) -> None:
    entry = {"id": "scale", "name": "Scale", "every": written}
    settings = PeripheralSettings.model_validate(entry)
    assert settings.every == cadence
    assert settings.periodic


@pytest.mark.parametrize(
    ("keys", "window_s"),
    [
        ({"every": "15min"}, 120.0),
        ({"every": "1min"}, 30.0),
        ({"every": "08:00"}, 120.0),
        ({"on": "advertising"}, 120.0),
        ({"every": "15min", "window": "5min"}, 300.0),
    ],
)
def test_the_default_window_is_limited_by_every(keys: dict[str, str], window_s: float) -> None:
    settings = PeripheralSettings.model_validate({"id": "scale", "name": "Scale", **keys})
    assert settings.fetch_window_s == window_s


def test_a_peripheral_without_every_and_on_is_continuous() -> None:
    assert not PeripheralSettings(id="strap", name="Strap").periodic


@pytest.mark.parametrize("written", ["a0:9e:1a:00:00:01", "A0-9E-1A-00-00-01"])
def test_an_address_is_normalised(written: str) -> None:
    entry = PeripheralSettings.model_validate({"id": "strap", "address": written})
    assert entry.address == "A0:9E:1A:00:00:01"


@pytest.mark.parametrize(("written", "size"), [("256MB", 256_000_000), ("1GiB", 2**30)])
def test_a_size_is_parsed_to_bytes(written: str, size: int) -> None:
    assert Settings.model_validate({"outbox": {"max_size": written}}).outbox.max_size == size


@pytest.mark.parametrize("section", ["gateway", "mqtt", "outbox", "log"])
def test_models_are_frozen(section: str) -> None:
    model: BaseModel = getattr(Settings(), section)
    for key in type(model).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(model, key, getattr(model, key))


def test_a_peripheral_is_frozen() -> None:
    entry = PeripheralSettings(id="strap", name="Strap")
    with pytest.raises(ValidationError, match="frozen"):
        entry.id = "other"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("location", "some"),
    [
        ((), {"gateway", "mqtt", "peripherals"}),
        (("mqtt",), {"brokers", "ca_file"}),
        (("peripherals", 3), {"id", "silence"}),
    ],
)
def test_known_keys_of_each_section(location: tuple[Any, ...], some: set[str]) -> None:
    keys = known_keys(location)
    assert some <= set(keys)
    assert keys == sorted(keys)


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


def test_the_settings_offer_every_stream_of_a_polar_sensor() -> None:
    assert get_args(PolarStream) == tuple(STREAMS)


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
