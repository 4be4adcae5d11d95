"""The command line: what each command takes. What it does is loaded when it is called."""

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Literal

import typer

from healthd.cli import completion
from healthd.simulator.names import NAMES

app = typer.Typer(
    help="Bluetooth LE heart-rate, fitness and health sensors to MQTT.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

_Config = Annotated[Path | None, typer.Option(help="Settings (/etc/healthd/healthd.toml).")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from healthd.cli.version import text

        typer.echo(text())
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show it and the build, exit."
        ),
    ] = False,
) -> None:
    pass


@app.command()
def run(
    config: _Config = None,
) -> None:
    """Run the daemon until SIGTERM or SIGINT."""
    from healthd.cli.run import main

    raise typer.Exit(main([] if config is None else ["--config", str(config)]))


@app.command()
def demo(
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="End after this long instead of at Ctrl-C.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Simulate the peripherals of these settings and use their broker."),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,NAME]...",
            autocompletion=completion.models,
            help=f"Show these instead of three straps: {', '.join(NAMES)}.",
        ),
    ] = None,
) -> None:
    """Run the same daemon on simulated peripherals, with a live view; no radio, no root."""
    if profile and config:
        raise typer.BadParameter("the settings of --config say what to show: leave out --profile")
    try:
        from healthd.cli.demo import main
        from healthd.simulator.catalogue import select_models
    except ModuleNotFoundError as error:
        typer.echo(f'healthd demo needs {error.name}: pip install "healthd[sim]"', err=True)
        raise typer.Exit(1) from error
    try:
        models = select_models(profile or [])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--profile") from error
    raise typer.Exit(main(seconds, config, models))


@app.command()
def decode(
    uuid: Annotated[
        str | None,
        typer.Argument(
            help="Characteristic, such as 2a37.", autocompletion=completion.characteristics
        ),
    ] = None,
    payload: Annotated[
        str | None, typer.Argument(metavar="HEX", help="Its bytes; - for none.")
    ] = None,
    device: Annotated[str, typer.Option(help="Name that the device advertises.")] = "",
    maker: Annotated[str, typer.Option(help="Its maker, as its Device Information says.")] = "",
    model: Annotated[str, typer.Option(help="Its model, likewise.")] = "",
) -> None:
    """Decode UUID HEX, or lines of `UUID HEX` from standard input, to one JSON line each."""
    from healthd.cli.decode import decode as decode_lines
    from healthd.profiles.quirks import Identity

    if uuid is not None and payload is None:
        raise typer.BadParameter("HEX is missing behind UUID; write - for an empty payload")
    # A device's name may hold any character, and standard input any byte.
    lines = TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace")
    out = TextIOWrapper(sys.stdout.buffer, encoding="utf-8", write_through=True)
    raise typer.Exit(decode_lines(uuid, payload, lines, out, Identity(device, maker, model)))


@app.command()
def schema(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="Payload, such as heart_rate or health.", autocompletion=completion.kinds
        ),
    ] = None,
    format: Annotated[
        Literal["jsonschema", "asyncapi", "markdown", "mqtt"],
        typer.Option(
            help="JSON Schema, AsyncAPI 3, or the pages docs/profiles.md (markdown) and "
            "docs/mqtt.md (mqtt)."
        ),
    ] = "jsonschema",
) -> None:
    """Print what is published, with units and codes: everything, or one KIND of payload."""
    out = TextIOWrapper(sys.stdout.buffer, encoding="utf-8", write_through=True)
    if format == "jsonschema":
        from healthd.cli.contract.schema import schema as write_schema

        raise typer.Exit(write_schema(kind, out, sys.stderr))
    if kind is not None:
        raise typer.BadParameter(f"{format} is about all of them: leave KIND out")
    if format == "asyncapi":
        from healthd.cli.contract.asyncapi import page
    elif format == "mqtt":
        from healthd.cli.contract.mqtt_page import page
    else:
        from healthd.cli.contract.reference import page
    out.write(page())


@app.command()
def outbox(
    config: Annotated[Path | None, typer.Option(help="Settings that say where it is.")] = None,
    directory: Annotated[Path | None, typer.Option(help="Where it is.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what waits on disk for the broker, by stream."""
    from healthd.cli.outbox import main

    raise typer.Exit(main(config, directory, json))


@app.command()
def fetch(
    peripheral: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="As the settings name it.",
            autocompletion=completion.periodic_peripherals,
        ),
    ],
    config: _Config = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON line, as in event/fetch.")] = False,
) -> None:
    """Have the running daemon fetch a periodic peripheral now, and print how that went.

    Exit code 0 for new_data and no_data; 1 for failed and timeout, or without a daemon.
    """
    from healthd.cli.fetch import main

    raise typer.Exit(main(peripheral, config, json))


@app.command()
def pair(
    peripheral: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="As the settings name it.", autocompletion=completion.peripherals
        ),
    ],
    config: _Config = None,
    again: Annotated[
        bool, typer.Option("--again", help="Forget the bond that there is, and pair anew.")
    ] = False,
) -> None:
    """Pair with a peripheral of the settings; the daemon may run meanwhile."""
    from healthd.cli.pair import main

    raise typer.Exit(main(peripheral, config, again))


@app.command()
def scan(
    config: _Config = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to listen.")] = 10.0,
    add: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Add this one, by its id or address, to the settings."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what is in range, what healthd reads of it, and the block for the settings.

    Asks on a terminal which one to add. The daemon may run meanwhile.
    """
    from healthd.cli.scan import main

    raise typer.Exit(main(config, seconds, add, json))


@app.command()
def doctor(
    config: _Config = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check Bluetooth, settings, broker, clock, outbox and service; say how to fix what is wrong.

    Exit code 1 if anything is wrong. The daemon may run meanwhile.
    """
    from healthd.cli.doctor import main

    raise typer.Exit(main(config, json))


@app.command()
def watch(
    broker: Annotated[str, typer.Option(help="host, host:port or [IPv6]:port.")] = "localhost",
    prefix: Annotated[str, typer.Option(help="First level of the topics.")] = "healthd",
    config: Annotated[
        Path | None, typer.Option(help="Take broker, prefix and credentials from these settings.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="End after this long instead of at Ctrl-C.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object for each message.")] = False,
) -> None:
    """Show samples as they arrive at any broker: a live table, or lines where no terminal is.

    The objects of --json have arrived (UTC), topic, retained, gateway,
    peripheral (null for the gateway's own), stream (such as heart_rate, status
    or event/gap), history, and payload: JSON, or text such as "online".
    """
    from healthd.cli.watch import main

    raise typer.Exit(main(broker, prefix, config, seconds, json))
