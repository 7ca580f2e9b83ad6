"""What a buyer enters, as the order that the page makes of it and the posting that it signs, against the Python."""

from __future__ import annotations

import base64
import secrets
from typing import Any

from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from assay.chain.tokens import associated_address
from assay.domain import methods, spec, work
from assay.server import Server

CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
FORMS: list[dict[str, Any]] = [
    {"classes": "Katze\nHu\u0308hnchen \n\n dog"},
    {
        "classes": "a\nb",
        "doubt": True,
        "more": "9",
        "confidence": "75.5",
        "method": "auto",
        "tier": "2",
        "score": "12.5",
    },
    {"kind": "multi-choice", "classes": "sky\nsea\nsand", "least": "1", "most": ""},
    {
        "kind": "number",
        "low": "-5.0",
        "high": "40",
        "tolerance": ".5",
        "decimals": "2",
        "unit": "°C",
        "method": "median",
    },
    {"kind": "number", "low": "-5.0", "high": "40", "tolerance": "0.50", "decimals": "2", "unit": ""},
    {"kind": "ranking", "ranked": "red\ngreen\nblue", "alike": "66", "mode": "review", "rejected": "20"},
    {"kind": "text", "length": "100", "alike": "80", "method": "dawid_skene", "fee": ""},
]
KNOWN = {
    "choice": ("dog", "dog"), "multi-choice": (" sand;sky ", ["sky", "sand"]), "number": ("-2.50", "-2.5"),
    "ranking": ("blue; red;green", ["blue", "red", "green"]), "text": (" Gru\u0308n ", "Grün"),
}  # fmt: skip


async def run(page: Any, server: Server, code: str, argument: Any = None) -> Any:
    """Evaluates `code`, the body of an async function of `argument` and `load` (which imports a module)."""
    if not page.url.startswith(server.url):
        await page.goto(server.url)
    return await page.evaluate(
        f"async (argument) => {{ const load = (name) => import(`/js/${{name}}.js`); {code} }}", argument
    )


BUILD = """
    const { blank, build, specHash } = await load("buying/order");
    const mints = (await (await fetch("/v1/market")).json()).mints;
    return Promise.all(argument.forms.map(async (changes) => {
        const form = { ...blank(), title: " T ", instructions: "I", price: "0.25", fee: "0.04", ...changes };
        const known = (argument.known[form.kind] ?? [""])[0];
        const fits = form.classes !== "a\\nb";
        const items = argument.salts.map((salt, i) =>
            ({ name: `${i}`, cid: argument.cid, media_type: "image/png", known: fits && i % 2 ? known : "", salt }));
        try {
            const made = await build(form, items, { mints });
            const wanted = Object.fromEntries(Object.entries(made.wanted).map(([name, one]) => [name, String(one)]));
            return { ...made, wanted, hash: await specHash(made) };
        } catch (error) { return error.problems ?? String(error.stack); }
    }));
"""


async def test_the_page_makes_the_specification_that_python_makes(page: Any, server: Server) -> None:
    salts = [secrets.token_hex(32) for _ in range(11)]
    argument = {"forms": FORMS, "salts": salts, "known": KNOWN, "cid": CID}
    made = await run(page, server, BUILD, argument)
    assert made[3] == [["tolerance", made[3][0][1]]]
    for form, one in zip(FORMS, made, strict=True):
        if form.get("tolerance") == ".5":
            continue
        kind = form.get("kind", "choice")
        gold = None
        if form.get("classes") != "a\nb":
            label = {"value": KNOWN[kind][1]}
            assert one["labels"] == [{"index": i, "label": label, "salt": salts[i]} for i in range(1, 11, 2)]
            root, _ = work.commit_gold([(i, label, bytes.fromhex(salts[i])) for i in range(1, 11, 2)])
            gold = {"root": root.hex(), "count": 5}
        parsed = spec.parse({**one["spec"], "gold": gold})
        assert parsed.document == {**one["spec"], "gold": gold}  # every default is filled in, and as Python fills it in
        assert parsed.hash.hex() == one["hash"]
        filled = {name: value for name, value in one["spec"].items() if name not in ("validation", "gold")}
        assert spec.parse({**filled, "gold": gold}).hash == parsed.hash  # pay is what it is by default
        assert one["wanted"]["overlap"] == str(parsed.max_overlap)
        assert (one["wanted"]["kind"], one["wanted"]["mode"]) == (str(parsed.kind_number), str(parsed.mode_number))


async def test_the_methods_that_the_page_offers_are_the_markets(page: Any, server: Server) -> None:
    known = await run(page, server, 'return (await load("buying/order")).METHODS;')
    assert known == {kind: list(methods.names(kind)) for kind in known}


async def test_what_is_wrong_with_a_form_is_said_at_its_fields(page: Any, server: Server) -> None:
    forms: list[tuple[dict[str, Any], list[str]]] = [
        ({"title": "", "instructions": " ", "classes": "a"}, ["title", "instructions", "classes"]),
        ({"classes": "a\nb\na"}, ["classes"]),
        (
            {"classes": "a\nb", "overlap": "0", "price": "0", "fee": "x", "days": "0"},
            ["overlap", "price", "fee", "days"],
        ),
        ({"classes": "a\nb", "overlap": "9", "doubt": True, "confidence": "101"}, ["more", "confidence"]),
        ({"kind": "number", "low": "3", "high": "2"}, ["high"]),
        ({"classes": "c\nd", "price": "0.12345678901"}, ["price", *["gold"] * 5]),
        ({"kind": "boxes"}, ["kind"]),
    ]
    argument = {"forms": [one for one, _ in forms], "salts": ["00" * 32] * 11, "known": {"choice": ["dog"]}, "cid": CID}
    for (form, fields), problems in zip(forms, await run(page, server, BUILD, argument), strict=True):
        assert [name for name, _ in problems] == fields, form


async def test_files_are_read_as_rows_and_names(page: Any, server: Server) -> None:
    code = """
        const { fromCsv, knownFrom, fromLines } = await load("buying/files");
        const items = await fromCsv(argument.csv);
        const texts = await Promise.all(items.map(({ blob }) => blob.text()));
        const known = await knownFrom(argument.known, items);
        const tried = (work) => work.then(() => null, (error) => error.message);
        return { texts, known: items.map((one) => known.get(one) ?? null),
            lines: (await fromLines(" a\\r\\n\\n b \\nc")).map(({ name }) => name),
            refusals: [await tried(fromCsv('a\\n"x\\ny",b')), await tried(fromCsv('"a')),
                await tried(knownFrom("x,1", items)), await tried(knownFrom("1,a,b", items))] };
    """
    texts = ["plain", "with, comma", 'a "quoted"\nline', "3"]
    csv = 'text\r\nplain\r\n"with, comma"\r\n"a ""quoted""\nline"\r\n\r\n3\r\n'
    known = 'item,label\n"with, comma",x\n1,y\n3,"z, z"\n'
    found = await run(page, server, code, {"csv": csv, "known": known})
    assert found["texts"] == texts
    assert found["known"] == ["y", "x", None, "z, z"]  # 3 is a text of its own, and not the third
    assert found["lines"] == ["a", "b", "c"]
    wide, unclosed, nobody, three = found["refusals"]
    assert "Line 3 has 2 columns" in wide
    assert "not closed" in unclosed
    assert "no item “x”" in nobody
    assert "has 3 columns" in three


async def test_only_the_posting_that_was_asked_for_is_signed(page: Any, server: Server) -> None:
    market, wallet, thief = server.market, Keypair().pubkey(), Keypair().pubkey()
    relay, entry = market.relay, (await market.terms.market()).mints[0]
    token = {"mint": Pubkey(bytes(entry.mint)), "token_program": Pubkey(bytes(entry.token_program))}
    program = Pubkey(bytes(entry.token_program))
    own = associated_address(wallet, token["mint"], token_program=program)
    theirs = associated_address(thief, token["mint"], token_program=program)
    terms = {
        "spec_hash": b"\xab" * 32, "amount": 5_000_000, "price": 1_000_000, "validation_fee": 40_000,
        "deadline": 1_800_000_000, "records": 4, "overlap": 3, "premium_bps": [0, 0, 0, 0], "mode": 0, "kind": 0,
        "min_tier": 0,
    }  # fmt: skip

    def posting(*, buyer: Pubkey = wallet, request_id: int = 7, source: Pubkey = own, **changes: Any) -> Instruction:
        return relay.build.post_request(
            buyer=buyer, request_id=request_id, source=source, args={**terms, **changes}, **token
        )

    good = posting()
    accounts = list(good.accounts)
    accounts[3] = AccountMeta(thief, False, True)
    request = Pubkey(bytes(good.accounts[3].pubkey))
    owning = {"request": request, **token}
    bad = {
        "another specification": [posting(spec_hash=b"\xac" * 32)],
        "another amount": [posting(amount=5_000_001)],
        "another price": [posting(price=1)],
        "another fee": [posting(validation_fee=0)],
        "a later deadline": [posting(deadline=1_800_000_400)],
        "an earlier deadline": [posting(deadline=1_799_999_000)],
        "a deadline before time": [posting(deadline=-1)],
        "more records": [posting(records=5)],
        "more answers": [posting(overlap=4)],
        "a premium": [posting(premium_bps=[0, 0, 0, 1])],
        "another mode": [posting(mode=1)],
        "another kind": [posting(kind=1)],
        "another tier": [posting(min_tier=1)],
        "another's tokens": [posting(source=theirs)],
        "another id": [posting(request_id=8)],
        "another request": [Instruction(good.program_id, bytes(good.data), accounts)],
        "another buyer": [posting(buyer=thief)],
        "posted twice": [good, good],
        "a gift beside": [good, transfer(TransferParams(from_pubkey=wallet, to_pubkey=thief, lamports=1))],
        "cut off": [Instruction(good.program_id, bytes(good.data)[:-1], list(good.accounts))],
        "a stake": [await relay.stake(bytes(wallet), 5_000_000)],
        "a top-up": [relay.build.top_up_request(funder=wallet, source=own, amount=5_000_000, **owning)],
    }

    def close(payout: Pubkey) -> Instruction:
        accounts = {"request": request, "participant": Pubkey(bytes(good.accounts[2].pubkey)), "payout": payout}
        return relay.build.build("close_request", accounts=accounts | token)

    ends = [
        relay.build.top_up_request(funder=wallet, source=own, amount=2_500_000, **owning),
        relay.build.top_up_request(funder=wallet, source=own, amount=2_500_001, **owning),
        relay.build.top_up_request(funder=wallet, source=theirs, amount=2_500_000, **owning),
        relay.build.build("cancel_request", accounts={"buyer": wallet, "request": request}),
        relay.build.build("cancel_request", accounts={"buyer": wallet, "request": thief}),
        close(own),
        close(theirs),
    ]
    code = """
        const { review } = await load("actions");
        const { unbase64 } = await load("bytes");
        const market = await (await fetch("/v1/market")).json();
        const tried = (one, wanted) => review(unbase64(one), { wallet: argument.wallet, market, wanted }).then(
            ({ lines }) => lines, (error) => error.message);
        const { request } = argument;
        const { amount, price, validation_fee: fee, ...terms } = argument.terms;
        const posting = { ...terms, mint: market.mints[0].mint, id: 7, amount, price, validation_fee: fee,
            deadline: terms.deadline - 300, until: terms.deadline + 300 };
        const own = { request };
        const ends = { top_up_request: { request, amount: 2500000n }, cancel_request: own, close_request: own };
        return [await Promise.all(argument.posts.map((one) => tried(one, { post_request: posting }))),
            await Promise.all(argument.ends.map((one) => tried(one, ends)))];
    """
    blockhash = (await market.chain.latest_blockhash()).hash

    def unsigned(instructions: list[Instruction], payer: Pubkey = wallet) -> str:
        message = MessageV0.try_compile(payer, instructions, [], blockhash)
        blank = [Signature.default()] * message.header.num_required_signatures
        return base64.b64encode(bytes(VersionedTransaction.populate(message, blank))).decode()

    posts = [unsigned(one, thief if name == "another buyer" else wallet) for name, one in {"": [good], **bad}.items()]
    argument = {
        "posts": posts,
        "ends": [unsigned([one]) for one in ends],
        "wallet": str(wallet), "request": str(request), "terms": terms | {"spec_hash": "ab" * 32},
    }  # fmt: skip
    (lines, *refusals), acts = await run(page, server, code, argument)
    assert "specification abababab…" in lines[0]
    assert "4 items, up to 3 answers" in lines[0]
    assert lines[1].startswith(f"Lock 5 tokens for it, out of {own}")
    assert lines[2] == "Pay 1 tokens an accepted answer, and 0.04 for a record's validation"
    for name, refusal in zip(bad, refusals, strict=True):
        assert isinstance(refusal, str), (name, refusal)
        assert "transaction" in refusal, (name, refusal)
    assert [isinstance(one, list) for one in acts] == [True, False, False, True, False, True, False], acts
    assert acts[0] == [f"Add 2.5 tokens to the escrow of {request}, out of {own}"]
