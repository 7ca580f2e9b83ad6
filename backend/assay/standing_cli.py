"""`./assay standing`: what the market's rules make of one's own wallet, in words."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer


def standing(
    key: Annotated[Path, typer.Option(help="Key file of the wallet (Solana CLI's form).")],
    api: Annotated[str, typer.Option(help="Address of the market's API.")] = "http://127.0.0.1:8080",
    request: Annotated[str | None, typer.Option(help="A request too: the wallet's weight and any suspicion.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Show a labeler or validator its own tier, scores and strikes, and what a request's rules make of it."""
    found = asyncio.run(_ask(key, api, request))
    print(json.dumps(found) if as_json else text(found))


async def _ask(key: Path, api: str, request: str | None) -> dict[str, Any]:
    from assay.chain.keys import read_key
    from assay.client import Client

    async with Client(api, key=read_key(key)) as client:
        return await client.standing(request=request)


def text(found: dict[str, Any]) -> str:
    """A paragraph a rule."""
    parts = [f"{found['role']} {found['wallet']}"]
    if found["tier"] is not None:
        parts.append(f"Tier. {found['tier']['text']}")
    parts += [
        f"Score, {one['kind']}. {one['text']} Where votes are weighted yours counts {one['weight']:.4f}. "
        f"{one['current_text']}"
        for one in found["scores"]
    ]
    judged = found["strikes"]
    parts.append(f"Strikes. {judged['text']} A conviction takes {judged['stake_at_risk']} tokens of your stake.")
    parts += [f"Slashed, {one['at']}. {one['text']} Transaction {one['transaction']}." for one in judged["slashed"]]
    if found["request"] is not None:
        inside = found["request"]
        unpaid = f", {inside['unpaid']} right and not paid" if inside["unpaid"] else ""
        parts.append(f"Request {inside['request']} ({inside['settled']} settled{unpaid}). {inside['text']}")
    return "\n\n".join(parts)
