"""``healthd capture``: take a capture, and work with the files."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from healthd.cli import completion
from healthd.cli.usage import Commands

_TAKE = "take"


class _CaptureCommands(Commands):
    """Reads ``capture ID`` as ``capture take ID``, unless ID is the name of a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the command that is left out; see click."""
        first = args[0] if args else "--help"
        if first not in self.commands and first not in ("-h", "--help"):
            args = [_TAKE, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Offer the commands, and the ids that may stand in place of one; see click."""
        take: Any = self.commands[_TAKE]
        with take.make_context(_TAKE, [], parent=ctx, resilient_parsing=True) as inner:
            ids = take.params[0].shell_complete(inner, incomplete)
        return [*super().shell_complete(ctx, incomplete), *ids]


app = typer.Typer(cls=_CaptureCommands, no_args_is_help=True)

_File = Annotated[Path, typer.Argument(metavar="FILE", help="A capture or a log.")]
_Keep = Annotated[
    bool,
    typer.Option("--keep-identity", help="Keep addresses, names and serial numbers as they are."),
]


@app.command(_TAKE)
def take(
    peripheral: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Id of the peripheral in the settings.",
            autocompletion=completion.peripherals,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file to write; it must not exist.")],
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Stop after this time (default: at Ctrl-C).")
    ] = None,
    keep_identity: _Keep = False,
    stored: Annotated[
        bool,
        typer.Option(
            "--stored", help="Write what the daemon has kept on disk: see capture in the settings."
        ),
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="Settings file (default: /etc/healthd/healthd.toml).")
    ] = None,
) -> None:
    """Write to a file what a peripheral and the running daemon say to each other.

    "healthd capture ID" is short for it. Addresses, names and serial numbers are
    replaced; keys and codes are left out. Exit code 1 if no daemon is running.
    """
    from healthd.cli.capture import main

    if stored and minutes is not None:
        raise typer.BadParameter("--minutes cannot be combined with --stored")
    raise typer.Exit(main(peripheral, minutes, out, keep_identity, stored, config))


@app.command()
def show(
    file: _File,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Summarise a capture, or a log of another program."""
    from healthd.cli.capture_files import show as show_file

    raise typer.Exit(show_file(file, json))


@app.command()
def convert(
    file: _File,
    out: Annotated[Path, typer.Option(help="The file to write; its ending says the format.")],
    keep_identity: _Keep = False,
) -> None:
    """Write a capture or a log in another format: .jsonl, .btsnoop or .pcap.

    Addresses, names and serial numbers are replaced; keys and codes are left out.
    """
    from healthd.cli.capture_files import convert as convert_file

    raise typer.Exit(convert_file(file, out, keep_identity))


@app.command("to-test")
def to_test(
    file: _File,
    name: Annotated[str, typer.Option(help="What the test is called, such as an-odd-scale.")],
    folder: Annotated[
        Path, typer.Option(help="Where it is written: the folder tests of a clone of healthd.")
    ] = Path("tests"),
    kind: Annotated[
        Literal["vector", "device"],
        typer.Option(help="Vectors of single values, or a test of the whole device."),
    ] = "device",
) -> None:
    """Make a test from a capture; a second source has to confirm the values it expects."""
    from healthd.cli.capture_files import to_test as write_test

    raise typer.Exit(write_test(file, name, folder, kind))
