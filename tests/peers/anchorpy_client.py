"""What a Python user of Anchor does, in anchorpy's own environment: decode accounts by the IDL, send an instruction.

    python anchorpy_client.py < {"url", "program", "idl", "accounts": {name: address}, "wallet": [64 bytes], "role"}

Prints the accounts' fields, the new Participant's among them, as one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import fields, is_dataclass

from anchorpy import Context, Idl, Program, Provider, Wallet
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed
from solana.rpc.types import TxOpts
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM


def plain(value: object) -> object:
    """Fields as JSON: keys in base58, bytes as lists."""
    if isinstance(value, Pubkey):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return list(value)
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if not key.startswith("_")}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


async def main(task: dict) -> None:
    wallet = Keypair.from_bytes(bytes(task["wallet"]))
    async with AsyncClient(task["url"], commitment=Confirmed) as client:
        provider = Provider(client, Wallet(wallet), opts=TxOpts(preflight_commitment=Confirmed))
        with open(task["idl"]) as file:
            program = Program(Idl.from_json(file.read()), Pubkey.from_string(task["program"]), provider)
        market = Pubkey.find_program_address([b"market"], program.program_id)[0]
        mine = Pubkey.find_program_address([b"participant", bytes(wallet.pubkey())], program.program_id)[0]
        accounts = {
            "payer": wallet.pubkey(), "wallet": wallet.pubkey(), "market": market, "participant": mine,
            "system_program": SYSTEM,
        }  # fmt: skip
        signature = await program.rpc["register"](task["role"], ctx=Context(accounts=accounts, signers=[wallet]))
        found = {
            name: plain(await program.account[name].fetch(Pubkey.from_string(address), Confirmed))
            for name, address in {**task["accounts"], "Participant": str(mine)}.items()
        }
        print(json.dumps({"signature": str(signature), "accounts": found}))


asyncio.run(main(json.load(sys.stdin)))
