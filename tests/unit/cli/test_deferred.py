"""Modules that are loaded at their first use: who imports one sees no difference, except when."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from subprocess import run
from threading import Event, Thread
from types import ModuleType
from typing import Any

import pytest

from healthd.cli import deferred
from healthd.cli.deferred import Deferral, defer
from tests.support.certificates import Authority, needs_openssl


class Folder:
    """A folder of modules that can be imported, some of them deferred."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.deferrals: dict[str, Deferral] = {}

    def write(self, name: str, source: str, deferral: Deferral | None = None) -> None:
        self._path.joinpath(f"{name}.py").write_text(source)
        if deferral is not None:
            self.deferrals[name] = deferral


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    folder = Folder(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(deferred, "MODULES", folder.deferrals)
    monkeypatch.setattr(deferred, "_begun", set[str]())
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    before = set(sys.modules)
    defer()
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


def loaded(name: str) -> bool:
    return type(sys.modules[name]) is ModuleType


def test_a_module_is_loaded_when_a_name_in_it_is_used(folder: Folder) -> None:
    folder.write("late", "import sys\nvalue = 7\nme = sys.modules[__name__]\n", Deferral())
    early: Any = import_module("late")
    again = import_module("late")
    assert not loaded("late")
    assert early.value == 7
    assert loaded("late")
    assert early is again is early.me is import_module("late")
    assert early.__file__ is not None
    assert early.__file__.endswith("late.py")


def test_a_name_that_is_not_there_is_an_attribute_error(folder: Folder) -> None:
    folder.write("late", "value = 7\n", Deferral())
    assert not hasattr(import_module("late"), "nothing")
    assert loaded("late")
    with pytest.raises(ImportError, match="nothing"):
        exec("from late import nothing", {})


def test_other_modules_are_not_deferred(folder: Folder) -> None:
    folder.write("early", "value = 7\n")
    import_module("early")
    assert loaded("early")


def test_a_submodule_is_an_attribute_of_its_package(folder: Folder, tmp_path: Path) -> None:
    tmp_path.joinpath("package").mkdir()
    folder.write("package/__init__", "")
    folder.write("package/late", "value = 7\n")
    folder.deferrals["package.late"] = Deferral()
    scope: dict[str, Any] = {}
    exec("import package.late as one; from package import late as two", scope)
    assert scope["one"] is scope["two"] is sys.modules["package.late"]
    assert not loaded("package.late")
    assert scope["one"].value == 7


def test_a_function_that_was_imported_early_loads_its_module_when_it_is_called(
    folder: Folder,
) -> None:
    source = "def double(number, *, plus=0):\n    return 2 * number + plus\n"
    folder.write("late", source, Deferral(functions=("double",)))
    scope: dict[str, Any] = {}
    exec("from late import double", scope)
    assert not loaded("late")
    assert scope["double"](4, plus=1) == 9
    assert loaded("late")


def test_nothing_fits_a_class_until_its_module_is_loaded(folder: Folder) -> None:
    source = "class Fault(Exception):\n    pass\nuse = True\n"
    folder.write("late", source, Deferral(classes=("Fault",)))
    late: Any = import_module("late")
    for error in (ValueError(), Exception(), OSError()):
        assert not isinstance(error, late.Fault)
    with pytest.raises(ValueError, match="not caught"):
        try:
            raise ValueError("not caught")
        except late.Fault:
            pass
    assert not loaded("late")
    assert late.use
    assert isinstance(late.Fault(), late.Fault)


def test_a_module_that_takes_such_a_class_is_loaded_after_it(folder: Folder) -> None:
    folder.write("late", "class Fault(Exception):\n    pass\n", Deferral(classes=("Fault",)))
    source = "import late\nFAULTS = (late.Fault,)\n"
    folder.write("later", source, Deferral(first="late"))
    import_module("late")
    later: Any = import_module("later")
    assert later.FAULTS[0].__module__ == "late"


def test_a_module_may_use_itself_while_it_is_loaded(folder: Folder) -> None:
    source = "import late\nfirst = 1\nsecond = late.first + 1\nbetween = hasattr(late, 'third')\n"
    folder.write("late", source + "third = 3\n", Deferral())
    late: Any = import_module("late")
    assert (late.second, late.between, late.third) == (2, False, 3)


def test_a_module_that_fails_is_loaded_again_at_the_next_use(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import sys\nif sys.no_library:\n    raise ImportError('no library')\nvalue = 7\n"
    folder.write("late", source, Deferral())
    late: Any = import_module("late")
    monkeypatch.setattr(sys, "no_library", True, raising=False)
    with pytest.raises(ImportError, match="no library"):
        _ = late.value
    monkeypatch.setattr(sys, "no_library", False)
    assert late.value == 7


def test_a_second_thread_waits_until_the_first_one_has_loaded_it(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = Event(), Event()
    monkeypatch.setattr(sys, "gates", (begun, go_on), raising=False)
    source = "import sys\nsys.gates[0].set()\nassert sys.gates[1].wait(30)\nvalue = 7\n"
    folder.write("late", source, Deferral())
    late: Any = import_module("late")
    seen: list[int] = []
    threads = [Thread(target=lambda: seen.append(late.value)) for _ in range(2)]
    threads[0].start()
    assert begun.wait(30)
    threads[1].start()
    threads[1].join(0.05)
    assert threads[1].is_alive()
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert seen == [7, 7]


# asyncio's own TLS, which healthd does not use today: a server and a client.
ASYNCIO_WITH_TLS = """
import sys
from healthd.cli.deferred import MODULES, defer
defer()
import asyncio
authority, certificate, key = sys.argv[1:]

def loaded():
    # The codec of host names loads unicodedata, with and without TLS.
    names = MODULES.keys() - {"unicodedata"}
    return {name for name in names if type(sys.modules.get(name)) is type(sys)}

async def answer(reader, writer):
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()

async def ask(port, **tls):
    reader, writer = await asyncio.open_connection("localhost", port, **tls)
    writer.write(b"hello\\n")
    print(await reader.readline())
    writer.close()

async def main():
    plain = await asyncio.start_server(answer, "localhost")
    await ask(plain.sockets[0].getsockname()[1])
    print(loaded())
    import ssl
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    secure = await asyncio.start_server(answer, "localhost", ssl=context)
    await ask(secure.sockets[0].getsockname()[1], ssl=ssl.create_default_context(cafile=authority))
    print(sorted(loaded()))

asyncio.run(main())
"""


@needs_openssl
def test_asyncio_loads_ssl_for_a_connection_with_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.issue("localhost")
    files = (authority.certificate, certificate, key)
    command = [sys.executable, "-c", ASYNCIO_WITH_TLS, *map(str, files)]
    done = run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr == ""
    plain, before, secure, after = done.stdout.splitlines()
    assert (plain, before) == ("b'HELLO\\n'", "set()")
    assert (secure, after) == ("b'HELLO\\n'", "['asyncio.sslproto', 'ssl']")
