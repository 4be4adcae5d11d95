"""The index of all profiles, made from their modules: ``python -m healthd.profiles.index``.

A gateway reads it in place of a hundred modules, and imports those of its devices. A module that is
not in the index is imported at once, so a new profile works before the index has been made again.
"""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

from healthd import profiles as package
from healthd.profiles import vendor
from healthd.profiles.listing import Listed, ListedBroadcast, listed
from healthd.profiles.profile import Profile

FILE = Path(__file__).with_name("index.json")

HOW = "run make docs"
"""How the index is made again."""


class Index(NamedTuple):
    """The modules of ``healthd.profiles`` and ``healthd.profiles.vendor``.

    Attributes:
        profiles: what those that declare a profile declare.
        others: the names of all others.
    """

    profiles: tuple[Listed, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def modules(self) -> set[str]:
        """The names of all modules."""
        return {*self.others, *(profile.module for profile in self.profiles)}


def read(file: Path) -> Index:
    """Return the index in the file; an empty one if there is no file."""
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        return Index()
    return Index(tuple(map(_row, found["profiles"])), tuple(found["others"]))


def made() -> Index:
    """Import all modules, and return the index that they make."""
    found = {name: declared_in(name) for name in modules()}
    profiles = (listed(profile, name) for name, profile in found.items() if profile is not None)
    others = (name for name, profile in found.items() if profile is None)
    return Index(tuple(sorted(profiles)), tuple(sorted(others)))


def text(index: Index) -> str:
    """Return the content of the file: only what differs from the defaults of a row."""
    rows = [
        {key: value for key, value in row._asdict().items() if value != defaults.get(key)}
        for row, defaults in ((row, Listed._field_defaults) for row in index.profiles)
    ]
    return json.dumps({"profiles": rows, "others": index.others}, indent=1) + "\n"


def modules() -> Iterator[str]:
    """Yield the names of all modules in which profiles may be declared."""
    for parent, prefix in ((package, ""), (vendor, "vendor.")):
        # pkgutil does the same for archives as well, and takes 0.1 MB in every gateway.
        for path in map(Path, parent.__path__):
            yield from (prefix + name for name in _modules_in(path))


def _modules_in(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py" and path.stem != "__init__":
            yield path.stem
        elif (path / "__init__.py").exists():
            yield path.name


def declared_in(module: str) -> Profile | None:
    """Import a module and return the profile that it declares; None if it declares none.

    Raises:
        Exception: whatever the import raises.
    """
    imported = importlib.import_module(f"{package.__name__}.{module}")
    declared = getattr(imported, "PROFILE", None)
    return declared if isinstance(declared, Profile) else None


def _row(fields: dict[str, Any]) -> Listed:
    broadcasts = (
        ListedBroadcast(uuid, tuple(keys), silence_s, has_decoder)
        for uuid, keys, silence_s, has_decoder in fields.pop("broadcasts", ())
    )
    row: dict[str, Any] = {
        key: tuple(cast("list[str]", found)) if isinstance(found, list) else found
        for key, found in fields.items()
    }
    return Listed(**row)._replace(broadcasts=tuple(broadcasts))


if __name__ == "__main__":
    FILE.write_text(text(made()), encoding="utf-8")
