"""Addresses, layouts and instructions against the IDL; what the codec refuses; events that cannot be forged."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain import load_program
from assay.chain.addresses import Addresses
from assay.chain.ed25519 import parse_signatures, signatures_instruction, verify
from assay.chain.events import decode_events, emitted
from assay.chain.failures import failure
from assay.chain.idl import Codec
from assay.chain.instructions import Instructions, build
from assay.chain.rpc_views import b58decode, b58encode, token_amount
from assay.errors import (
    AccountMalformed,
    BlockhashExpired,
    FieldError,
    ProgramError,
    SignatureInvalid,
    TransactionFailed,
)

PROGRAM = load_program()
CODEC = PROGRAM.codec
A = Addresses(PROGRAM.id)
KEYS = {name: Pubkey([number] * 32) for number, name in enumerate(("wallet", "buyer", "mint", "request", "dispute"), 1)}


def seeds_of(entry: Any) -> tuple[str, ...]:
    """An IDL's seeds in short: constants as text, the rest as kind:path."""
    return tuple(
        bytes(seed["value"]).decode() if seed["kind"] == "const" else f"{seed['kind']}:{seed['path']}"
        for seed in entry["pda"]["seeds"]
    )


def test_addresses_are_the_idls() -> None:
    ours = {
        ("market",): A.market,
        ("validators",): A.validators,
        ("stake",): A.stake_vault,
        ("participant", "account:wallet"): A.participant(KEYS["wallet"]),
        ("participant", "account:buyer"): A.participant(KEYS["buyer"]),
        ("request", "account:buyer", "arg:id"): A.request(KEYS["buyer"], 77),
        ("vault", "account:request"): A.vault(KEYS["request"]),
        ("owed", "account:mint"): A.owed_vault(KEYS["mint"]),
        ("fees", "account:mint"): A.fee_vault(KEYS["mint"]),
        ("dispute", "account:request", "arg:answer_id"): A.dispute(KEYS["request"], bytes(32)),
        ("offence", "account:participant", "arg:key"): A.offence(KEYS["wallet"], bytes(32)),
        ("owed", "account:bond_mint"): A.owed_vault(KEYS["mint"]),
        ("fees", "account:bond_mint"): A.fee_vault(KEYS["mint"]),
    }
    values = {
        "account:wallet": KEYS["wallet"], "account:buyer": KEYS["buyer"], "arg:id": (77).to_bytes(8, "little"),
        "account:request": KEYS["request"], "account:mint": KEYS["mint"], "arg:answer_id": bytes(32),
        "account:participant": KEYS["wallet"], "arg:key": bytes(32), "account:bond_mint": KEYS["mint"],
    }  # fmt: skip
    found = set()
    for spec in CODEC.instructions.values():
        for entry in spec.accounts:
            if "pda" not in entry:
                continue
            seeds = seeds_of(entry)
            found.add(seeds)
            raw = [bytes(values[seed]) if seed in values else seed.encode() for seed in seeds]
            assert ours[seeds] == Pubkey.find_program_address(raw, PROGRAM.id)[0], (spec.name, entry["name"])
    assert found == set(ours)


def test_every_instruction_has_a_builder() -> None:
    builders = {name for name in vars(Instructions) if not name.startswith("_")} - {"build"}
    named = {name for name in CODEC.instructions} - {"resolve_dispute", "expire_dispute"} | {"end_dispute"}
    assert builders == named


def test_accounts_lie_as_the_program_has_them() -> None:
    """Sizes of C structs without padding: each field where the fields before it end."""
    for name, tag in CODEC.accounts.items():
        size = CODEC.account_size(name)
        assert size is not None, name
        raw = tag + bytes(index % 251 for index in range(size - len(tag)))
        assert CODEC.encode_account(name, CODEC.decode_account(raw)) == raw, f"{name} has padding"


def test_decoded_accounts_are_frozen() -> None:
    market = CODEC.decode_account(CODEC.accounts["Market"] + bytes(CODEC.account_size("Market") or 0))
    assert market.mint_count == 0
    assert len(market.mints) == 4
    with pytest.raises(AttributeError):
        market.mint_count = 1
    with pytest.raises(AccountMalformed, match="expected Request, found Market"):
        CODEC.decode_account(CODEC.accounts["Market"] + bytes(5_000), name="Request")
    with pytest.raises(AccountMalformed, match="end before"):
        CODEC.decode_account(CODEC.accounts["Market"] + bytes(10))
    with pytest.raises(AccountMalformed, match="other bytes"):
        CODEC.decode_account(bytes(100))


def test_arguments_are_checked_by_name() -> None:
    tally = {"good": 1, "bad": 0, "gold_passed": 0, "gold_failed": 0, "units": 0}
    args = {"batch": 0, "root": bytes(32), "records": 1, "judged": 1, "answers": 1, "votes": 0, "tallies": [tally]}
    data = CODEC.encode_instruction("settle_batch", args)
    assert data[-12:] == bytes([1, 0] + [0] * 10)
    name, back = CODEC.decode_instruction(data)
    assert name == "settle_batch"
    assert back["records"] == 1
    assert back["tallies"][0].good == 1
    for change, field in (
        ({"records": 1 << 16}, "records"),
        ({"records": -1}, "records"),
        ({"records": "1"}, "records"),
        ({"root": bytes(31)}, "root"),
        ({"root": "x" * 32}, "root"),
        ({"tallies": [tally, {**tally, "units": 1 << 32}]}, "tallies[1].units"),
        ({"tallies": [{"good": 1}]}, "tallies[0].bad"),
        ({"tallies": 5}, "tallies"),
        ({"surplus": 5}, "surplus"),
    ):
        with pytest.raises(FieldError) as caught:
            CODEC.encode_instruction("settle_batch", {**args, **change})
        assert caught.value.field == field
    with pytest.raises(FieldError, match="votes: is missing"):
        CODEC.encode_instruction("settle_batch", {k: v for k, v in args.items() if k != "votes"})
    with pytest.raises(FieldError, match="the program has no 'steal'"):
        CODEC.encode_instruction("steal", {})
    with pytest.raises(FieldError, match="mint: is an account that settle_batch needs"):
        build(PROGRAM, "settle_batch", accounts={"request": KEYS["request"]}, args=args)
    with pytest.raises(FieldError, match="thief: is no account"):
        build(PROGRAM, "pause", accounts={"thief": KEYS["request"]})


SCALARS = {
    "u8": st.integers(0, 255), "i16": st.integers(-(1 << 15), (1 << 15) - 1), "u64": st.integers(0, (1 << 64) - 1),
    "i64": st.integers(-(1 << 63), (1 << 63) - 1), "u128": st.integers(0, (1 << 128) - 1), "bool": st.booleans(),
    "string": st.text(), "bytes": st.binary(max_size=40),
    "pubkey": st.binary(min_size=32, max_size=32).map(Pubkey.from_bytes),
}  # fmt: skip


def typed() -> st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]]:
    """Types of an IDL with values of them."""
    scalar = st.sampled_from(sorted(SCALARS)).map(lambda name: (name, SCALARS[name]))
    return st.recursive(
        scalar,
        lambda inner: st.one_of(
            inner.filter(lambda t: t[0] != "u8").map(lambda t: ({"vec": t[0]}, st.lists(t[1], max_size=4).map(tuple))),
            inner.map(lambda t: ({"option": t[0]}, st.none() | t[1])),
            inner.filter(lambda t: t[0] != "u8").map(
                lambda t: ({"array": [t[0], 3]}, st.lists(t[1], min_size=3, max_size=3).map(tuple))
            ),
        ),
        max_leaves=4,
    ).filter(lambda t: not str(t[0]).count("option") > 1)


@given(st.data(), typed())
def test_values_come_back(data: st.DataObject, kind: tuple[Any, st.SearchStrategy[Any]]) -> None:
    value = data.draw(kind[1])
    layout = CODEC.compile(kind[0])
    out = bytearray()
    layout.encode(value, out, "value")
    assert layout.decode(bytes(out), 0) == (value, len(out))
    for cut in range(len(out)):
        with pytest.raises(AccountMalformed):
            layout.decode(bytes(out[:cut]), 0)


def test_c_layouts_are_padded_and_borsh_is_not() -> None:
    fields = [{"name": "a", "type": "u8"}, {"name": "b", "type": "u64"}, {"name": "c", "type": "u16"}]
    plain = {"name": "Plain", "type": {"kind": "struct", "fields": fields}}
    laid = {"name": "Laid", "serialization": "bytemuck", "repr": {"kind": "c"}, "type": plain["type"]}
    choice = {
        "name": "Choice",
        "type": {"kind": "enum", "variants": [{"name": "None"}, {"name": "Some", "fields": ["u16"]}]},
    }
    codec = Codec({"address": str(PROGRAM.id), "instructions": [], "types": [plain, laid, choice]})
    assert codec.layout("Plain").size == 11
    assert codec.layout("Laid").size == 24
    raw = b"\x01" + bytes(7) + (2).to_bytes(8, "little") + b"\x03\0" + bytes(6)
    value, end = codec.layout("Laid").decode(raw, 0)
    assert (value.a, value.b, value.c, end) == (1, 2, 3, 24)
    assert codec.layout("Choice").decode(b"\x00", 0) == ("None", 1)
    variant, _ = codec.layout("Choice").decode(b"\x01\x05\0", 0)
    assert (variant[0], variant[1].field0) == ("Some", 5)
    with pytest.raises(AccountMalformed, match="no variant 2"):
        codec.layout("Choice").decode(b"\x02", 0)
    with pytest.raises(FieldError, match="one of None, Some"):
        codec.layout("Choice").encode("Other", bytearray(), "choice")


def test_events_are_only_the_programs_own() -> None:
    me, other = str(PROGRAM.id), "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
    event = CODEC.events["Paused"] + (5).to_bytes(8, "little")
    line = f"Program data: {base64.b64encode(event).decode()}"
    logs = [
        line,  # outside of any program
        f"Program {other} invoke [1]", line, f"Program log: Program {me} invoke [1]", line, f"Program {other} success",
        f"Program {me} invoke [1]", f"Program {other} invoke [2]", line,
        f"Program {other} consumed 5 of 9 compute units",
        f"Program {other} success", line, "Program data: not base64!", f"Program {me} success", line,
    ]  # fmt: skip
    assert list(emitted(logs, me)) == [event]
    ((name, data),) = decode_events(CODEC, logs, program=PROGRAM.id)
    assert (name, data.at) == ("Paused", 5)


def test_failures_have_names() -> None:
    mine = [f"Program {PROGRAM.id} failed: custom program error: 0x1770"]
    found = failure({"InstructionError": [1, {"Custom": 6000}]}, program=PROGRAM, logs=mine, signature="s")
    assert isinstance(found, ProgramError)
    assert (found.number, found.name, found.code) == (6000, "not_initializer", "program_not_initializer")
    unknown = failure({"InstructionError": [1, {"Custom": 9999}]}, program=PROGRAM, logs=mine)
    assert isinstance(unknown, ProgramError)
    # the same number in another program means something else
    token = ["Program TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA failed: custom program error: 0x1", *mine]
    found = failure({"InstructionError": [1, {"Custom": 1}]}, program=PROGRAM, logs=token)
    assert type(found) is TransactionFailed
    assert found.detail == "insufficient tokens"
    assert isinstance(failure("BlockhashNotFound", program=PROGRAM, logs=()), BlockhashExpired)
    assert failure("AccountInUse", program=PROGRAM, logs=()).code == "account_in_use"


def test_ed25519_instruction_is_read_back() -> None:
    keys = [Keypair() for _ in range(3)]
    message = b"m" * 92
    signed = [(key.pubkey(), bytes(key.sign_message(message))) for key in keys]
    instruction = signatures_instruction(message, signed)
    assert len(instruction.data) == 2 + 3 * 14 + 3 * 96 + 92
    assert parse_signatures(bytes(instruction.data)) == (message, signed)
    verify(*signed[0][:1], message, signed[0][1])
    with pytest.raises(SignatureInvalid):
        verify(signed[1][0], message, signed[0][1])
    for bad in (b"", b"\x00\x00", bytes(instruction.data[:60]), b"\x01\x00" + b"\x05\x00" * 7):
        with pytest.raises(FieldError):
            parse_signatures(bad)
    with pytest.raises(FieldError, match=r"signatures\[0\]"):
        signatures_instruction(message, [(keys[0].pubkey(), b"short")])
    with pytest.raises(FieldError, match="1 to 255"):
        signatures_instruction(message, [])


@given(st.binary(max_size=80))
def test_base58_comes_back(data: bytes) -> None:
    assert b58decode(b58encode(data)) == data
    if len(data) == 32:
        assert b58encode(data) == str(Pubkey.from_bytes(data))


def test_token_amounts_are_shown_exactly() -> None:
    assert token_amount(1_500_000, 6)["uiAmountString"] == "1.5"
    assert token_amount(0, 6)["uiAmountString"] == "0"
    assert token_amount(7, 0)["uiAmountString"] == "7"
    assert token_amount((1 << 64) - 1, 6)["uiAmountString"] == "18446744073709.551615"
