"""anchorpy, which reads only the IDL of before Anchor 0.30, against the embedded chain's JSON-RPC port."""

from __future__ import annotations

import asyncio
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from support.environments import environment

from assay.chain.program import ROOT

PEERS = Path(__file__).resolve().parents[1] / "peers"
LABELER = 2


def plain(value: Any) -> Any:
    """Decoded fields in the client's form."""
    if isinstance(value, Pubkey):
        return str(value)
    if isinstance(value, bytes):
        return list(value)
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


@pytest.mark.timeout(300)
@pytest.mark.parametrize("chain", ["port"], indirect=True)
async def test_anchorpy_reads_accounts_and_sends_instructions(market: Any) -> None:
    python = await asyncio.to_thread(environment, PEERS / "anchorpy.lock")
    buyer = await market.join(1, tokens=500 * 10**6)
    request = await market.post(buyer, request_id=7)
    newcomer = Keypair()
    await market.chain.airdrop(newcomer.pubkey(), 10**9)
    addresses = market.ix.addresses
    accounts = {"Market": addresses.market, "Request": request, "ValidatorSet": addresses.validators}
    task = {
        "url": market.chain.url,
        "program": str(market.chain.program.id),
        "idl": str(ROOT / "idl" / "assay.legacy.json"),
        "accounts": {name: str(address) for name, address in accounts.items()},
        "wallet": list(bytes(newcomer)),
        "role": LABELER,
    }
    client = await asyncio.create_subprocess_exec(
        str(python), "-I", str(PEERS / "anchorpy_client.py"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(client.communicate(json.dumps(task).encode()), 60)
    assert client.returncode == 0, err.decode()
    said = json.loads(out)
    receipt = await market.chain.receipt(said["signature"])
    assert [event.name for event in receipt.events] == ["Registered"]
    for name, address in {**accounts, "Participant": addresses.participant(newcomer.pubkey())}.items():
        assert said["accounts"][name] == plain(await market.state(name, address)), name
    assert said["accounts"]["Participant"]["role"] == LABELER
    assert said["accounts"]["Request"]["locked"] == 500 * 10**6
