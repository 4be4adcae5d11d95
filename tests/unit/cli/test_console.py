"""Commands print through ``healthd.cli.console`` and ``healthd.cli.tables``, and nothing else."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

import healthd
from healthd.cli import console, tables
from tests.unit.cli.machine import Machine

PACKAGE = Path(healthd.__file__).parent

# Whatever else writes: the log has its own checks, and the helper that runs as root must not import
# anything of healthd; it writes ASCII.
WRITERS = {"cli/console.py", "cli/tables.py", "log/__init__.py", "host/adapter_reset.py"}

MODULES = sorted(
    str(file.relative_to(PACKAGE))
    for file in PACKAGE.rglob("*.py")
    if str(file.relative_to(PACKAGE)) not in WRITERS
)

# They print nothing: whether it is a terminal, its number, and how it writes.
HARMLESS = {"isatty", "fileno", "reconfigure"}

# Typer's classes of the command line, a question of our own, and an exit without text.
TYPER = {"Typer", "Option", "Argument", "Context", "BadParameter", "Exit", "prompt"}

# A table without text, and what draws it again and again.
RICH = {"Table", "Live"}


def prints(source: str) -> Iterator[str]:
    """What a module does with the standard streams, in its own way."""
    tree = ast.parse(source)
    parents = {inner: outer for outer in ast.walk(tree) for inner in ast.iter_child_nodes(outer)}
    rich: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rich":
            rich |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module in ("sys", "typer", "click"):
            yield ast.unparse(node)
        if isinstance(node, ast.Import) and any(alias.name == "rich" for alias in node.names):
            yield ast.unparse(node)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("print", "input") or node.func.id in rich - RICH:
                yield ast.unparse(node)
        elif isinstance(node, ast.Attribute):
            text, outer = ast.unparse(node), parents[node]
            if text.startswith("typer.") and text.split(".")[1] not in TYPER:
                yield text
            elif text in ("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"):
                if isinstance(outer, ast.Call) and ast.unparse(outer.func) == "cast":
                    outer = parents[outer]
                if not (isinstance(outer, ast.Attribute) and outer.attr in HARMLESS):
                    yield ast.unparse(outer)


def unsafe(file: str) -> list[str]:
    found = list(prints((PACKAGE / file).read_text(encoding="utf-8")))
    if file == "cli/__init__.py":
        # It opens /dev/null for a closed stream, and looks at the encoding.
        found = [text for text in found if not text.startswith("sys.stdout")]
    return found


def test_all_modules_print_only_through_the_console() -> None:
    assert len(MODULES) > 300
    assert {file: found for file in MODULES if (found := unsafe(file))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "print(name)",
        "print(name, file=sys.stderr)",
        "typer.echo(name)",
        "typer.secho(name)",
        "sys.stdout.write(name)",
        "sys.stdout.buffer.write(name)",
        "out = TextIOWrapper(sys.stdout.buffer)",
        "write(name, sys.stderr)",
        "from typer import echo",
        "from sys import stdout",
        "import rich",
        "from rich.console import Console\nConsole().print(name)",
        "from rich.text import Text as T\nT(name)",
        "from rich import print as p\np(name)",
    ],
)
def test_the_check_above_sees(source: str) -> None:
    assert list(prints(source))


def test_brackets_are_text_and_not_a_style(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tables.cell("[red]x[/red] [link=http://x]y[/link]").plain.startswith("[red]x[/red]")
    table = tables.table("[b]heading")
    tables.add_row(table, "[/]", 5, None)
    monkeypatch.setenv("COLUMNS", "60")
    tables.show(table)
    out = capsys.readouterr().out
    assert "[b]heading" in out
    assert "[/]" in out


def test_a_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("a\nb", "c\x1b[2J")
    console.complain("d\u2028e\r")
    assert capsys.readouterr() == ("a?b\nc?[2J\n", "d?e?\n")


def test_a_name_in_a_message_is_short() -> None:
    assert console.name("Strap 1") == "Strap 1"
    assert console.name("x" * 1000) == "x" * 59 + "…"


def test_json_is_one_line_with_the_same_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"Müller": ["\u202e\x85\x7f\u2028\U000e0041\n\\", "心率"]}
    console.say_json(value)
    out = capsys.readouterr().out
    assert orjson.loads(out) == value
    assert out.isascii() is False, "names stay readable"
    assert out.count("\n") == 1
    assert out[:-1].isprintable()


def test_a_path_with_any_byte_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("a\udcff")
    console.say_json({"file": "a\udcff"})
    assert capsys.readouterr().out == 'a?\n{"file": "a\\udcff"}\n'


def test_a_terminal_with_few_characters_shows_question_marks(machine: Machine) -> None:
    script = (
        "import sys\n"
        "from healthd.cli import main, console, tables, version\n"
        "version.text = lambda: 'Müller 心率'\n"
        "sys.argv = ['healthd', '--version']\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    tables.show(tables.line('Müller 心率'))\n"
    )
    environ = machine.environ | {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == "Müller ??\nMüller ??\n".encode("latin-1")


def test_a_line_has_a_bound(capsys: pytest.CaptureFixture[str]) -> None:
    console.complain("x" * 1_000_000)
    assert len(capsys.readouterr().err) == 4001


def test_an_unexpected_error_is_shown_without_control_characters(machine: Machine) -> None:
    script = (
        "import sys\n"
        "from healthd.cli import main, version\n"
        "def text():\n"
        "    raise RuntimeError('Zq\\x1b[31m\\u202e')\n"
        "version.text = text\n"
        "sys.argv = ['healthd', '--version']\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, env=machine.environ, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert done.stderr.decode().endswith("RuntimeError: Zq?[31m?\n")
    assert b"Traceback" in done.stderr


def test_progress_is_shown_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console.show_progress("12 lines")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    console.show_progress("12 \x07lines")
    console.show_progress("")
    first, second, third = capsys.readouterr().err.split("\r\x1b[K")
    assert (first, third) == ("", "")
    assert second.startswith("12 ")
    assert "\x07" not in second
