"""The settings models: parsed values and defaults."""

from datetime import time
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from healthd.profiles.polar_pmd.kinds import STREAMS
from healthd.settings.brokers import Broker
from healthd.settings.model import (
    GatewaySettings,
    MqttSettings,
    PeripheralSettings,
    PolarStream,
    Settings,
    known_keys,
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
        ("mqtt://broker.lan", Broker(host="broker.lan", scheme="mqtt")),
        ("mqtts://[::1]:8884", Broker(host="::1", port=8884, scheme="mqtts")),
        ("ws://broker.lan:8080", Broker(host="broker.lan", port=8080, scheme="ws")),
        ("wss://a.example/mqtt?x=1", Broker(host="a.example", scheme="wss", path="/mqtt?x=1")),
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


def test_the_settings_offer_every_stream_of_a_polar_sensor() -> None:
    assert get_args(PolarStream) == tuple(STREAMS)
