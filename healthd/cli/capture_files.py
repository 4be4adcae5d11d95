"""``healthd capture show``, ``convert`` and ``to-test``: work with files of radio traffic."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from healthd.capture.conversion import ReadableLines
from healthd.capture.conversion import convert as convert_file
from healthd.capture.summary import summarise
from healthd.capture.to_test import NothingToTest
from healthd.capture.to_test_device import device_test
from healthd.capture.to_test_vectors import vectors
from healthd.cli import console
from healthd.cli.capture_report import report
from healthd.cli.run import EXIT_FAILED
from healthd.profiles import registry
from healthd.traffic.codec import BadCapture


def show(file: Path, as_json: bool) -> int:
    """Print what is in a file of radio traffic.

    Args:
        file: a capture, or a log of another program.
        as_json: print one JSON object.

    Returns:
        The exit code: 0; 1 the file cannot be read, or its end cannot.
    """

    def summary() -> int:
        lines = ReadableLines(file)
        found = summarise(lines, registry.load())
        found.problem = lines.problem
        if as_json:
            console.say_json(asdict(found))
        else:
            report(file, found)
        return _damaged(file, lines.problem)

    return _reading(file, summary)


def convert(file: Path, out: Path, keep_identity: bool) -> int:
    """Write a file of radio traffic in another format, and print what that format cannot say.

    Args:
        file: a capture, or a log of another program.
        out: the new file; its end says the format.
        keep_identity: keep addresses, names and serial numbers.

    Returns:
        The exit code: 0; 1 a file cannot be read or written, or the end of the first cannot.
    """

    def write() -> int:
        try:
            converted = convert_file(file, out, keep_identity=keep_identity)
        except FileExistsError:
            console.complain(f"{out}: exists, expected a new file")
            return EXIT_FAILED
        identity = "kept" if keep_identity else "replaced"
        console.say(
            f"{out}: {converted.lines} lines; addresses, names and serial numbers are {identity}"
        )
        if converted.unsaid:
            console.say("Packets cannot say everything. Left out or changed:")
        for what, lines, first_t in converted.unsaid:
            console.say(f"  {what} ({lines} lines, the first at {first_t:.6f} s)")
        return _damaged(file, converted.problem)

    return _reading(file, write)


def to_test(file: Path, name: str, folder: Path, kind: Literal["vector", "device"]) -> int:
    """Write a test from a capture; a second source has to confirm it.

    Args:
        file: a capture, or a log of another program.
        name: of the test.
        folder: the folder tests of a clone of healthd.
        kind: vectors of single values, or a test of the whole device.

    Returns:
        The exit code: 0; 1 nothing was written.
    """

    def write() -> int:
        try:
            written = (vectors if kind == "vector" else device_test)(file, name, folder)
        except NothingToTest as error:
            console.complain(f"{file}: {error}")
            return EXIT_FAILED
        console.say(*(f"{path}: {what}" for path, what in written.items()))
        console.say(
            "These values are healthd's own. CI refuses them until each `source` names a second "
            'source: see "A capture becomes a test" in CONTRIBUTING.md.'
        )
        return 0

    return _reading(file, write)


def _reading(file: Path, action: Callable[[], int]) -> int:
    try:
        return action()
    except BadCapture as error:
        console.complain(f"{file}: {error}")
    except ValueError as error:
        console.complain(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        console.complain(f"{error.filename or file}: {error.strerror or error}")
    return EXIT_FAILED


def _damaged(file: Path, problem: str) -> int:
    if not problem:
        return 0
    console.complain(f"{file}: {problem}; what comes before it was read")
    return EXIT_FAILED
