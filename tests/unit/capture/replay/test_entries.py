"""Which entries of the settings a capture is for."""

from pathlib import Path
from typing import Any

from healthd.capture.replay.entries import entries_for, entries_of, fits
from healthd.capture.replay.recording import Recording, recording_of
from healthd.cli.replay import demo_settings
from healthd.profiles import registry
from healthd.settings.model import PeripheralSettings
from healthd.settings.secret_files import consent_code
from healthd.traffic import lines
from tests.support.capture_writer import ADDRESS, CaptureWriter

KNOWN = registry.load()


def strap(**peripheral: Any) -> Recording:
    writer = CaptureWriter()
    start = writer.lines[0]
    assert isinstance(start, lines.Start)
    writer.lines[0] = start.model_copy(update={"peripheral": peripheral})
    writer.advertise(0)
    writer.connect(1)
    writer.beat(2, 70)
    return recording_of(writer.lines, KNOWN.listed.values())


def entry(**keys: Any) -> PeripheralSettings:
    return PeripheralSettings.model_validate({"id": "mine", **keys})


def test_an_entry_that_fits_is_unchanged() -> None:
    (device,) = strap().devices.values()
    for keys in ({"address": ADDRESS}, {"name": "Str*"}, {"service": "heart_rate"}):
        given = entry(**keys)
        assert fits(given, device, KNOWN)
        assert entries_for([given], strap(id="mine"), KNOWN) == [given]
    assert not fits(entry(name="Scale"), device, KNOWN)


def test_the_entry_of_the_capture_gets_the_address_that_it_has_there() -> None:
    own, other = entry(name="Secret*"), entry(id="other", name="Scale*")
    changed, unchanged = entries_for([own, other], strap(id="mine"), KNOWN)
    assert (changed.address, changed.name, unchanged) == (ADDRESS, None, other)


def test_the_settings_of_the_capture(tmp_path: Path) -> None:
    given = {"id": "mine", "name": "Secret*", "silence": "15s", "passkey_file": "left out"}
    assert entries_of(strap(**given), KNOWN, tmp_path) == [
        {"id": "mine", "silence": "15s", "address": ADDRESS}
    ]
    # Settings that this version does not know are not used.
    assert entries_of(strap(id="mine", colour="red"), KNOWN, tmp_path) == [
        {"id": "strap", "address": ADDRESS}
    ]


def test_a_consent_code_that_was_left_out() -> None:
    """Any code does: the answer of the device is in the capture."""
    recording = strap(id="mine", user=1, consent_file="left out")
    with demo_settings("127.0.0.1:1", recording, KNOWN) as settings:
        (found,) = settings.peripherals
        assert found.user == 1
        assert consent_code(found) == 0
