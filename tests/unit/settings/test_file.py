"""healthd.toml and its overrides: accepted values, and all errors reported at once."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.characteristic import Broadcast, Use
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.reader import Undecoded
from healthd.samples import Measurement
from healthd.settings.brokers import Broker
from healthd.settings.environment import ignored_variables
from healthd.settings.file import read
from healthd.settings.model import LISTS, Settings, known_keys
from healthd.settings.problems import NoSettings, Problem, SettingsError

_BROADCAST = Broadcast("some", Undecoded, lambda _: Undecoded.of({}), Use.STREAM, keys=("some",))


def _decoder(_options: Options, _address: str) -> Callable[[bytes], Measurement]:
    return _BROADCAST.decode


SERVICES = {
    "battery": Profile("battery", "180f"),
    "heart_rate": Profile("heart_rate", "180d"),
    "bike": Profile("bike", broadcasts=(_BROADCAST,)),
    "thermometer": Profile("thermometer", "1809", broadcasts=(_BROADCAST,)),
    "room": Profile("room", broadcasts=(replace(_BROADCAST, decoder=_decoder),)),
}
SECTIONS = [section for section in known_keys(()) if section not in LISTS]
KEYS = {section: known_keys((section,)) for section in SECTIONS}
NO_PERIPHERALS = "peripherals = []\n"
STRAP = '[[peripherals]]\nid = "strap"\nname = "Polar*"\n'
BIKE = '[[peripherals]]\nid = "bike"\nservice = "bike"\n'
ANY = '[[peripherals]]\nid = "any"\nservice = "heart_rate"\n'

Read = Callable[..., Settings]
Problems = Callable[..., list[Problem]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "healthd.toml"


@pytest.fixture
def read_text(file: Path) -> Read:
    def read_it(text: str, environ: Mapping[str, str] | None = None) -> Settings:
        file.write_text(text, encoding="utf-8")
        return read(file, environ or {}, SERVICES)

    return read_it


@pytest.fixture
def problems(read_text: Read) -> Problems:
    """Return a function that reads an invalid text and returns its problems."""

    def refused(text: str, environ: Mapping[str, str] | None = None) -> list[Problem]:
        with pytest.raises(SettingsError) as caught:
            read_text(text, environ)
        assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
        return caught.value.problems

    return refused


def test_a_complete_file(read_text: Read) -> None:
    settings = read_text(
        """
        gateway.id = "living-room"
        outbox = { directory = "/var/lib/healthd", max_size = "1GB" }
        log.level = "debug"
        [mqtt]
        brokers = ["broker.lan", "[::1]:1884"]
        prefix = "home/health"
        version = "3.1.1"
        username = "gateway"
        password_file = "/etc/healthd/mqtt-password"
        tls = true
        ca_file = "/etc/healthd/ca.crt"
        [[peripherals]]
        id = "chest-strap"
        address = "a0:9e:1a:00:00:01"
        [[peripherals]]
        id = "polar"
        name = "Polar H10*"
        [[peripherals]]
        id = "any"
        service = "heart_rate"
        silence = "30s"
        """
    )
    assert settings.mqtt.brokers == (Broker(host="broker.lan"), Broker(host="::1", port=1884))
    assert settings.model_dump(exclude={"mqtt": {"brokers"}}, exclude_unset=True) == {
        "gateway": {"id": "living-room"},
        "outbox": {"directory": Path("/var/lib/healthd"), "max_size": 1_000_000_000},
        "log": {"level": "debug"},
        "mqtt": {
            "prefix": "home/health",
            "version": "3.1.1",
            "username": "gateway",
            "password_file": Path("/etc/healthd/mqtt-password"),
            "tls": True,
            "ca_file": Path("/etc/healthd/ca.crt"),
        },
        "peripherals": (
            {"id": "chest-strap", "address": "A0:9E:1A:00:00:01"},
            {"id": "polar", "name": "Polar H10*"},
            {"id": "any", "service": "heart_rate", "silence": 30.0},
        ),
    }


def test_the_shipped_file_is_valid_as_it_is_and_with_every_example_uncommented(
    read_text: Read,
) -> None:
    shipped = Path(__file__).parents[3] / "config" / "healthd.toml"
    text = shipped.read_text(encoding="utf-8")
    assert read_text(text).peripherals == ()
    # A commented line that assigns or opens a block is an example; every other comment is prose.
    examples = re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", text).replace("tls = false", "tls = true")
    settings = read_text(examples)
    assert len(settings.peripherals) == 12
    entries = settings.peripherals
    assert {key for entry in entries for key in entry.control.model_fields_set} == set(
        known_keys(("peripherals", 0, "control"))
    )
    assert {key for entry in entries for key in entry.model_fields_set} == set(
        known_keys(("peripherals",))
    )
    assert settings.model_fields_set == set(Settings.model_fields)
    for section in ("gateway", "mqtt", "outbox", "capture", "log"):
        assert getattr(settings, section).model_fields_set == set(known_keys((section,)))


def test_settings_without_peripherals_are_valid(read_text: Read) -> None:
    assert read_text(NO_PERIPHERALS) == Settings()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"\n \t\r\n", "an empty file"),
        (b"\xef\xbb\xbf", "an empty file"),
        (b"\0" * 4096, "a file of NUL bytes"),
        (b"# nothing yet\n", "no key"),
        (b"[gateway]\n[mqtt]\n# brokers = ['x']\n", "no key"),
        (b"mqtt = { }", "no key"),
    ],
)
@pytest.mark.parametrize("environ", [{}, {"HEALTHD_GATEWAY__ID": "kitchen"}])
def test_issue_16_a_file_without_keys_is_no_settings(
    file: Path, content: bytes, found: str, environ: dict[str, str]
) -> None:
    """A power cut leaves such files; without peripherals, healthd would clear their results."""
    file.write_bytes(content)
    with pytest.raises(NoSettings) as caught:
        read(file, environ, SERVICES)
    (problem,) = caught.value.problems
    assert (problem.source, problem.key) == (str(file), "")
    assert found in problem.found
    assert "at least one key" in problem.expected
    assert "power cut" in problem.expected


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_issue_16_a_byte_order_mark_is_accepted(file: Path, line_end: str) -> None:
    text = '\ufeffgateway.id = "kitchen"\nlog.level = "debug"\n'.replace("\n", line_end)
    file.write_bytes(text.encode())
    settings = read(file, {}, SERVICES)
    assert (settings.gateway.id, settings.log.level) == ("kitchen", "debug")


def test_issue_16_a_file_in_utf_16_is_refused_with_advice(file: Path) -> None:
    # What "Unicode" means in the save dialog of Windows' editor, up to Windows 10.
    file.write_text('gateway.id = "kitchen"', encoding="utf-16")
    with pytest.raises(SettingsError, match="not UTF-8 in line 1; save it as UTF-8"):
        read(file, {}, SERVICES)


CONTROL = f"{STRAP}[peripherals.control]\n"
BAD_VALUES = [
    (f"{STRAP}control = 5", "peripherals[0].control", "5", "a table"),
    (
        f"{CONTROL}powr_w = [0, 9]",
        "peripherals[0].control.powr_w",
        "an unknown key",
        'did you mean "power_w"?',
    ),
    (
        f"{STRAP}every = '1h'\n[peripherals.control]",
        "peripherals[0].control",
        "a table",
        "neither every nor on as well",
    ),
    *(
        (f"{CONTROL}{key} = {value}", f"peripherals[0].control.{key}", found, expected)
        for key, value, found, expected in (
            ("power_w", "400", "400", "two powers in W: minimum and maximum, from 0 to 3000"),
            ("power_w", "[0]", "a list", "two powers"),
            ("power_w", "[0, 100, 200]", "a list", "two powers"),
            ("power_w", "[0, 'much']", "a list", "two powers"),
            ("power_w", "[false, true]", "a list", "two powers"),
            ("power_w", "[400, 100]", "a list", "two powers"),
            ("power_w", "[0, nan]", "a list", "two powers"),
            ("power_w", "[nan, 100]", "a list", "two powers"),
            ("power_w", "[0, inf]", "a list", "two powers"),
            ("power_w", "[-1, 100]", "a list", "two powers"),
            ("resistance_level", "[0, 1001]", "a list", "two levels"),
            ("speed_mps", "[0, 12]", "a list", "two speeds in m/s"),
            ("inclination_pct", "[0, 41]", "a list", "two inclinations"),
            ("grade_pct", "[-41, 0]", "a list", "two grades"),
            ("lease", "30", "30", '"30s"'),
            ("lease", "'900ms'", "'900ms'", '"1s" to "5min"'),
            ("lease", "'6min'", "'6min'", '"1s" to "5min"'),
        )
    ),
    (f"{STRAP}pair = 1", "peripherals[0].pair", "1", "true or false"),
    (
        f"{STRAP}passkey_file = 123456",
        "peripherals[0].passkey_file",
        "123456",
        "a path as a string",
    ),
    (f"{STRAP}set_clock = 'no'", "peripherals[0].set_clock", "'no'", "true or false"),
    (f"{STRAP}start = 'yes'", "peripherals[0].start", "'yes'", "true or false"),
    (
        f"{STRAP}start = true\nevery = '1h'",
        "peripherals[0].start",
        "True",
        "neither every nor on as well: a started machine stays linked",
    ),
    (f"{STRAP}user = 1", "peripherals[0].user", "1", "consent_file as well"),
    (f"{STRAP}consent_file = '/x'", "peripherals[0].consent_file", "'/x'", "user as well"),
    *(
        (f"{STRAP}user = {user}\nconsent_file = '/x'", "peripherals[0].user", user, "0 to 254")
        for user in ("255", "-1", "'1'", "1.5")
    ),
    ("gateway.id = 5", "gateway.id", "5", "a string"),
    ("gateway.id = ''", "gateway.id", "''", "a-z, 0-9"),
    ("gateway.id = 'Living.Room'", "gateway.id", "'Living.Room'", '"living-room"'),
    (f"gateway.id = '{'x' * 65}'", "gateway.id", "x" * 65, "at most 64"),
    ("gateway = 'x'", "gateway", "'x'", "a table"),
    ("mqtt.brokers = 'x'", "mqtt.brokers", "'x'", "a list"),
    ("mqtt.brokers = []", "mqtt.brokers", "a list", "at least one broker"),
    ("mqtt.brokers = [1883]", "mqtt.brokers[0]", "1883", "host:port"),
    ("mqtt.brokers = ['x', 'x:0']", "mqtt.brokers[1]", "'x:0'", "a port from 1 to 65535"),
    ("mqtt.brokers = ['x:65536']", "mqtt.brokers[0]", "'x:65536'", "a port from 1 to 65535"),
    ("mqtt.brokers = ['::1']", "mqtt.brokers[0]", "'::1'", "[IPv6]:port"),
    ("mqtt.brokers = ['a b']", "mqtt.brokers[0]", "'a b'", "host:port"),
    ("mqtt.brokers = ['http://x']", "mqtt.brokers[0]", "'http://x'", "ws://"),
    ("mqtt.brokers = ['x/mqtt']", "mqtt.brokers[0]", "'x/mqtt'", "a path"),
    ("mqtt.brokers = ['mqtt://x/mqtt']", "mqtt.brokers[0]", "'mqtt://x/mqtt'", "a path"),
    ("mqtt.brokers = ['wss://x:0/']", "mqtt.brokers[0]", "'wss://x:0/'", "a port from 1 to 65535"),
    ("mqtt = {brokers = ['ws://x'], tls = true}", "mqtt.brokers", "a list", "wss://"),
    ("mqtt.client_id = ''", "mqtt.client_id", "''", "1 to 256 bytes"),
    ("mqtt.client_id = ' a'", "mqtt.client_id", "' a'", "surrounding spaces"),
    ("mqtt.client_id = 7", "mqtt.client_id", "7", "a string"),
    ("mqtt = {tls = true, alpn = 7}", "mqtt.alpn", "7", "mqtt"),
    ("mqtt = {tls = true, alpn = ['']}", "mqtt.alpn", "a list", "mqtt"),
    ("mqtt.alpn = 'mqtt'", "mqtt.alpn", "'mqtt'", "tls = true"),
    ("mqtt.prefix = 5", "mqtt.prefix", "5", "a string"),
    ("mqtt.prefix = '/x'", "mqtt.prefix", "'/x'", "topic levels"),
    ("mqtt.prefix = 'a/#'", "mqtt.prefix", "'a/#'", "topic levels"),
    ("mqtt.version = '4'", "mqtt.version", "'4'", "'5' or '3.1.1'"),
    ("mqtt.username = 5", "mqtt.username", "5", "a string"),
    ("mqtt.password_file = 5", "mqtt.password_file", "5", "path"),
    ("mqtt.requests = 'scan'", "mqtt.requests", "'scan'", "a list"),
    ("mqtt.requests = ['scan', 'reboot']", "mqtt.requests[1]", "'reboot'", "one of scan, fetch"),
    ("mqtt.requests = [['scan']]", "mqtt.requests[0]", "a list", "one of scan, fetch"),
    ("mqtt.response_topics = 'a'", "mqtt.response_topics", "'a'", "a list"),
    ("mqtt.response_topics = ['a/#']", "mqtt.response_topics[0]", "'a/#'", "topic levels"),
    ("mqtt.discovery = true", "mqtt.discovery", "True", "a string"),
    ("mqtt.discovery = ''", "mqtt.discovery", "''", "topic levels"),
    ("mqtt.discovery = 'home/#'", "mqtt.discovery", "'home/#'", "topic levels"),
    ("mqtt.tls = 'maybe'", "mqtt.tls", "'maybe'", "true or false"),
    ("mqtt.retain = 'no'", "mqtt.retain", "'no'", "true or false"),
    ("mqtt = { tls = true, ca_file = [] }", "mqtt.ca_file", "a list", "a path"),
    ("mqtt.ca_file = '/x'", "mqtt.ca_file", "'/x'", "tls = true as well"),
    ("mqtt = { tls = false, ca_file = '/x' }", "mqtt.ca_file", "'/x'", "tls = true as well"),
    ("mqtt = { tls = 'no', ca_file = '/x' }", "mqtt.tls", "'no'", "true or false"),
    ("mqtt = { tls = true, cert_file = 5 }", "mqtt.cert_file", "5", "path"),
    ("mqtt.cert_file = '/x'", "mqtt.cert_file", "'/x'", "tls = true as well"),
    ("mqtt = { tls = true, key_file = '/x' }", "mqtt.key_file", "'/x'", "cert_file as well"),
    ("outbox.write = 'thru'", "outbox.write", "'thru'", "'around' or 'through'"),
    ("outbox.directory = 5", "outbox.directory", "5", "path"),
    ("bluetooth.adapter = 'bluetooth0'", "bluetooth.adapter", "'bluetooth0'", '"hci0"'),
    ("bluetooth.adapter = 0", "bluetooth.adapter", "0", "a string"),
    ("bluetooth.slots = 0", "bluetooth.slots", "0", "1"),
    ("bluetooth.scanning = 'off'", "bluetooth.scanning", "'off'", "'active' or 'passive'"),
    ("bluetooth.slots = 'many'", "bluetooth.slots", "'many'", "integer"),
    ("bluetooth.power_on = 1", "bluetooth.power_on", "1", "true or false"),
    ("outbox.max_size = 'big'", "outbox.max_size", "'big'", '"256MB"'),
    ("outbox.max_size = '5 parsecs'", "outbox.max_size", "'5 parsecs'", '"256MB"'),
    ("outbox.max_size = 1000", "outbox.max_size", "1000", "1000000"),
    ("outbox.max_size = inf", "outbox.max_size", "inf", '"256MB"'),
    ("outbox.max_size = []", "outbox.max_size", "a list", '"256MB"'),
    ("capture.max_size = '1kB'", "capture.max_size", "'1kB'", "1000000"),
    ("capture.peripherals = ['strap']", "capture.peripherals", "'strap'", "id of a peripheral"),
    (f"capture.peripherals = ['belt']\n{STRAP}", "capture.peripherals", "'belt'", "one of strap"),
    (f"capture.peripherals = 'strap'\n{STRAP}", "capture.peripherals", "'strap'", "a list"),
    ("outbox.max_size = 2026-11-24", "outbox.max_size", "2026, 11, 24", '"256MB"'),
    ("log.level = 'loud'", "log.level", "'loud'", "'warning'"),
    ("log.level = 5", "log.level", "5", "'warning'"),
    ("hass.url = 'homeassistant.local:8123'", "hass.url", "local:8123", "http://homeassistant"),
    ("hass.url = 'ws://host:8123/api'", "hass.url", "ws://host", "http://homeassistant.local:8123"),
    ("hass.url = 'http://me:secret@host'", "hass.url", "…@host", "http://homeassistant.local"),
    ("hass.url = 8123", "hass.url", "8123", "a string"),
    ("hass.token_file = 7", "hass.token_file", "7", "a path"),
    ("hass.entities = 'sensor.rate'", "hass.entities", "'sensor.rate'", "a list"),
    ("hass.entities = ['rate']", "hass.entities[0]", "'rate'", "sensor.chest_strap_heart_rate"),
    ("hass.entities = ['light.a']", "hass.entities[0]", "'light.a'", "the id of a sensor"),
    ("hass.replace = 'yes'", "hass.replace", "'yes'", "true or false"),
    ("hass.token = 'abc'", "hass.token", "an unknown key", "token_file"),
    ("gatway.id = 'x'", "gatway", "an unknown key", 'did you mean "gateway"?'),
    ("mqtt.borkers = 5", "mqtt.borkers", "an unknown key", 'did you mean "brokers"?'),
    ("log.zzz = 5", "log.zzz", "an unknown key", "one of level"),
    ("peripherals = 5", "peripherals", "5", "a list"),
    ("peripherals = ['strap']", "peripherals[0]", "'strap'", "a table"),
    ("[[peripherals]]\nname = 'x'", "peripherals[0].id", "nothing", "required"),
    (f"{STRAP}adress = 'x'", "peripherals[0].adress", "an unknown key", 'did you mean "address"?'),
    (f"{STRAP}connect = 'no'", "peripherals[0].connect", "'no'", "true or false"),
    (f"{STRAP}bind_key_file = 1", "peripherals[0].bind_key_file", "1", "a path"),
    (
        f"{STRAP}connect = true\nbind_key_file = 'k'",
        "peripherals[0].bind_key_file",
        "'k'",
        "connect = false",
    ),
    (f"{BIKE}connect = true", "peripherals[0].connect", "True", "bike devices cannot be linked"),
    (f"{BIKE}every = '1h'", "peripherals[0].every", "'1h'", "bike devices are only listened to"),
    (f"{ANY}connect = false", "peripherals[0].connect", "False", "no advertisements of heart_rate"),
    (
        f"{BIKE}bind_key_file = 'k'",
        "peripherals[0].bind_key_file",
        "'k'",
        "no such key: bike devices do not encrypt",
    ),
    (
        f"{ANY}bind_key_file = 'k'",
        "peripherals[0].bind_key_file",
        "'k'",
        "no advertisements of heart_rate",
    ),
    (
        f"{STRAP}bind_key_file = 'k'\npair = true",
        "peripherals[0].pair",
        "True",
        "no such key as well as bind_key_file",
    ),
    *(
        (
            f"{STRAP}connect = false\n{line}",
            f"peripherals[0].{line.partition(' ')[0]}",
            "",
            "no such key, or connect = true",
        )
        for line in (
            "every = '1h'",
            "on = 'advertising'",
            "pair = true",
            "passkey_file = '/passkey'",
            "pmd = ['ecg']",
            "set_clock = true",
            "start = true",
            "control = { lease = '30s' }",
        )
    ),
    (f"{STRAP}silence = 30", "peripherals[0].silence", "30", '"30s"'),
    (f"{STRAP}silence = '0s'", "peripherals[0].silence", "'0s'", "longer than zero"),
    (f"{STRAP}silence = '-5s'", "peripherals[0].silence", "'-5s'", '"30s"'),
    (f"{STRAP}silence = '5 weeks'", "peripherals[0].silence", "'5 weeks'", '"15min"'),
    ("[[peripherals]]\nid = 'Strap'\nname = 'x'", "peripherals[0].id", "'Strap'", "a-z, 0-9"),
    ("[[peripherals]]\nid = 'x'\nname = ''", "peripherals[0].name", "''", "at least 1"),
    ("[[peripherals]]\nid = 'x'\nname = 5", "peripherals[0].name", "5", "a string"),
    ("[[peripherals]]\nid = 'x'\naddress = 'A0:9E'", "peripherals[0].address", "'A0:9E'", "six"),
    ("[[peripherals]]\nid = 'x'\naddress = 5", "peripherals[0].address", "5", "a string"),
    ("[[peripherals]]\nid = 'x'\nservice = 5", "peripherals[0].service", "5", "a string"),
    (
        "[[peripherals]]\nid = 'x'\nservice = 'hart_rate'",
        "peripherals[0].service",
        "'hart_rate'",
        'one of battery, bike, heart_rate, room, thermometer (did you mean "heart_rate"?)',
    ),
    ("[[peripherals]]\nid = 'x'", "peripherals[0]", "none of them", "exactly one of"),
    (
        f"{STRAP}service = 'battery'\naddress = 'A0:9E:1A:00:00:01'",
        "peripherals[0]",
        "address and name and service",
        "exactly one of",
    ),
    (f"{STRAP}service = 'battery'", "peripherals[0]", "name and service", "exactly one of"),
    *(
        (
            f"{STRAP}wheel_circumference = {value}",
            "peripherals[0].wheel_circumference",
            value,
            "0.5 to 4",
        )
        for value in ("0.49", "4.01", "2105", "0", "-2.1", "nan", "inf", "'2.1'")
    ),
    *(
        (f"{STRAP}speed_factor = {value}", "peripherals[0].speed_factor", found, "0.1 to 10")
        for value, found in (
            ("0", "0"),
            ("10.1", "10.1"),
            ("-1.6", "-1.6"),
            ("nan", "nan"),
            ("true", "True"),
            ("'mph'", "'mph'"),
        )
    ),
    *(
        (f"{STRAP}sample_interval = {value}", "peripherals[0].sample_interval", found, expected)
        for value, found, expected in (
            ("'99ms'", "'99ms'", '"100ms" to "1s"'),
            ("'1.1s'", "'1.1s'", '"100ms" to "1s"'),
            ("'0s'", "'0s'", "longer than zero"),
            ("0.25", "0.25", '"15min"'),
        )
    ),
    *(
        (f"{STRAP}hrv = {value}", "peripherals[0].hrv", found, expected)
        for value, found, expected in (
            ("'29s'", "'29s'", '"30s" to "1d"'),
            ("'25h'", "'25h'", '"30s" to "1d"'),
            ("300", "300", '"15min"'),
            ("true", "True", '"15min"'),
        )
    ),
    *(
        (
            f"{STRAP}heart_rate_zones = {value}",
            "peripherals[0].heart_rate_zones",
            found,
            "ascending",
        )
        for value, found in (
            ("120", "120"),
            ("[]", "a list"),
            ("[120, 110]", "a list"),
            ("[120, 120]", "a list"),
            ("[29]", "a list"),
            ("[251]", "a list"),
            ("[true]", "a list"),
            ("[120.5]", "a list"),
            ("['120']", "a list"),
            (str(list(range(100, 111))), "a list"),
        )
    ),
    (f"{STRAP}wheel_circumference = true", "peripherals[0].wheel_circumference", "True", "metres"),
    (f"{STRAP}pmd = 'ecg'", "peripherals[0].pmd", "'ecg'", "a list"),
    (f"{STRAP}pmd = ['ecg', 'eeg']", "peripherals[0].pmd[1]", "'eeg'", "'pp_interval'"),
    *(
        (f"{STRAP}every = {value}", "peripherals[0].every", found, '"08:00"')
        for value, found in (
            ("15", "15"),
            ("'0min'", "'0min'"),
            ("'24:00'", "'24:00'"),
            ("'08:60'", "'08:60'"),
            ("'8:00'", "'8:00'"),
            ("[]", "a list"),
            ("['08:00', '15min']", "a list"),
        )
    ),
    (f"{STRAP}on = 'sight'", "peripherals[0].on", "'sight'", "'advertising'"),
    (f"{STRAP}on = 'advertising'\nevery = '1h'", "peripherals[0].on", "'adv", "not both"),
    (f"{STRAP}every = '1h'\nwindow = 60", "peripherals[0].window", "60", '"15min"'),
    (f"{STRAP}window = '1min'", "peripherals[0].window", "'1min'", "every or on as well"),
    (
        f"{STRAP}every = '1min'\nwindow = '60s'",
        "peripherals[0].window",
        "'60s'",
        "shorter than every",
    ),
    (f"{STRAP}on = 'advertising'\nrearm = 5", "peripherals[0].rearm", "5", '"15min"'),
    (f"{STRAP}every = '1h'\nrearm = '5min'", "peripherals[0].rearm", "'5min'", "on = "),
    (f"{STRAP}every = '1h'\nsilence = '5s'", "peripherals[0].silence", "'5s'", "neither"),
    (f"{STRAP}{STRAP}", "peripherals[1].id", "'strap'", "no other peripheral uses"),
]


@pytest.mark.parametrize(("text", "key", "found", "expected"), BAD_VALUES)
def test_bad_value(
    problems: Problems, file: Path, text: str, key: str, found: str, expected: str
) -> None:
    (problem,) = problems(text)
    assert problem.source == str(file)
    assert problem.key == key
    assert found in problem.found
    assert expected in problem.expected


def test_every_key_has_a_bad_value_above() -> None:
    tried = {row[1] for row in BAD_VALUES}
    assert {f"{section}.{key}" for section, keys in KEYS.items() for key in keys} <= tried
    assert {f"peripherals[0].{key}" for key in known_keys(("peripherals",))} <= tried


@pytest.mark.parametrize(
    ("address", "other"),
    [
        ("A0:9E:1A:00:00:01", "A0:9E:1A:00:00:01"),
        ("A0:9E:1A:00:00:01", "a0:9e:1a:00:00:01"),
        ("A0:9E:1A:00:00:01", "A0-9E-1A-00-00-01"),
    ],
)
def test_one_address_in_two_peripherals(problems: Problems, address: str, other: str) -> None:
    entry = "[[peripherals]]\nid = '{}'\naddress = '{}'\n"
    (problem,) = problems(entry.format("a", address) + entry.format("b", other))
    assert problem.key == "peripherals[1].address"
    assert "no other peripheral uses" in problem.expected


@pytest.mark.parametrize(
    "text",
    [
        f"{BIKE}silence = '1min'",
        f"{BIKE}connect = false",
        '[[peripherals]]\nid = "t"\nservice = "thermometer"\nconnect = false',
        '[[peripherals]]\nid = "t"\nservice = "thermometer"\nconnect = true\npair = true',
        '[[peripherals]]\nid = "t"\nservice = "room"\nbind_key_file = "k"',
        f"{STRAP}connect = false\nbind_key_file = 'k'\nhrv = '5min'",
    ],
)
def test_peripherals_that_are_listened_to(read_text: Read, text: str) -> None:
    assert len(read_text(text).peripherals) == 1


def test_every_duplicate_is_reported(problems: Problems) -> None:
    keys = [problem.key for problem in problems(STRAP * 3)]
    assert keys == ["peripherals[1].id", "peripherals[2].id"]


def test_all_errors_are_reported_at_once(problems: Problems, file: Path) -> None:
    found = problems(
        """
        log.level = "loud"
        mqtt = { brokers = ["x:0", "y:0"], borkers = 1 }
        [[peripherals]]
        id = "a b"
        service = "nonsense"
        [[peripherals]]
        silence = 3
        """,
        {"HEALTHD_GATEWAY__ID": "a b", "HEALTHD_NONSENSE__ID": "1"},
    )
    assert {(problem.source, problem.key) for problem in found} == {
        (str(file), "log.level"),
        (str(file), "mqtt.brokers[0]"),
        (str(file), "mqtt.brokers[1]"),
        (str(file), "mqtt.borkers"),
        (str(file), "peripherals[0].id"),
        (str(file), "peripherals[0].service"),
        (str(file), "peripherals[1].id"),
        (str(file), "peripherals[1].silence"),
        (str(file), "peripherals[1]"),
        ("environment", "HEALTHD_GATEWAY__ID"),
        ("environment", "HEALTHD_NONSENSE__ID"),
    }
    assert len(found) == 11


@pytest.mark.parametrize(
    "text",
    [
        "mqtt.password = 'hunter2'",
        "mqtt.Password = 'hunter2'",
        "mqtt.secret_key = 'hunter2'",
        "mqtt.token = 'hunter2'",
        "mqtt.passwd = 'hunter2'",
        "mqtt.auth = { password = 'hunter2' }",
        "[broker]\npassword = 'hunter2'",
        "[[mqtt]]\npassword = 'hunter2'",
        "mqtt.brokers = ['mqtt://user:hunter2@broker.lan']",
    ],
)
def test_secrets_are_never_echoed(problems: Problems, text: str) -> None:
    assert not any("hunter2" in str(problem) for problem in problems(text))


@pytest.mark.parametrize("variable", ["HEALTHD_MQTT__PASSWORD", "HEALTHD_SECRETS__PASSWORD"])
def test_secrets_of_the_environment_are_never_echoed(problems: Problems, variable: str) -> None:
    (problem,) = problems(NO_PERIPHERALS, {variable: "hunter2"})
    assert problem.key == variable
    assert "hunter2" not in str(problem)


def test_a_syntax_error_names_the_line(problems: Problems, file: Path) -> None:
    (problem,) = problems('[gateway]\nid = "x"\n[mqtt\n')
    assert (problem.source, problem.key) == (str(file), "")
    assert "line 3" in problem.found
    assert problem.expected == "valid TOML"


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path / "absent.toml", {}, SERVICES)
    (problem,) = caught.value.problems
    assert problem == Problem(
        str(tmp_path / "absent.toml"), "", "No such file or directory", "a readable TOML file"
    )


def test_a_folder_instead_of_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Is a directory"):
        read(tmp_path, {}, SERVICES)


def test_a_file_that_is_not_utf_8_is_an_error(file: Path) -> None:
    file.write_bytes(b'gateway.id = "\xff"')
    with pytest.raises(SettingsError, match="valid TOML"):
        read(file, {}, SERVICES)


class TestEnvironment:
    """Environment variables override the file."""

    def test_toml_values_and_plain_text(self, read_text: Read) -> None:
        settings = read_text(
            '[mqtt]\nbrokers = ["file.lan"]\nprefix = "from-file"\n',
            {
                "HEALTHD_MQTT__BROKERS": '["one", "two:1884"]',
                "HEALTHD_MQTT__TLS": "true",
                "HEALTHD_MQTT__VERSION": "3.1.1",
                "HEALTHD_GATEWAY__ID": "kitchen",
                "HEALTHD_LOG__LEVEL": '"debug"',
                "HEALTHD_OUTBOX__DIRECTORY": "/tmp/outbox",
                "PATH": "/bin",
            },
        )
        assert list(map(str, settings.mqtt.brokers)) == ["one", "two:1884"]
        assert (settings.mqtt.tls, settings.mqtt.version) == (True, "3.1.1")
        assert settings.mqtt.prefix == "from-file"
        assert settings.gateway.id == "kitchen"
        assert settings.log.level == "debug"
        assert settings.outbox.directory == Path("/tmp/outbox")

    @pytest.mark.parametrize(
        ("variable", "text"),
        [
            ("HEALTHD_MQTT__VERSION", "5"),
            ("HEALTHD_MQTT__USERNAME", "1234"),
            ("HEALTHD_GATEWAY__ID", "2026-11-24"),
        ],
    )
    def test_plain_text_that_looks_like_another_toml_type_stays_text(
        self, read_text: Read, variable: str, text: str
    ) -> None:
        section, key = variable.removeprefix("HEALTHD_").lower().split("__")
        assert getattr(getattr(read_text(NO_PERIPHERALS, {variable: text}), section), key) == text

    @pytest.mark.parametrize(
        ("variable", "expected"),
        [
            ("HEALTHD_MQTT__BORKERS", 'did you mean "brokers"?'),
            ("HEALTHD_MQQT__BROKERS", "HEALTHD_<SECTION>__<KEY>"),
            ("HEALTHD_MQTT__TLS__X", "HEALTHD_<SECTION>__<KEY>"),
            ("HEALTHD_PERIPHERALS__ID", "other than peripherals"),
            ("HEALTHD__TLS", "HEALTHD_<SECTION>__<KEY>"),
        ],
    )
    def test_unknown_variable(self, problems: Problems, variable: str, expected: str) -> None:
        (problem,) = problems(NO_PERIPHERALS, {variable: "x"})
        assert (problem.source, problem.key, problem.found) == (
            "environment",
            variable,
            "an unknown key",
        )
        assert expected in problem.expected

    @pytest.mark.parametrize(
        ("variable", "text", "found"),
        [
            ("HEALTHD_LOG__LEVEL", "loud", "'loud'"),
            ("HEALTHD_MQTT__TLS", "maybe", "'maybe'"),
            ("HEALTHD_MQTT__BROKERS", '["x", "y:0"]', "'y:0'"),
            ("HEALTHD_MQTT__CA_FILE", "/x", "'/x'"),
            ("HEALTHD_GATEWAY__ID", "", "''"),
        ],
    )
    def test_a_bad_value_is_blamed_on_the_variable(
        self, problems: Problems, variable: str, text: str, found: str
    ) -> None:
        (problem,) = problems('log.level = "info"\ngateway.id = "good"\n', {variable: text})
        assert (problem.source, problem.key, problem.found) == ("environment", variable, found)

    @pytest.mark.parametrize(
        ("variable", "key"),
        [
            ("HEALTHD_MQTT__TLS", "mqtt.tls"),
            ("HEALTHD_BLUETOOTH__POWER_ON", "bluetooth.power_on"),
        ],
    )
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            *((text, True) for text in ("true", "True", "1", "yes", "On", '"true"', " on ")),
            *((text, False) for text in ("false", "False", "0", "no", "OFF", "'no'")),
        ],
    )
    def test_issue_16_a_boolean_in_the_usual_spellings(
        self, read_text: Read, variable: str, key: str, text: str, value: bool
    ) -> None:
        section, name = key.split(".")
        opposite = f"{key} = {str(not value).lower()}"
        assert getattr(getattr(read_text(opposite, {variable: text}), section), name) is value

    @pytest.mark.parametrize(
        ("text", "brokers"),
        [
            ("one", ["one"]),
            ("one,two:1884", ["one", "two:1884"]),
            (" one , two:1884,", ["one", "two:1884"]),
            ('["one", "two:1884"]', ["one", "two:1884"]),
            ("['one', 'two:1884']", ["one", "two:1884"]),
            ('"one,two:1884"', ["one", "two:1884"]),
            ("[::1]:1884,one", ["[::1]:1884", "one"]),
            ("[::1]", ["[::1]"]),
        ],
    )
    def test_issue_16_a_list_in_the_usual_spellings(
        self, read_text: Read, text: str, brokers: list[str]
    ) -> None:
        settings = read_text(NO_PERIPHERALS, {"HEALTHD_MQTT__BROKERS": text})
        assert list(map(str, settings.mqtt.brokers)) == brokers

    def test_issue_16_a_list_of_words(self, read_text: Read) -> None:
        for text, requests in (("scan, fetch", ("scan", "fetch")), ("scan", ("scan",)), ("", ())):
            environ = {"HEALTHD_MQTT__REQUESTS": text}
            assert read_text("mqtt.requests = ['start']", environ).mqtt.requests == requests

    @pytest.mark.parametrize(
        ("variable", "text", "spelling"),
        [
            ("HEALTHD_MQTT__TLS", "maybe", "HEALTHD_MQTT__TLS=true"),
            ("HEALTHD_MQTT__TLS", "", "HEALTHD_MQTT__TLS=true"),
            ("HEALTHD_MQTT__BROKERS", "[one, two]", "HEALTHD_MQTT__BROKERS=one,two"),
            ("HEALTHD_MQTT__BROKERS", "", "HEALTHD_MQTT__BROKERS=one,two"),
            ("HEALTHD_MQTT__BROKERS", "one two", "HEALTHD_MQTT__BROKERS=one,two"),
            ("HEALTHD_MQTT__REQUESTS", "scan fetch", "HEALTHD_MQTT__REQUESTS=one,two"),
        ],
    )
    def test_issue_16_an_error_in_a_list_or_boolean_shows_a_correct_spelling(
        self, problems: Problems, variable: str, text: str, spelling: str
    ) -> None:
        for problem in problems(NO_PERIPHERALS, {variable: text}):
            assert (problem.source, problem.key) == ("environment", variable)
            assert problem.expected.endswith(spelling)

    @pytest.mark.parametrize(
        "variable",
        [
            # Kubernetes' service links of services named healthd and healthd-mqtt.
            "HEALTHD_PORT",
            "HEALTHD_SERVICE_HOST",
            "HEALTHD_SERVICE_PORT",
            "HEALTHD_SERVICE_PORT_MQTT",
            "HEALTHD_PORT_1883_TCP",
            "HEALTHD_PORT_1883_TCP_ADDR",
            "HEALTHD_PORT_1883_TCP_PROTO",
            "HEALTHD_MQTT_SERVICE_HOST",
            # Docker's links, and mistakes.
            "HEALTHD_NAME",
            "HEALTHD_ENV_PATH",
            "HEALTHD_MQTT",
            "HEALTHD_",
        ],
    )
    def test_issue_16_a_variable_that_a_platform_injects_is_ignored(
        self, read_text: Read, variable: str
    ) -> None:
        environ = {variable: "tcp://10.0.0.7:1883", "HEALTHD_GATEWAY__ID": "x", "PATH": "/bin"}
        assert read_text(NO_PERIPHERALS, environ).gateway.id == "x"
        assert ignored_variables(environ) == [variable]

    def test_an_error_of_the_file_is_still_blamed_on_the_file(
        self, problems: Problems, file: Path
    ) -> None:
        found = problems('mqtt = { version = "4" }', {"HEALTHD_MQTT__TLS": "maybe"})
        assert [(problem.source, problem.key) for problem in found] == [
            (str(file), "mqtt.version"),
            ("environment", "HEALTHD_MQTT__TLS"),
        ]

    def test_a_section_that_is_not_a_table_is_reported_once(
        self, problems: Problems, file: Path
    ) -> None:
        (problem,) = problems("log = 5", {"HEALTHD_LOG__LEVEL": "debug"})
        assert (problem.source, problem.key) == (str(file), "log")


def toml(value: object) -> str:
    """Return a scalar, or a list of scalars, as TOML."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            escaped = (f"\\U{ord(c):08X}" if ord(c) < 32 or c in '"\\\x7f' else c for c in value)
            return f'"{"".join(escaped)}"'
        case datetime() | date() | time():
            return value.isoformat()
        case list():
            return f"[{', '.join(map(toml, value))}]"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case _:
            return str(value)


scalars = (
    st.text(st.characters(codec="utf-8"), max_size=20)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.booleans()
    | st.datetimes(timezones=st.just(UTC))
    | st.dates()
    | st.times()
)
values = scalars | st.lists(scalars, max_size=2)
LINES = st.one_of(
    st.builds("{} = {}".format, st.sampled_from(sorted(Settings.model_fields)), values.map(toml)),
    *(
        st.builds("{}.{} = {}".format, st.just(section), st.sampled_from(keys), values.map(toml))
        for section, keys in KEYS.items()
    ),
)


@given(line=LINES)
def test_any_value_of_any_key_is_accepted_or_refused(line: str) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "healthd.toml"
        file.write_text(line, encoding="utf-8")
        try:
            read(file, {}, SERVICES)
        except SettingsError as error:
            assert error.problems
            assert not any(problem.expected == "valid TOML" for problem in error.problems)


@given(
    names=st.lists(
        st.sampled_from(["id", "address", "name", "service", "silence", "other"]), unique=True
    ),
    data=st.data(),
)
def test_any_peripheral_is_accepted_or_refused(names: list[str], data: st.DataObject) -> None:
    lines = [f"{name} = {toml(data.draw(values))}" for name in names]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "healthd.toml"
        file.write_text("\n".join(["[[peripherals]]", *lines]), encoding="utf-8")
        try:
            read(file, {}, SERVICES)
        except SettingsError as error:
            assert error.problems


@given(
    text=st.text(st.characters(codec=None), max_size=30),
    variable=st.sampled_from([f"{s}__{key}".upper() for s, keys in KEYS.items() for key in keys]),
)
def test_any_variable_is_accepted_or_refused(variable: str, text: str) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "healthd.toml"
        file.touch()
        try:
            read(file, {f"HEALTHD_{variable}": text}, SERVICES)
        except SettingsError as error:
            assert error.problems
