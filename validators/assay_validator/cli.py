"""The worker's command line: `assay-validator --key FILE --api URL --rpc URL --judge module:function`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import structlog
import typer

from assay.chain.keys import read_key
from assay.chain.rpc import RpcChain
from assay.errors import AssayError, ConfigError
from assay_validator import judge as judges
from assay_validator.link import Link
from assay_validator.metrics import Metrics
from assay_validator.state import State
from assay_validator.worker import Worker

log = structlog.get_logger(__name__)
LEVELS = ("debug", "info", "warning", "error")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _logging(*, as_json: bool, level: str) -> None:
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )


async def _run(key: Path, api: str, rpc: str, ws: str | None, judge: str, state: Path, metrics: int | None) -> None:
    keypair = read_key(key, field="--key")
    chosen = judges.load(judge)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    record = State(state)
    chain = RpcChain(rpc, ws_url=ws)
    worker = Worker(keypair, link=Link(keypair, api), chain=chain, state=record, judge=chosen, metrics=Metrics(metrics))
    log.info("started", wallet=str(keypair.pubkey()), api=api, rpc=rpc, judge=judge, pid=os.getpid())
    running = asyncio.create_task(worker.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
    finally:
        for task in (running, stopping):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await chain.close()
        record.close()
        log.info("stopped")


@app.command()
def run(
    key: Annotated[Path, typer.Option(help="Key file of the validator's wallet (Solana CLI's form).")],
    api: Annotated[str, typer.Option(help="Address of the market's API.")],
    rpc: Annotated[str, typer.Option(help="JSON-RPC of the chain; the worker believes it, not the market.")],
    judge: Annotated[str, typer.Option(help=f"What judges answers: module:function, or {', '.join(judges.BUILT_IN)}.")],
    ws: Annotated[str | None, typer.Option(help="Web socket of the chain; derived from --rpc if left out.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="The worker's durable record.", show_default="beside the key file")
    ] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Port on 127.0.0.1 for Prometheus.")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    log_json: Annotated[bool, typer.Option(help="Log JSON lines.")] = True,
) -> None:
    """Run a validator until SIGTERM: vote, recompute every verdict, co-sign what is right."""
    if log_level not in LEVELS:
        raise ConfigError(f"is {log_level!r}", field="--log-level", hint=f"one of {', '.join(LEVELS)}")
    _logging(as_json=log_json, level=log_level)
    where = state if state is not None else key.with_suffix(".sqlite")
    asyncio.run(_run(key, api, rpc, ws, judge, where, metrics_port))


def main(args: Sequence[str] | None = None, *, name: str = "assay-validator") -> None:
    """Entry point; `args` are by default those of the process. An `AssayError` ends it with its message and code 1."""
    try:
        app(args, prog_name=name)
    except (AssayError, judges.JudgeUnusable) as error:
        print(f"assay-validator: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
