"""Makes any instruction of the program from its IDL: discriminator, arguments, fixed and derived addresses."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from assay.chain.addresses import find
from assay.chain.idl import Codec
from assay.chain.program import Program
from assay.errors import FieldError

BUDGET = Pubkey.from_string("ComputeBudget111111111111111111111111111111")


def unit_limit(units: int) -> Instruction:
    """Lets a transaction use up to `units` compute units (default: 200,000 an instruction; at most 1,400,000)."""
    return Instruction(BUDGET, struct.pack("<BI", 2, units), [])


def unit_price(micro_lamports: int) -> Instruction:
    """Offers a fee for priority, in micro-lamports a compute unit."""
    return Instruction(BUDGET, struct.pack("<BQ", 3, micro_lamports), [])


def _seed(
    seed: Mapping[str, Any],
    *,
    codec: Codec,
    accounts: Mapping[str, Pubkey],
    args: Mapping[str, Any],
    types: Mapping[str, Any],
) -> bytes | None:
    """Bytes of one seed, or None if it needs something that is not given."""
    if seed["kind"] == "const":
        return bytes(seed["value"])
    path = seed["path"]
    if seed["kind"] == "account":
        return bytes(accounts[path]) if path in accounts else None
    if seed["kind"] == "arg" and path in args and path in types:
        out = bytearray()
        codec.compile(types[path]).encode(args[path], out, path)
        return bytes(out)
    return None


def build(
    program: Program,
    name: str,
    *,
    accounts: Mapping[str, Pubkey | None],
    args: Mapping[str, Any] | None = None,
    remaining: Sequence[AccountMeta] = (),
) -> Instruction:
    """An instruction by its name in the IDL.

    Accounts that the IDL gives an address or derivable seeds need not be in `accounts`; an optional one that is None
    stands as the program's own address, as Anchor has it. Raises `FieldError` naming what is missing or unknown.
    """
    codec, args = program.codec, args or {}
    data = codec.encode_instruction(name, args)
    spec = codec.instructions[name]
    names = {entry["name"] for entry in spec.accounts}
    unknown = next((key for key in accounts if key not in names), None)
    if unknown is not None:
        raise FieldError(unknown, f"is no account of {name}", hint=", ".join(sorted(names)))
    types = {arg["name"]: arg["type"] for arg in spec.arg_specs}
    known = {key: value for key, value in accounts.items() if value is not None}
    for entry in spec.accounts:
        if entry["name"] not in accounts and entry.get("address"):
            known[entry["name"]] = Pubkey.from_string(entry["address"])
    pending = [entry for entry in spec.accounts if entry["name"] not in accounts and entry.get("pda")]
    while pending:
        solved = []
        for entry in pending:
            parts = [_seed(seed, codec=codec, accounts=known, args=args, types=types) for seed in entry["pda"]["seeds"]]
            ready = [part for part in parts if part is not None]
            if len(ready) == len(parts) and "program" not in entry["pda"]:
                known[entry["name"]] = find(program.id, *ready)[0]
                solved.append(entry)
        if not solved:
            break
        pending = [entry for entry in pending if entry not in solved]
    absent = [e for e in spec.accounts if e["name"] not in known and not e.get("optional")]
    for entry in sorted(absent, key=lambda e: "pda" in e):  # what is derived is absent only for want of another
        raise FieldError(entry["name"], f"is an account that {name} needs")
    metas = []
    for entry in spec.accounts:
        key = known.get(entry["name"])
        writable, signer = bool(entry.get("writable")), bool(entry.get("signer"))
        if key is None:
            key, writable, signer = program.id, False, False
        metas.append(AccountMeta(key, signer, writable))
    return Instruction(program.id, data, [*metas, *remaining])
