"""The index of profiles says what their modules declare, and it may be old or missing."""

from pathlib import Path

import pytest

from healthd.profiles import index
from healthd.profiles.index import FILE, HOW, Index, made, modules, read, text
from healthd.profiles.listing import Listed, listed
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry, load

EVERYTHING = Registry(
    profile for name in modules() if (profile := index.declared_in(name)) is not None
)


def refuse(name: str, text: str) -> None:
    raise AssertionError(f"{name}: {text}")


def changed(tmp_path: Path, *rows: Listed) -> Path:
    """Write an index with these rows in place of those with their names."""
    old = read(FILE)
    names = {row.name for row in rows}
    kept = (row for row in old.profiles if row.name not in names)
    file = tmp_path / "index.json"
    file.write_text(text(Index((*kept, *rows), old.others)))
    return file


def test_the_index_is_what_the_modules_declare() -> None:
    assert FILE.read_text() == text(made()), f"the index is out of date: {HOW}"
    assert read(FILE) == made()


@pytest.mark.parametrize("row", read(FILE).profiles, ids=lambda row: row.name)
def test_a_profile_is_loaded_by_its_name_alone(row: Listed) -> None:
    profile = Registry((), read(FILE).profiles, refuse).profiles[row.name]
    assert profile.name == row.name
    assert listed(profile, row.module) == row


def test_the_registry_is_the_same_with_and_without_an_index() -> None:
    known = load(refuse)
    assert list(known.listed) == list(EVERYTHING.listed)
    assert known.broadcast_keys == EVERYTHING.broadcast_keys
    assert known.memories == EVERYTHING.memories
    assert sorted(each.uuid for each in known.announced()) == [*EVERYTHING.broadcasts]
    # From here on, everything is imported.
    assert known.profiles == EVERYTHING.profiles
    assert known.characteristics == EVERYTHING.characteristics
    assert known.broadcasts == EVERYTHING.broadcasts


def test_a_module_that_is_not_in_the_index_is_imported(tmp_path: Path) -> None:
    old = read(FILE)
    file = tmp_path / "index.json"
    file.write_text(
        text(Index(tuple(row for row in old.profiles if row.name != "nonin"), old.others))
    )
    known = load(refuse, file)
    assert known.profiles["nonin"] == EVERYTHING.profiles["nonin"]
    assert list(known.listed) == list(EVERYTHING.listed)


def test_a_module_that_is_gone_is_not_looked_for(tmp_path: Path) -> None:
    file = changed(tmp_path, Listed("gone", "vendor.gone", service="ff01"))
    assert "gone" not in load(refuse, file).profiles


def test_without_an_index_everything_is_imported(tmp_path: Path) -> None:
    known = load(refuse, tmp_path / "index.json")
    assert known.listed.keys() == EVERYTHING.listed.keys()
    assert {row.module for row in known.listed.values()} == {""}


def test_what_a_module_declares_counts_and_an_old_index_is_reported(tmp_path: Path) -> None:
    reports: list[tuple[str, str]] = []
    old = read(FILE)
    (row,) = (row for row in old.profiles if row.name == "nonin")
    file = changed(tmp_path, row._replace(service="ff01", kinds=()))
    known = load(lambda name, text: reports.append((name, text)), file)
    assert known.service("ff01") == EVERYTHING.profiles["nonin"]
    assert reports == [("nonin", f"the index of profiles is out of date: {HOW}")]
    assert known.service("ff01") is None
    assert known.service(row.service) == EVERYTHING.profiles["nonin"]
    assert "nonin" in known.publishing(row.kinds)
    assert list(known.listed) == list(EVERYTHING.listed)


def test_a_stale_index_is_a_warning_where_nothing_else_reports_it(tmp_path: Path) -> None:
    (row,) = (row for row in read(FILE).profiles if row.name == "nonin")
    with pytest.warns(UserWarning, match=f"nonin: the index of profiles is out of date: {HOW}"):
        assert load(file=changed(tmp_path, row._replace(hint="old"))).profiles["nonin"].hint == ""


def test_a_profile_that_cannot_be_imported_stops_no_other() -> None:
    reports: list[tuple[str, str]] = []
    broken = Listed("broken", "no_such_module", "ff01", ("ff02",), kinds=("weight",))
    strap = Profile("strap", "180d")
    known = Registry([strap], [broken], lambda name, text: reports.append((name, text)))
    assert known.use_on({"180d", "ff01", "ff02"}) == [strap]
    ((name, error),) = reports
    assert name == "broken"
    assert "no_such_module" in error
    assert "broken" not in known.profiles
    assert known.service("ff01") is None
    assert "ff02" not in known.characteristics
    assert known.model("weight") is None
    assert known.use_on({"ff01"}) == []


def test_a_module_that_declares_another_profile_is_reported() -> None:
    reports: list[tuple[str, str]] = []
    other = Listed("other", "vendor.nonin", "ff01")
    known = Registry((), [other], lambda name, text: reports.append((name, text)))
    assert known.use(["other"]) == []
    assert "does not declare other" in reports[0][1]


def test_advertised_data_of_a_broken_profile_fits_nothing() -> None:
    reports: list[str] = []
    broadcast = read(FILE).profiles
    row = next(row for row in broadcast if row.only_advertises)
    known = Registry(
        (), [row._replace(module="no_such_module")], lambda name, _: reports.append(name)
    )
    (announced, *_) = known.announced()
    assert not announced.fits(b"anything")
    assert known.broadcasts_in(dict.fromkeys(announced.keys, b"anything")) == []
    assert reports == [row.name]
    assert known.broadcast_keys == frozenset()
