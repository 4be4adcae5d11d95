"""docs/limits.md names everything in the daemon that can grow, and tests that reach the bounds."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.limits_page import PACKAGE, ROOT, Row, listed, rows

# Other programs, which run for a moment or have no promise about their memory.
_OTHERS = {"backfill", "capture", "cli", "doctor", "simulator"}
_GROWING = {"dict", "list", "set", "Counter", "defaultdict", "OrderedDict", "deque"}
_QUEUES = {"Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"}


def modules() -> Iterator[Path]:
    """Yield the modules of the daemon."""
    for module in sorted(PACKAGE.rglob("*.py")):
        if module.relative_to(PACKAGE).parts[0] not in _OTHERS:
            yield module


def growing(module: Path) -> Iterator[str]:
    """Yield the names of attributes, queues and caches that have no bound of their own."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef(name=name, decorator_list=decorators, args=arguments):
                if any(map(is_endless_cache, decorators)) and ast.unparse(arguments):
                    yield name
                continue
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                targets = [target]
            case ast.Assign(targets=targets, value=value):
                pass
            case _:
                continue
        for target in targets:
            if isinstance(target, ast.Attribute) and can_grow(value):
                yield target.attr
            elif isinstance(target, ast.Name) and is_queue(value):
                yield target.id


def can_grow(value: ast.expr) -> bool:
    match value:
        case ast.Dict(keys=[]) | ast.List(elts=[]):
            return True
        case ast.Tuple(elts=elements):
            return any(map(can_grow, elements))
        case ast.Call():
            return is_queue(value) or (made_by(value) in _GROWING and not has_length(value))
        case _:
            return False


def is_queue(value: ast.expr) -> bool:
    return (
        isinstance(value, ast.Call)
        and made_by(value) in {*_QUEUES, "deque"}
        and not has_length(value)
    )


def is_endless_cache(decorator: ast.expr) -> bool:
    text = ast.unparse(decorator).removeprefix("functools.")
    return text in {"cache", "lru_cache(None)", "lru_cache(maxsize=None)"}


def made_by(call: ast.Call) -> str:
    function = call.func.value if isinstance(call.func, ast.Subscript) else call.func
    return ast.unparse(function).rpartition(".")[2]


def has_length(call: ast.Call) -> bool:
    named = {keyword.arg for keyword in call.keywords}
    most = 0 if made_by(call) in _QUEUES else 1
    return bool(named & {"maxlen", "maxsize"}) or (
        made_by(call) in {*_QUEUES, "deque"} and len(call.args) > most
    )


def test_everything_that_grows_is_on_the_page() -> None:
    named = set(listed())
    found = {
        (str(module.relative_to(PACKAGE)), name) for module in modules() for name in growing(module)
    }
    assert found, "the search finds nothing any more"
    missing = sorted(found - named)
    assert not missing, "add rows to docs/limits.md"


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.what)
def test_what_the_page_names_exists(row: Row) -> None:
    for file in row.files:
        assert (PACKAGE / file).is_file(), file
    for file, name in row.where:
        text = (PACKAGE / file).read_text(encoding="utf-8")
        assert re.search(rf"\b{re.escape(name)}\b", text), (file, name)
    for file, test in row.tests:
        path = ROOT / "tests" / file
        assert path.is_file(), file
        assert f"def {test}(" in path.read_text(encoding="utf-8"), (file, test)


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("self.a: dict[str, int] = {}", ["a"]),
        ("self.a: deque[int] = deque(maxlen=4)", []),
        ("self.a = deque[int]()", ["a"]),
        ("a: asyncio.Queue[int] = asyncio.Queue()", ["a"]),
        ("self.a = asyncio.Queue(maxsize=3)", []),
        ("self.a = (deque(), deque())", ["a"]),
        ("self.a, b = 1, []", []),
        ("a = []", []),
        ("@cache\ndef a(b): ...", ["a"]),
        ("@cache\ndef a(): ...", []),
        ("@lru_cache(maxsize=8)\ndef a(b): ...", []),
    ],
)
def test_the_search_finds_what_can_grow(tmp_path: Path, code: str, names: list[str]) -> None:
    module = tmp_path / "module.py"
    module.write_text(code)
    assert list(growing(module)) == names
