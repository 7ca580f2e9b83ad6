"""`./assay dispute`: a labeler disputes the rejection of an answer, or looks how the dispute stands."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from solders.keypair import Keypair

    from assay.client import Client

HASHES = ("answer", "task", "evidence", "digest")
NEXT = (
    "A panel of its own is drawn, two seats larger than the request's, and votes anew. If a quorum upholds you, what "
    "the answer pays and the bond are owed to you (claim them: `Client.claim_owed`, or the page); if it dismisses you, "
    "the bond is lost. If no panel decides in its time the bond comes back. The same command shows how it stands."
)


def dispute(
    key: Annotated[Path, typer.Option(help="Key file of the labeler's wallet (Solana CLI's form).")],
    answer: Annotated[str, typer.Option(help="Id of the rejected answer, as GET /v1/answers shows it.")],
    api: Annotated[str, typer.Option(help="Address of the market's API.")] = "http://127.0.0.1:8080",
    rpc: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send it to this JSON-RPC instead of through the API."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Dispute the rejection of an answer: proof and bond go on chain. Disputed already: show how it stands."""
    found = asyncio.run(_dispute(key, answer, api, rpc))
    print(json.dumps(found) if as_json else text(found))


async def _dispute(key: Path, answer: str, api: str, rpc: str | None) -> dict[str, Any]:
    from assay.chain.keys import read_key
    from assay.client import Client
    from assay.errors import AlreadyDone

    wallet = read_key(key)
    async with Client(api, key=wallet) as client:
        opened: dict[str, Any] = {}
        with contextlib.suppress(AlreadyDone):  # by an earlier call, perhaps one whose answer was lost
            opened = await (client.dispute(answer) if rpc is None else _by_rpc(client, wallet, answer, rpc))
        return {"opened": opened or None, **await client.disputed(answer)}


async def _by_rpc(client: Client, wallet: Keypair, answer: str, rpc: str) -> dict[str, Any]:
    """Opens a dispute without the API's relay: only the proof is the API's, and the chain checks that."""
    from solders.pubkey import Pubkey

    from assay.chain.instructions import Instructions
    from assay.chain.rpc import RpcChain
    from assay.chain.tokens import associated_address

    found = await client.rejection(answer)
    chain = RpcChain(rpc)
    try:
        build = Instructions(chain.program)
        account = await chain.account(build.addresses.market)
        assert account is not None, "a market gave the proof"
        entry = chain.program.codec.decode_account(bytes(account.data), name="Market").mints[0]
        mint, program = Pubkey(bytes(entry.mint)), Pubkey(bytes(entry.token_program))
        source = associated_address(wallet.pubkey(), mint, token_program=program)
        step = build.open_dispute(
            wallet=wallet.pubkey(), request=Pubkey.from_string(found["request"]), source=source, mint=mint,
            token_program=program, args=arguments(found["proof"]),
        )  # fmt: skip
        receipt = await chain.send([step], payer=wallet)
    finally:
        await chain.close()
    told = {name: found[name] for name in ("dispute", "bond", "until")}
    return {"signature": receipt.signature, "slot": receipt.slot, **told}


def arguments(proof: dict[str, Any]) -> dict[str, Any]:
    """`open_dispute`'s arguments of a proof as the API gives it."""
    raw = {name: bytes.fromhex(proof[name]) for name in HASHES}
    siblings = {name: [bytes.fromhex(one) for one in proof[name]] for name in ("proof", "log_proof")}
    numbers = {name: proof[name] for name in ("confidence", "batch", "index", "settled_at")}
    return {
        "answer_id": raw["answer"], "task_id": raw["task"], "evidence": raw["evidence"], "digest": raw["digest"],
        **siblings, **numbers,
    }  # fmt: skip


def text(found: dict[str, Any]) -> str:
    """A paragraph on what was done, and on how it stands."""
    opened = found["opened"]
    parts = [f"Dispute {found['dispute']} over answer {found['answer']}: {found['state']}."]
    if opened is not None:
        parts.append(f"Opened in transaction {opened['signature']}; bond {opened['bond']} tokens.")
    if found["panel"]:
        said = f"{found['upheld']} for you, {found['dismissed']} against, {found['quorum']} decide"
        parts.append(f"Panel {found['round']}, {len(found['panel'])} seats: {said}.")
    if found["state"] == "open":
        parts.append(NEXT)
    return "\n".join(parts)
