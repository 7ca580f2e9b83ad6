"""`./assay keeper`: does what anyone may do for a market on a cluster, with a key of one's own and no database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from assay.services.keeper import Done, Due, Keeper


def keeper(
    rpc: Annotated[str, typer.Option("--rpc", metavar="URL", help="JSON-RPC of the cluster.")],
    key: Annotated[Path, typer.Option(help="Key file of who pays the fees (Solana CLI's form).")],
    ws: Annotated[str | None, typer.Option(help="Web socket of the cluster, where it is not beside the RPC.")] = None,
    once: Annotated[bool, typer.Option("--once", help="One look, and end.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is due and do nothing.")] = False,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds between looks.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a look instead of text.")] = False,
) -> None:
    """Slash outliers, end requests past their deadline, refund, collect fees: whatever the program lets anyone do."""
    asyncio.run(_run(rpc, key, ws, once=once, dry_run=dry_run, seconds=seconds, as_json=as_json))


async def _run(
    rpc: str, key: Path, ws: str | None, *, once: bool, dry_run: bool, seconds: float, as_json: bool
) -> None:
    from assay.chain import setup
    from assay.chain.keys import read_key
    from assay.chain.rpc import RpcChain
    from assay.errors import AssayError
    from assay.server import configure_logging
    from assay.services.keeper import Keeper
    from assay.settings import load

    payer = read_key(key, field="--key")
    settings = load(log_level="warning")
    configure_logging(settings)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with RpcChain(rpc, ws_url=ws, priority_fee=settings.priority_fee) as chain:
        await setup.require(chain, url=rpc, field="--rpc")
        one = Keeper(chain, payer)
        while not ended.is_set():
            try:
                dues, done = await _look(one, dry_run=dry_run)
                _tell(dues, done, dry_run=dry_run, as_json=as_json)
            except AssayError as error:
                if once:
                    raise
                print(f"assay: {error}; again in {seconds:g} s", file=sys.stderr)
            if once:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await ended.wait()


async def _look(one: Keeper, *, dry_run: bool) -> tuple[list[Due], list[Done]]:
    dues = await one.look()
    return dues, [] if dry_run else await one.work_off(dues)


def _tell(dues: list[Due], done: list[Done], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        found: dict[str, Any] = {"due": [one.as_dict() for one in dues], "done": [one.as_dict() for one in done]}
        print(json.dumps(found), flush=True)
        return
    acts = {(one.due.act, one.due.subject): one for one in done}
    for due in dues:
        made = acts.get((due.act, due.subject))
        said = due.as_dict()
        if made is not None:
            end = f"done for {made.fee} lamports in {made.transaction}"
        else:
            end = "due" if dry_run else "not done: another was first, or it was refused"
        print(f"{due.act} {said.get('wallet', said['account'])}: {due.why}; {end}", flush=True)
    if not dues:
        print("nothing is due", flush=True)
