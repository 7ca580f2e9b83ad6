"""`./assay replay`: the auditor over a home's chain and published vote logs."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from assay.chain.base import Chain
from assay.chain.embedded import EmbeddedChain
from assay.chain.program import load_program
from assay.chain.rpc import RpcChain
from assay.errors import ConfigError
from assay.services.audit.reader import ChainReader, LogFolder
from assay.services.audit.replay import replay as audit
from assay.settings import Settings, load

DEFAULT_HOME = Path(".assay/demo")


async def replay(*, home: Path | None = None, rpc: str | None = None) -> dict[str, Any]:
    """Replay everything under `home`; `ok` and, if not, the first `finding` that does not fit.

    The chain is the one at `rpc`, else the one of the server that runs on this home, else the home's embedded chain.
    Raises `ConfigError` if there is none.
    """
    settings = load(home=home or DEFAULT_HOME, rpc_url=rpc)
    if not settings.log_dir.is_dir() and not settings.chain_dir.is_dir():
        raise ConfigError(f"there is no market under {settings.home}", field="--home", hint="run ./assay demo first")
    async with _chain(settings) as chain:
        return (await audit(ChainReader(chain), LogFolder(settings.log_dir))).as_dict()


@asynccontextmanager
async def _chain(settings: Settings) -> AsyncIterator[Chain]:
    program = load_program(settings.program_id)
    url = settings.rpc_url or _running(settings)
    if url is not None:
        chain: RpcChain | EmbeddedChain = RpcChain(url, program=program)
    elif not settings.chain_dir.exists():
        raise ConfigError(
            f"{settings.home} has no chain of its own", field="--rpc", hint="the JSON-RPC of the cluster it used"
        )
    else:
        chain = EmbeddedChain(settings.home, program=program)
        await chain.open()
    try:
        yield chain
    finally:
        await chain.close()


def _running(settings: Settings) -> str | None:
    """JSON-RPC of the chain of the server that runs on this home; None where none runs, or a killed one said so."""
    try:
        state = json.loads((settings.home / "run" / "server.json").read_text())
        os.kill(state["pid"], 0)
    except (FileNotFoundError, ProcessLookupError):
        return None
    except PermissionError:
        pass  # it runs as somebody else
    return str(state["rpc_url"])


def text(result: dict[str, Any]) -> str:
    """The result for a person."""
    counts = (
        "requests", "batches", "records", "answers", "votes", "signatures", "panels", "reseeded", "handouts", "events",
    )  # fmt: skip
    head = "Everything fits." if result["ok"] else f"DOES NOT FIT: {result['finding']['text']}"
    return "\n".join([head, *(f"{name:>12}  {result[name]:,}" for name in counts)])
