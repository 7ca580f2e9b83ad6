"""The command line: `./assay --help`. Each command imports what it needs when it runs, so that help is at once."""

from __future__ import annotations

import asyncio
import json
import runpy
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from assay import consensus_cli, dispute_cli, keeper_cli, standing_cli
from assay.errors import AssayError, ChainUnavailable
from assay.simulate import cli as simulate_cli

app = typer.Typer(
    help="Assay: a marketplace for AI training data on Solana, where every record is assayed before it is paid.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

HOME = "Folder in which everything lies."
Home = Annotated[Path | None, typer.Option(help=HOME, show_default=".assay")]
DemoHome = Annotated[Path | None, typer.Option(help=HOME, show_default=".assay/demo")]
UpHome = Annotated[Path | None, typer.Option(help=HOME, show_default=".assay/market")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Rpc = Annotated[
    str | None, typer.Option("--rpc", metavar="URL", help="A cluster's JSON-RPC instead of the embedded chain.")
]

app.command(name="consensus")(consensus_cli.consensus)
app.command(name="simulate")(simulate_cli.simulate)
app.command(name="standing")(standing_cli.standing)
app.command(name="keeper")(keeper_cli.keeper)
app.command(name="dispute")(dispute_cli.dispute)

ROOT = Path(__file__).resolve().parents[2]


@app.command()
def demo(
    home: DemoHome = None,
    rpc: Rpc = None,
    answers: Annotated[
        Path | None, typer.Option(help="Replay a crowd's answers: a CSV file with the columns task,worker,label.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="The right labels, for accuracy: a CSV file with task,label.")
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Run the reference example: 500 tokens, 50 records.")
    ] = False,
    records: Annotated[int, typer.Option(min=1, max=900, help="Images to have labelled.")] = 120,
    labelers: Annotated[int, typer.Option(min=3, max=60, help="Size of the crowd.")] = 10,
    overlap: Annotated[int, typer.Option(min=1, max=25, help="Answers wanted for each image.")] = 5,
    more: Annotated[
        str | None,
        typer.Option(help="Most answers and confidence (bps), such as 9:7500: more answers for records in doubt."),
    ] = None,
    validators: Annotated[int, typer.Option(min=3, max=12, help="Validator processes.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Run the whole market on real input: chain, database, API, settler, validators and a crowd."""
    from assay.demo import run

    options = run.Options(
        home=home, rpc=rpc, answers=answers, truth=truth, example=example,
        records=records, labelers=labelers, overlap=overlap, more=more, validators=validators, quiet=as_json,
    )  # fmt: skip
    result = asyncio.run(run.run(options))
    if as_json:
        print(json.dumps(result))
    else:
        run.show(result)


@app.command()
def up(
    home: UpHome = None,
    rpc: Rpc = None,
    port: Annotated[int, typer.Option(help="Port of the API and the pages; 0: any free one.")] = 8080,
    validators: Annotated[int, typer.Option(min=3, max=12, help="Validator processes.")] = 3,
) -> None:
    """Run the market as a server until Ctrl-C, with a sample request to label; started again it goes on."""
    from assay.demo import serve

    asyncio.run(serve.up(home=home, rpc=rpc, port=port, validators=validators))


@app.command()
def serve(
    home: Home = None,
    rpc: Rpc = None,
    port: Annotated[int, typer.Option(help="Port of the API; 0: any free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Run chain, database, API and settler in this process, for an operator who starts the rest apart."""
    from assay import server
    from assay.settings import load

    asyncio.run(server.run(load(home=home, rpc_url=rpc, port=port, host=host)))


@app.command()
def replay(home: DemoHome = None, rpc: Rpc = None, as_json: AsJson = False) -> None:
    """Audit: recompute every verdict, tally, payment and log head from chain and vote log alone."""
    from assay.demo import audit

    result = asyncio.run(audit.replay(home=home, rpc=rpc))
    print(json.dumps(result) if as_json else audit.text(result))
    if not result["ok"]:
        raise typer.Exit(1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def validator(context: typer.Context) -> None:
    """Run a validator: votes, recomputes every verdict, co-signs settlements (`./assay validator --help`)."""
    from assay_validator import cli

    cli.main(context.args, name="assay validator")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def bench(context: typer.Context, name: Annotated[str, typer.Argument(help="A module of benchmarks/.")]) -> None:
    """Measure: `./assay bench NAME [--json]`, where NAME is a module of `benchmarks/`."""
    folder = ROOT / "benchmarks"
    names = sorted(path.stem for path in folder.glob("[a-z]*.py"))
    if name in ("--help", "-h"):
        print(f"Usage: assay bench NAME [--help | options]\n\nNAME is one of {', '.join(names)}.")
        return
    if name not in names:
        raise AssayError(f"there is no benchmark {name!r}", field="NAME", hint=f"one of {', '.join(names)}")
    sys.argv = [str(folder / f"{name}.py"), *context.args]
    sys.path.insert(0, str(folder))
    runpy.run_path(sys.argv[0], run_name="__main__")


def _option_of(error: AssayError, args: list[str]) -> str | None:
    """The option or argument that an error's field stands for, as it is written on the command line."""
    from assay.settings import OPTIONS

    if isinstance(error, ChainUnavailable) and error.field is None:
        return "--rpc" if any(one.partition("=")[0] == "--rpc" for one in args) else None
    if error.field in OPTIONS:
        return OPTIONS[error.field]
    command = typer.main.get_group(app).commands.get(args[0]) if args else None
    for parameter in command.params if command else ():
        if parameter.name == error.field:
            named = [one for one in parameter.opts if one.startswith("--")]
            return named[0] if named else str(parameter.name).upper()
    return None


def main() -> Any:
    """Entry point. An `AssayError`, or a file that cannot be used, ends the command with its message and exit code 1;
    Ctrl-C with 130."""
    try:
        app(prog_name="assay")
    except AssayError as error:
        if option := _option_of(error, sys.argv[1:]):
            error.field = option
        print(f"assay: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"assay: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
