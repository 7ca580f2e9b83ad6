"""What a request came to, read from the chain and the data set the buyer downloads."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from solders.pubkey import Pubkey

from assay.chain.addresses import Addresses
from assay.chain.base import Chain
from assay.chain.tokens import associated_address, decode_token_account
from assay.client import Client
from assay.demo import cluster
from assay.domain import money

DECIMALS = 6
LOOKS = 10
"""Looks at the balances until nothing changes between two of them."""


async def balances(chain: Chain, wallets: Sequence[Pubkey]) -> dict[str, int]:
    """What each wallet has of the market's first mint, base units: in its token account, and owed to it on chain."""
    mint, addresses = await cluster.market_mint(chain), Addresses(chain.program.id)
    wanted = [associated_address(wallet, mint) for wallet in wallets]
    wanted += [addresses.participant(wallet) for wallet in wallets]
    found = await chain.accounts(wanted)
    tokens = [0 if one is None else decode_token_account(bytes(one.data)).amount for one in found[: len(wallets)]]
    decode = chain.program.codec.decode_account
    owed = [0 if one is None else decode(bytes(one.data), name="Participant").owed[0] for one in found[len(wallets) :]]
    return {str(wallet): tokens[i] + owed[i] for i, wallet in enumerate(wallets)}


async def gather(
    chain: Chain,
    buyer: Client,
    *,
    request: str,
    truth: Mapping[int, str],
    wallets: Mapping[str, str],
    validators: Sequence[str],
    before: Mapping[str, int],
    seconds: Mapping[str, float],
    home: str,
) -> dict[str, Any]:
    """The result of a finished request. `wallets`: name by labeler wallet; `before`: balances before the posting."""
    books = await _books(chain, request)
    rows = [json.loads(line) for line in (await buyer.dataset(request)).splitlines()]
    everyone = [*wallets, *validators, buyer.wallet]
    mint = await cluster.market_mint(chain)
    for _ in range(LOOKS):
        repaid = await _repaid(chain, buyer.wallet, request)
        now = await balances(chain, [Pubkey.from_string(wallet) for wallet in everyone])
        held, supply = await cluster.token_sum(chain, mint)
        if held == supply and repaid == await _repaid(chain, buyer.wallet, request):
            break  # no slash came between: the keeper goes on while this is read
    earned = {wallet: now[wallet] - before[wallet] for wallet in everyone}
    paid_labelers = sum(earned[wallet] for wallet in wallets)
    paid_validators = sum(earned[wallet] for wallet in validators)
    # Never from the books alone: vault, supply and each wallet's own tokens must say the same.
    conserved = (
        books["unspent"] >= 0
        and books["vault"] == books["unspent"] + books["fees_in_vault"] + books["bonds"]
        and held == supply
        and paid_labelers == books["paid_labelers"]
        and paid_validators == books["paid_validators"]
        and earned[buyer.wallet] == books["refunded"] + repaid - books["locked"]
    )
    signatures, units = await _settlements(chain, request)
    answers_right, labelers = _labelers(rows, truth=truth, wallets=wallets, earned=earned)
    right = [_value(row) == truth[row["index"]] for row in rows if row["index"] in truth]
    return {
        "request": request,
        "home": home,
        "records": books["records_done"],
        "answers_accepted": books["answers_accepted"],
        "answers_rejected": books["answers_rejected"],
        "accuracy": round(float(np.mean(right)), 4) if right else None,
        "accuracy_average_labeler": round(float(np.mean(answers_right)), 4) if answers_right else None,
        "agreement": await _agreement(buyer, request),
        "locked": _tokens(books["locked"]),
        "paid_contributors": _tokens(books["paid_labelers"]),
        "paid_validators": _tokens(books["paid_validators"]),
        "fees": _tokens(books["fees"]),
        "refundable": _tokens(books["refunded"] + books["unspent"]),
        "refunded": _tokens(books["refunded"]),
        "reserved": _tokens(books["unspent"]),
        "repaid_by_slashes": _tokens(repaid),
        "conserved": bool(conserved),
        "latency_ms": _latency(rows),
        "transactions": len(signatures),
        "compute_units_per_record": round(units / max(1, books["records_done"]), 1),
        **seconds,
        "labelers": labelers,
        "validators": [
            {"name": f"validator {index}", "wallet": wallet, "earned": _tokens(earned[wallet])}
            for index, wallet in enumerate(validators)
        ],
    }


async def _books(chain: Chain, request: str) -> dict[str, int]:
    """The request's account and its vault; base units."""
    addresses = Addresses(chain.program.id)
    address = Pubkey.from_string(request)
    account = await chain.account(address)
    vault = await chain.account(addresses.vault(address))
    assert account is not None
    assert vault is not None
    data = chain.program.codec.decode_account(bytes(account.data), name="Request")
    spent = data.paid_labelers + data.paid_validators + data.fees + data.refunded
    return {
        "locked": data.locked,
        "paid_labelers": data.paid_labelers,
        "paid_validators": data.paid_validators,
        "fees": data.fees,
        "fees_in_vault": data.fees - data.fees_collected,
        "refunded": data.refunded,
        "bonds": data.bonds,
        "unspent": data.locked - spent,
        "vault": decode_token_account(bytes(vault.data)).amount,
        "records_done": data.records_done,
        "answers_accepted": data.answers_accepted,
        "answers_rejected": data.answers_rejected,
    }


async def _repaid(chain: Chain, buyer: str, request: str) -> int:
    """What slashes have credited to the buyer since the request was posted; base units."""
    person = Addresses(chain.program.id).participant(Pubkey.from_string(buyer))
    wanted, total = Pubkey.from_string(request), 0
    async for landed in chain.history(person):
        events = landed.receipt.events
        total += sum(one.data.amount for one in events if one.name == "HarmRepaid" and one.data.buyer == person)
        if any(one.name == "RequestPosted" and one.data.request == wanted for one in events):
            break
    return int(total)


async def _agreement(buyer: Client, request: str) -> dict[str, Any]:
    """How far the raters agree, over all records."""
    found = await buyer.agreement(request, limit=0)
    return {name: value for name, value in found.items() if name not in ("by_rater", "records", "next")}


async def _settlements(chain: Chain, request: str) -> tuple[list[str], int]:
    """Signatures of the request's settlements and the compute units they took together."""
    signatures: list[str] = []
    wanted = bytes(Pubkey.from_string(request))
    async for event in chain.events(follow=False):
        if event.name == "BatchSettled" and bytes(event.data.request) == wanted:
            signatures.append(event.signature)
    units = 0
    for signature in signatures:
        receipt = await chain.receipt(signature)
        units += receipt.compute_units if receipt else 0
    return signatures, units


def _labelers(
    rows: Sequence[Mapping[str, Any]],
    *,
    truth: Mapping[int, str],
    wallets: Mapping[str, str],
    earned: Mapping[str, int],
) -> tuple[list[float], list[dict[str, Any]]]:
    """Each labeler's share of right answers, and what is told of each."""
    right: dict[str, list[bool]] = defaultdict(list)
    count: dict[str, int] = defaultdict(int)
    accepted: dict[str, int] = defaultdict(int)
    for row in rows:
        for answer in row["answers"]:
            wallet = answer["labeler"]
            count[wallet] += 1
            accepted[wallet] += bool(answer["verdict"])
            if row["index"] in truth:
                right[wallet].append(answer["content"]["value"] == truth[row["index"]])
    shares = {wallet: float(np.mean(found)) for wallet, found in right.items()}
    labelers = [
        {
            "name": name,
            "wallet": wallet,
            "answers": count[wallet],
            "accepted": accepted[wallet],
            "accuracy": round(shares[wallet], 4) if wallet in shares else None,
            "earned": _tokens(earned[wallet]),
        }
        for wallet, name in wallets.items()
    ]
    return list(shares.values()), labelers


def _latency(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Milliseconds from the vote or answer that decided an answer to its confirmed payment; None without a payment."""
    spans = [
        (datetime.fromisoformat(answer["settled_at"]) - datetime.fromisoformat(answer["decided_at"])).total_seconds()
        for row in rows
        for answer in row["answers"]
        if answer["settled_at"] and answer["decided_at"]
    ]
    if not spans:
        return {"p50": None, "p95": None, "p99": None}
    p50, p95, p99 = np.percentile(np.asarray(spans) * 1000, [50, 95, 99])
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1), "p99": round(float(p99), 1)}


def _value(row: Mapping[str, Any]) -> Any:
    label = row["label"]
    return label["value"] if isinstance(label, dict) else label


def _tokens(amount: int) -> str:
    return money.format(amount, DECIMALS)
