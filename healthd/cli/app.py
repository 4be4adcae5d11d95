"""The command line: arguments and options of each command, whose code is loaded when it runs."""

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Literal

import typer

from healthd.cli import capture_app, completion, console
from healthd.cli.usage import Commands
from healthd.simulator.names import NAMES

app = typer.Typer(
    cls=Commands,
    help="Publish Bluetooth LE heart-rate, fitness and health sensors to MQTT.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.add_typer(
    capture_app.app, name="capture", help="Write radio traffic to a file, and work with such files."
)

_Config = Annotated[
    Path | None, typer.Option(help="Settings file (default: /etc/healthd/healthd.toml).")
]


def _show_version(requested: bool) -> None:
    if requested:
        from healthd.cli.version import text

        console.say(*text().splitlines())
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show version and build, then exit.",
        ),
    ] = False,
) -> None:
    pass


_ReplayFile = Annotated[
    Path | None,
    typer.Option("--replay", metavar="FILE", help="Play this capture instead of Bluetooth."),
]
_Speed = Annotated[
    float, typer.Option(min=0.01, help="Play the capture this many times as fast as it was.")
]
_Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic",
        help="Play the capture with its own times, so that all output is the same each time.",
    ),
]


def _check_replay(replay: Path | None, speed: float, deterministic: bool) -> None:
    if replay is None and (speed != 1 or deterministic):
        raise typer.BadParameter("--speed and --deterministic need --replay")
    if speed != 1 and deterministic:
        raise typer.BadParameter("--speed cannot be combined with --deterministic")


@app.command()
def run(
    config: _Config = None,
    replay: _ReplayFile = None,
    speed: _Speed = 1.0,
    deterministic: _Deterministic = False,
) -> None:
    """Run the daemon until SIGTERM or SIGINT, or to the end of a capture."""
    from healthd.cli.run import DEFAULT_CONFIG, main

    _check_replay(replay, speed, deterministic)
    if replay is not None:
        from healthd.cli.replay import Replay
        from healthd.cli.replay import run as play

        raise typer.Exit(play(config or DEFAULT_CONFIG, Replay(replay, speed, deterministic)))
    raise typer.Exit(main(config or DEFAULT_CONFIG))


@app.command()
def demo(
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Stop after this time (default: at Ctrl-C).")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Simulate the peripherals of this settings file and use its broker."),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,NAME]...",
            autocompletion=completion.models,
            help="Simulate these devices instead of three chest straps; NAME is one of "
            f"{', '.join(NAMES)}.",
        ),
    ] = None,
    replay: _ReplayFile = None,
    speed: _Speed = 1.0,
    deterministic: _Deterministic = False,
) -> None:
    """Run the daemon with simulated peripherals and show their samples live.

    Needs no Bluetooth adapter, no broker and no root.
    """
    _check_replay(replay, speed, deterministic)
    if profile and (config or replay):
        other = "--config" if config else "--replay"
        raise typer.BadParameter(f"--profile cannot be combined with {other}")
    try:
        from healthd.cli.demo import main
        from healthd.simulator.catalogue import select_models
    except ModuleNotFoundError as error:
        console.complain(f'healthd demo needs {error.name}: pip install "healthd[sim]"')
        raise typer.Exit(1) from error
    try:
        models = select_models(profile or [])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--profile") from error
    if replay is not None:
        from healthd.cli.replay import Replay
        from healthd.cli.replay_demo import main as play

        raise typer.Exit(play(seconds, config, Replay(replay, speed, deterministic)))
    raise typer.Exit(main(seconds, config, models))


@app.command()
def decode(
    uuid: Annotated[
        str | None,
        typer.Argument(
            help="UUID of the characteristic, such as 2a37. With --advertisement: HEX, or a key "
            "such as service_data_181d.",
            autocompletion=completion.sources,
        ),
    ] = None,
    payload: Annotated[
        str | None,
        typer.Argument(metavar="HEX", help="Its value in hex digits; - for an empty value."),
    ] = None,
    advertisement: Annotated[
        bool,
        typer.Option(
            "--advertisement",
            help="HEX is what a device advertises: an advertisement (and its scan response), or "
            "service data or manufacturer data from UUID or company id on.",
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="Name that the device advertises.")] = "",
    maker: Annotated[
        str, typer.Option(help="Manufacturer name from the device's Device Information service.")
    ] = "",
    model: Annotated[
        str, typer.Option(help="Model number from the device's Device Information service.")
    ] = "",
    address: Annotated[
        str, typer.Option(help="Address of the device, if its advertisement is encrypted.")
    ] = "",
    bind_key_file: Annotated[
        Path | None, typer.Option(help="File with its key: 32 hex digits.")
    ] = None,
    capture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Decode all values of a capture, or of a log of a phone, btmon or Wireshark.",
        ),
    ] = None,
    handle: Annotated[
        list[str] | None,
        typer.Option(
            "--uuid",
            metavar="HANDLE=UUID",
            help="With --capture: the UUID of a handle, if the log began too late to show it.",
        ),
    ] = None,
    format: Annotated[
        Literal["jsonl", "table"] | None,
        typer.Option(
            help="With --capture: JSON lines or a table (default: a table on a terminal)."
        ),
    ] = None,
) -> None:
    """Decode the value of a characteristic, or an advertisement, and print one line of JSON.

    Without arguments, decode lines of "UUID HEX" from standard input; with only
    --advertisement, lines of HEX. Some devices deviate from the specification:
    --device, --maker and --model select their decoder. With --capture, --device
    selects the devices to show, by address or by name.
    """
    if capture is not None:
        if uuid or payload or advertisement or maker or model or address or bind_key_file:
            raise typer.BadParameter("--capture works with --device, --uuid and --format only")
        from healthd.cli.decode_capture import main, parse_uuids

        try:
            uuids = parse_uuids(handle or [])
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--uuid") from error
        raise typer.Exit(main(capture, device, uuids, format))
    if handle or format:
        raise typer.BadParameter("--uuid and --format need --capture")
    # A device's name may contain any character, and standard input any byte.
    lines = TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace")
    if advertisement:
        from healthd.cli.decode_advertisement import advertiser, decode_advertisements

        words = [word for word in (uuid, payload) if word is not None]
        try:
            sender = advertiser(device, maker, model, address, bind_key_file)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        raise typer.Exit(decode_advertisements(words, lines, console.say_json, sender))
    from healthd.cli.decode import decode as decode_lines
    from healthd.profiles.identity import Identity

    if address or bind_key_file:
        raise typer.BadParameter("--address and --bind-key-file need --advertisement")
    if uuid is not None and payload is None:
        raise typer.BadParameter("HEX is missing after UUID; write - for an empty value")
    identity = Identity(device, maker, model)
    raise typer.Exit(decode_lines(uuid, payload, lines, console.say_json, identity))


@app.command()
def schema(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="One payload only, such as heart_rate or health (jsonschema only).",
            autocompletion=completion.kinds,
        ),
    ] = None,
    format: Annotated[
        Literal["jsonschema", "asyncapi", "markdown", "mqtt"],
        typer.Option(
            help="JSON Schema, AsyncAPI 3, or a reference page: docs/profiles.md (markdown) or "
            "docs/mqtt.md (mqtt)."
        ),
    ] = "jsonschema",
) -> None:
    """Print the schema of everything that healthd publishes, with units and codes."""
    if format == "jsonschema":
        from healthd.cli.contract.schema import UnknownKind
        from healthd.cli.contract.schema import schema as document

        try:
            console.say_data(*document(kind).splitlines())
        except UnknownKind as error:
            console.complain(str(error))
            raise typer.Exit(1) from error
        return
    if kind is not None:
        raise typer.BadParameter(f"--format {format} always covers all payloads: leave KIND out")
    if format == "asyncapi":
        from healthd.cli.contract.asyncapi import page
    elif format == "mqtt":
        from healthd.cli.contract.mqtt_page import page
    else:
        from healthd.cli.contract.reference import page
    console.say_data(*page().splitlines())


@app.command()
def outbox(
    config: Annotated[
        Path | None, typer.Option(help="Settings file that names the outbox's folder.")
    ] = None,
    directory: Annotated[Path | None, typer.Option(help="Folder of the outbox.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the samples on disk that the broker has not acknowledged yet, by stream."""
    from healthd.cli.outbox import main

    raise typer.Exit(main(config, directory, json))


@app.command()
def fetch(
    peripheral: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Id of the peripheral in the settings.",
            autocompletion=completion.periodic_peripherals,
        ),
    ],
    config: _Config = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON, as in event/fetch.")
    ] = False,
) -> None:
    """Fetch a periodic peripheral now through the running daemon, and print the outcome.

    Exit code 0 for new_data and no_data; 1 for failed and timeout, or if no daemon is running.
    """
    from healthd.cli.fetch import main

    raise typer.Exit(main(peripheral, config, json))


@app.command()
def pair(
    peripheral: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Id of the peripheral in the settings.",
            autocompletion=completion.peripherals,
        ),
    ],
    config: _Config = None,
    again: Annotated[
        bool, typer.Option("--again", help="Replace an existing bond, and the key if it has one.")
    ] = False,
) -> None:
    """Pair with a peripheral of the settings.

    The daemon can keep running.
    """
    from healthd.cli.pair import main

    raise typer.Exit(main(peripheral, config, again))


@app.command()
def scan(
    config: _Config = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to listen.")] = 10.0,
    add: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Add the device with this id or address to the settings."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the devices in range, their profiles, and the settings block for each of them.

    On a terminal it asks which device to add to the settings. The daemon can keep running.
    """
    from healthd.cli.scan import main

    raise typer.Exit(main(config, seconds, add, json))


@app.command()
def doctor(
    config: _Config = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check Bluetooth, settings, broker, clock, outbox and service, and show how to fix problems.

    Exit code 1 if anything is wrong. The daemon can keep running.
    """
    from healthd.cli.doctor import main

    raise typer.Exit(main(config, json))


@app.command()
def watch(
    broker: Annotated[
        str, typer.Option(help="Broker as host, host:port or [IPv6]:port.")
    ] = "localhost",
    prefix: Annotated[str, typer.Option(help="First level of the topics.")] = "healthd",
    config: Annotated[
        Path | None,
        typer.Option(help="Take broker, prefix and credentials from this settings file."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Stop after this time (default: at Ctrl-C).")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per message.")
    ] = False,
) -> None:
    """Show samples as they arrive at a broker: a live table, or lines if there is no terminal.

    The objects of --json contain arrived (UTC), topic, retained, gateway,
    peripheral (null for the gateway's own topics), stream (such as heart_rate,
    status or event/gap), history, and payload: JSON, or text such as "online". JSON
    nested deeper than 64 levels is text, too.
    """
    from healthd.cli.watch import main

    raise typer.Exit(main(broker, prefix, config, seconds, json))


@app.command("hass-backfill")
def hass_backfill(
    config: _Config = None,
    once: Annotated[
        bool, typer.Option("--once", help="Import the late samples that wait, then stop.")
    ] = False,
) -> None:
    """Import late samples into Home Assistant's statistics, at the hours they belong to.

    Runs until SIGTERM or Ctrl-C, in addition to the daemon, on any machine. Needs [hass] in the
    settings. Exit code of --once: 1 if hours are left to import.
    """
    try:
        from healthd.cli.backfill import main
    except ModuleNotFoundError as error:
        console.complain(f'healthd hass-backfill needs {error.name}: pip install "healthd[hass]"')
        raise typer.Exit(1) from error
    raise typer.Exit(main(config, once))
