"""The page's modules against the Python they must agree with, in a real browser."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from assay.chain.addresses import Addresses
from assay.chain.tokens import associated_address, create_associated
from assay.client import Client
from assay.domain import canonical, messages
from assay.domain.schema import validate, validate_schema
from assay.domain.tally import Role
from assay.errors import FieldError
from assay.server import Server

IDL = json.loads((Path(__file__).parents[2] / "idl" / "assay.json").read_text())

ODD = [
    {"value": "Überraschung – ähnlich"},
    {"value": "U\u0308ber"},  # decomposed: NFC makes one of the two
    {"value": "e\u0301\u0323 vs \u1eb9\u0301"},  # marks out of their canonical order
    {"value": "👩‍👩‍👧‍👦 🏳️‍🌈 𝔘𝔫𝔦"},
    {"value": "\u212b \u2126 \ufb01 \u1100\u1161\u11a8"},  # singletons, a ligature that stays, Hangul that joins
    {"value": 'quote " back \\ slash / line\nfeed\ttab'},
    {"value": "\u0000\u0008\u000b\u000c\u001f\u007f\u0080\u2028\u2029\ufeff"},
    {"value": ["b", "a", ""], "\uffff": 1, "\U00010000": 2, "a": None, "B": True, "\ue000": -(2**53) + 1},
    {"value": {"nose": {"x": 3, "y": 4}, "tail": None}, "e\u0301": {}},
]


async def run(page: Any, server: Server, code: str, argument: Any = None) -> Any:
    """Evaluates `code`, the body of an async function of `argument` and `load` (which imports a module)."""
    if not page.url.startswith(server.url):
        await page.goto(server.url)
    return await page.evaluate(
        f"async (argument) => {{ const load = (name) => import(`/js/${{name}}.js`); {code} }}", argument
    )


async def test_canonical_json_is_pythons(page: Any, server: Server) -> None:
    code = """
        const [{ dumps, digest }, { hex }] = [await load("canonical"), await load("bytes")];
        return Promise.all(argument.map(async (one) => [hex(dumps(one)), hex(await digest(one))]));
    """
    for one, (text, digest) in zip(ODD, await run(page, server, code, ODD), strict=True):
        assert bytes.fromhex(text).decode() == canonical.dumps(one).decode()
        assert digest == canonical.digest(one).hex()


async def test_canonical_json_refuses_what_python_refuses(page: Any, server: Server) -> None:
    bad = ["0.5", "1e16", "NaN", '"\\ud800"', '{"e\\u0301": 1, "\\u00e9": 2}', "undefined"]
    code = f"""
        const {{ dumps }} = await load("canonical");
        return [{", ".join(f"() => [{one}]" for one in bad)}].map((one) => {{
            try {{ dumps(one()); return null; }} catch (error) {{ return error.message; }}
        }});
    """
    assert all(await run(page, server, code))


async def test_an_answers_signature_is_the_one_that_python_makes(page: Any, server: Server) -> None:
    key = Keypair()
    lease = {"domain": "ab" * 32, "task": "01" * 32}
    code = """
        const keys = await load("keys");
        const { answerMessage } = await load("messages");
        const { base58 } = await load("bytes");
        const wallet = await keys.read(argument.file);
        const out = [];
        for (const content of argument.contents) {
            const message = await answerMessage(argument.lease, wallet.address, content);
            out.push(base58(await keys.sign(wallet, message)));
        }
        return { address: wallet.address, out, file: await keys.write(wallet) };
    """
    argument = {"file": str(key.to_json()), "lease": lease, "contents": ODD}
    made = await run(page, server, code, argument)
    assert made["address"] == str(key.pubkey())
    assert json.loads(made["file"]) == list(bytes(key))
    for content, signature in zip(ODD, made["out"], strict=True):
        message = messages.answer(
            domain=bytes.fromhex(lease["domain"]),
            task=bytes.fromhex(lease["task"]),
            labeler=bytes(key.pubkey()),
            content_hash=canonical.digest(content),
        )
        assert signature == messages.b58(messages.sign(key, message))


async def test_base58_and_addresses_are_pythons(page: Any, server: Server) -> None:
    program = Pubkey.from_string(IDL["address"])
    wallets = [bytes(32), bytes(31) + b"\1", b"\xff" * 32, *(bytes(Keypair().pubkey()) for _ in range(20))]
    mint = Keypair().pubkey()
    token = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
    code = """
        const { associated, participant } = await load("address");
        const { base58, unbase58, unhex, hex } = await load("bytes");
        return Promise.all(argument.wallets.map(async (raw) => {
            const wallet = base58(unhex(raw));
            if (hex(unbase58(wallet)) !== raw) throw new Error(raw);
            return [wallet, await associated(wallet, argument.mint, argument.token),
                await participant(wallet, argument.program)];
        }));
    """
    argument = {"wallets": [one.hex() for one in wallets], "mint": str(mint), "token": str(token)}
    made = await run(page, server, code, argument | {"program": str(program)})
    for raw, (wallet, own, participant) in zip(wallets, made, strict=True):
        assert wallet == str(Pubkey(raw))
        assert own == str(associated_address(Pubkey(raw), mint, token_program=token))
        assert participant == str(Addresses(program).participant(Pubkey(raw)))


NUMBERS = [
    (
        {"min": "-10", "max": "10.5", "tolerance": "0", "decimals": 2},
        [
            "3",
            "3.50",
            "-0",
            "-0.00",
            "007",
            "1e1",
            "10.50",
            "10.51",
            "-10",
            "-10.01",
            "0.123",
            "0.120",
            ".5",
            "1,5",
            "+1",
        ],
    ),
    (
        {"min": "-999999999999999999", "max": "999999999999999999", "tolerance": "1", "decimals": 18},
        ["999999999999999999", "-999999999999999998.999999999999999999", "1000000000000000000", ""],
    ),
]


async def test_numbers_have_pythons_normal_form(page: Any, server: Server) -> None:
    code = """
        const { normalNumber } = await load("kinds/number");
        return argument.values.map((one) => {
            try { return normalNumber(one, argument.schema); } catch { return null; }
        });
    """
    for given, values in NUMBERS:
        schema = validate_schema("number", given)
        made = await run(page, server, code, {"schema": schema, "values": values})
        assert made == [_valid("number", schema, one) for one in values]


async def test_texts_have_pythons_normal_form(page: Any, server: Server) -> None:
    schema = validate_schema("text", {"max_length": 20})
    values = [
        "  a \n b\t \n\n c  ", "\ufeff x", "\u00a0\u3000x\u2003", "u\u0308" * 20, "u\u0308" * 21, "🙂" * 20, "🙂" * 21,
        "a\x0bb", "a\x7f", "a\x85", "\x1cx", "", " \n ", "x\u200b", "\u2028x\u2029",
    ]  # fmt: skip
    code = """
        const { normalText } = await load("kinds/text");
        return argument.map((one) => { try { return normalText(one, 20); } catch { return null; } });
    """
    assert await run(page, server, code, values) == [_valid("text", schema, one) for one in values]


def _valid(kind: str, schema: Any, value: str) -> object:
    try:
        return validate(kind, schema, {"value": value})["value"]
    except FieldError:
        return None


async def test_key_files_that_are_none_are_refused_with_a_reason(page: Any, server: Server) -> None:
    one, other = list(bytes(Keypair())), list(bytes(Keypair()))
    files = ["", "no", "{}", "[1,2]", json.dumps(one[:-1]), json.dumps([*one[:-1], 256]), json.dumps([*one[:-1], 1.5]),
             json.dumps(one[:32] + other[32:])]  # fmt: skip
    code = """
        const { read } = await load("keys");
        return Promise.all(argument.map((text) => read(text).then(() => null, (error) => error.message)));
    """
    assert all(await run(page, server, code, files))


async def test_the_instructions_that_the_page_knows_are_the_idls(page: Any, server: Server) -> None:
    known = await run(page, server, 'return (await load("actions")).INSTRUCTIONS;')
    real = {one["name"]: one for one in IDL["instructions"]}
    for name, layout in known.items():
        assert layout["accounts"] == [one["name"] for one in real[name]["accounts"]]
        assert layout["args"] == [[one["name"], one["type"]] for one in real[name]["args"]]
    named = await run(page, server, 'return (await load("actions")).TYPES;')
    types = {one["name"]: one["type"]["fields"] for one in IDL["types"]}
    for name, fields in named.items():
        assert fields == [[one["name"], one["type"]] for one in types[name]]


async def test_only_what_was_asked_for_is_signed(page: Any, server: Server) -> None:
    market, wallet, thief = server.market, Keypair().pubkey(), Keypair().pubkey()
    relay, terms = market.relay, await market.terms.market()
    mint, token = Pubkey(bytes(terms.mints[0].mint)), Pubkey(bytes(terms.mints[0].token_program))
    good = await relay.enrol(bytes(wallet), role=Role.LABELER, stake=100_000_000)
    payout_of_thief = relay.build.build(
        "set_payout",
        accounts={"wallet": wallet, "mint": mint, "payout": associated_address(thief, mint, token_program=token)},
    )
    own = associated_address(wallet, mint, token_program=token)
    approve = Instruction(
        token, b"\x04" + (1).to_bytes(8, "little"),
        [AccountMeta(own, False, True), AccountMeta(thief, False, False), AccountMeta(wallet, True, False)],
    )  # fmt: skip
    bad = {
        "SOL to another": [*good, transfer(TransferParams(from_pubkey=wallet, to_pubkey=thief, lamports=1))],
        "an approval of tokens": [*good, approve],
        "paid to another": [payout_of_thief],
        "another amount": await relay.enrol(bytes(wallet), role=Role.LABELER, stake=100_000_001),
        "another role": await relay.enrol(bytes(wallet), role=Role.VALIDATOR, stake=100_000_000),
        "staked twice": [*good, good[-1]],
        "not asked for": [await relay.unstake(bytes(wallet), 1)],
        "another's account opened": [create_associated(wallet, thief, mint, token_program=token)],
        "nothing": [],
        "another program": [Instruction(Keypair().pubkey(), bytes(good[0].data), list(good[0].accounts))],
        "accounts left out": [Instruction(good[0].program_id, bytes(good[0].data), list(good[0].accounts)[:-1])],
        "another signer": await relay.enrol(bytes(thief), role=Role.LABELER, stake=100_000_000),
        "two signers": [relay.build.register(payer=wallet, wallet=thief, role=2)],
    }
    code = """
        const { review } = await load("actions");
        const { unbase64 } = await load("bytes");
        const market = await (await fetch("/v1/market")).json();
        const wanted = { register: "labeler", set_payout: true, stake: 100000000n };
        return Promise.all(argument.made.map((one) =>
            review(unbase64(one), { wallet: argument.wallet, market, wanted }).then(
                ({ lines }) => lines, (error) => error.message)));
    """

    async def unsigned(instructions: list[Instruction], payer: Pubkey = wallet) -> str:
        blockhash = (await market.chain.latest_blockhash()).hash
        message = MessageV0.try_compile(payer, instructions, [], blockhash)
        blank = [Signature.default()] * message.header.num_required_signatures
        return base64.b64encode(bytes(VersionedTransaction.populate(message, blank))).decode()

    made = [await unsigned(good)]
    made += [await unsigned(one, thief if name == "another signer" else wallet) for name, one in bad.items()]
    lines, *refusals = await run(page, server, code, {"made": made, "wallet": str(wallet)})
    assert lines == [
        "Register this wallet as a labeler",
        f"Open the token account {own} for this wallet, where it is not open yet",
        f"Be paid to this wallet's own token account {own}",
        "Stake 100 tokens, out of that account",
    ]
    for name, refusal in zip(bad, refusals, strict=True):
        assert isinstance(refusal, str), (name, refusal)
        assert "transaction" in refusal, (name, refusal)


async def test_a_dispute_is_signed_over_the_answer_that_was_meant(page: Any, server: Server) -> None:
    relay, wallet, answer = server.market.relay, Keypair().pubkey(), b"\xab" * 32
    entry = (await server.market.terms.market()).mints[0]
    token = {"mint": Pubkey(bytes(entry.mint)), "token_program": Pubkey(bytes(entry.token_program))}
    args = {
        "answer_id": answer, "task_id": bytes(32), "confidence": 10_000, "evidence": bytes(32), "batch": 2**40,
        "index": 3, "settled_at": 1_700_000_000, "digest": bytes(32), "proof": [bytes(32)] * 5, "log_proof": [],
    }  # fmt: skip
    request = Keypair().pubkey()
    theirs = associated_address(Keypair().pubkey(), token["mint"], token_program=token["token_program"])
    steps = [
        await relay.dispute(bytes(wallet), bytes(request), args),
        await relay.dispute(bytes(wallet), bytes(request), args | {"answer_id": bytes(32)}),
        relay.build.open_dispute(wallet=wallet, request=request, source=theirs, args=args, **token),
    ]
    cut = Instruction(steps[0].program_id, bytes(steps[0].data)[:-1], list(steps[0].accounts))
    made = [(await relay.unsigned([step], payer=bytes(wallet))).transaction for step in (*steps, cut)]
    code = """
        const [{ review }, { unbase64 }] = [await load("actions"), await load("bytes")];
        const market = await (await fetch("/v1/market")).json();
        const wanted = { open_dispute: { answer: argument.answer, bond: "10" } };
        return Promise.all(argument.made.map((one) =>
            review(unbase64(one), { wallet: argument.wallet, market, wanted }).then(
                ({ lines }) => lines, (error) => error.message)));
    """
    argument = {"made": made, "wallet": str(wallet), "answer": answer.hex()}
    lines, other, source, short = await run(page, server, code, argument)
    assert "answer abababab" in lines[0]
    assert "10 tokens" in lines[0]
    assert "another answer" in other
    assert "as its source" in source
    assert "in a way not known" in short


async def test_a_text_that_is_no_sign_in_of_here_is_not_signed(page: Any, server: Server) -> None:
    wallet = str(Keypair().pubkey())
    async with Client(server.url) as client:
        real = (await client.call("POST", "/v1/session/challenge", body={"wallet": wallet}, auth=False))["message"]
    host = server.url.removeprefix("http://")
    another = real.replace(wallet, str(Keypair().pubkey()))
    others = [real.replace(host, "evil.example"), another, "assay-answer-v1\0", ""]
    code = """
        const { checkSignIn } = await load("messages");
        return argument.texts.map((text) => {
            try { checkSignIn(text, argument.wallet, location.host); } catch (error) { return error.message; }
            return null;
        });
    """
    first, *rest = await run(page, server, code, {"texts": [real, *others], "wallet": wallet})
    assert first is None
    assert all(rest)
