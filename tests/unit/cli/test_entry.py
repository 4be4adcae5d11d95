"""A block for the settings, and how it is appended: every other byte stays."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from healthd.central.match import By
from healthd.central.survey import InRange
from healthd.cli import entry as entry_module
from healthd.cli.entry import NotAdded, append
from healthd.gateway.entry import match_for
from healthd.printable import printable
from healthd.profiles import registry
from healthd.settings.file import read
from healthd.settings.model import Settings
from healthd.settings.problems import SettingsError

SERVICES = registry.load().profiles

SETTINGS = """\
# My gateway; do not touch.
[gateway]
id = "attic"   # under the roof

[[peripherals]]
  id = 'old'
  name = "Old*"
"""


def device(**more: Any) -> InRange:
    values: dict[str, Any] = {
        "address": "C0:00:00:00:00:07",
        "name": "Strap 7",
        "rssi_dbm": -60,
        "profiles": ("heart_rate",),
        "is_private": False,
        "is_episodic": False,
        "is_broadcast": False,
        "peripheral": None,
        "suggested_id": "strap-7",
    }
    return InRange(**values | more)


LINES = device().block


def parsed(lines: str) -> dict[str, Any]:
    (entry,) = tomllib.loads(lines)["peripherals"]
    return entry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "healthd.toml"
    path.write_text(SETTINGS)
    return path


def test_the_block_of_a_device() -> None:
    assert LINES == (
        '[[peripherals]]\nid = "strap-7"\naddress = "C0:00:00:00:00:07"  # "Strap 7"\n'
    )
    assert parsed(device(is_episodic=True, suggested_id="x").block)["on"] == "advertising"
    # A private address changes, so the block uses the name.
    assert parsed(device(is_private=True, suggested_id="x").block) == {"id": "x", "name": "Strap 7"}
    assert parsed(device(name=None, is_private=True, suggested_id="x").block)["address"]


@example('\x7f\x85"\n\\', True)
@example('\x7f\x85"\n\\', False)
@given(st.text(min_size=1, max_size=40), st.booleans())
def test_an_advertised_name_cannot_break_out_of_its_quotes(name: str, is_private: bool) -> None:
    found = parsed(device(name=name, is_private=is_private, suggested_id="x").block)
    assert found.keys() == {"id", "name" if is_private else "address"}
    assert found.get("address", "C0:00:00:00:00:07") == "C0:00:00:00:00:07"


SCARCE = st.text(st.sampled_from("*?\\[]!-ab\"'#\n\x1b\u202e\u200b\ud800"), max_size=6)


@example("*", "Strap")
@example("*", "")
@example("[ab]*", "a")
@example("a\\*", "a\\b")
@given(SCARCE | st.text(st.characters(exclude_categories=()), max_size=20), SCARCE)
def test_the_entry_of_a_private_device_matches_its_name_and_no_other(name: str, other: str) -> None:
    block = device(name=name, is_private=True, suggested_id="x").block
    assert block == printable_block(block), "as it is printed, it can be pasted"
    settings = Settings.model_validate(tomllib.loads(block))
    match = match_for(settings.peripherals[0], registry.load())
    mine = Heard("C0:00:00:00:00:07", name)
    assert match.fits(mine)
    if match.by is By.NAME:
        assert match.fits(Heard("C0:00:00:00:00:08", other)) == (other == name)


@dataclass(frozen=True)
class Heard:
    """What a device advertises."""

    address: str
    name: str | None
    services: frozenset[str] = frozenset()
    data: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


def printable_block(block: str) -> str:
    return "\n".join(map(printable, block.splitlines())) + "\n"


@pytest.mark.parametrize(
    "before",
    [SETTINGS, SETTINGS.rstrip("\n"), SETTINGS.replace("\n", "\r\n"), "", "# äöü"],
    ids=["as usual", "no newline at the end", "CRLF", "empty", "only a comment"],
)
def test_existing_bytes_stay(file: Path, before: str) -> None:
    file.write_bytes(before.encode())
    append(file, LINES, {}, SERVICES)
    after = file.read_bytes()
    assert after.startswith(before.encode())
    assert after.endswith(LINES.encode())
    assert after[len(before.encode()) : -len(LINES)].strip() == b""
    assert read(file, {}, SERVICES).peripherals[-1].id == "strap-7"
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_mode_owner_and_symbolic_link_stay(file: Path, tmp_path: Path) -> None:
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 65534, 65533)
    before = file.stat()
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    append(link, LINES, {}, SERVICES)
    after = file.stat()
    assert link.is_symlink()
    assert after.st_ino != before.st_ino, "replaced atomically, not overwritten"
    assert (before.st_mode, before.st_uid, before.st_gid) == (
        after.st_mode,
        after.st_uid,
        after.st_gid,
    )


@pytest.mark.parametrize(
    ("before", "key"),
    [
        (SETTINGS + LINES, "peripherals[2].id"),
        ('peripherals = [{id = "a", name = "A"}]\n', ""),
        ('[gateway]\nid = "No Slug"\n', "gateway.id"),
        ('text = """\n', ""),
    ],
    ids=["the same twice", "an inline list", "bad already", "not TOML"],
)
def test_invalid_settings_are_not_written(file: Path, before: str, key: str) -> None:
    file.write_text(before)
    with pytest.raises(SettingsError) as caught:
        append(file, LINES, {}, SERVICES)
    assert caught.value.problems[0].source == str(file)
    assert caught.value.problems[0].key == key
    assert file.read_text() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_concurrent_change_is_not_lost(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_slowly(path: Path, *rest: Any) -> Any:
        file.write_text("# changed\n")
        return read(path, *rest)

    monkeypatch.setattr(entry_module, "read", read_slowly)
    with pytest.raises(NotAdded, match="another program"):
        append(file, LINES, {}, SERVICES)
    assert file.read_text() == "# changed\n"
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_missing_file_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(NotAdded, match="No such file"):
        append(tmp_path / "none.toml", LINES, {}, SERVICES)
    assert list(tmp_path.iterdir()) == []
