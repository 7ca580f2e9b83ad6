"""A panel of validators who never saw the request: they learn from log and chain what was settled, from nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from assay.domain import canonical, messages
from assay.services.proposals import Proposal

OLD, FRESH = (1, 2, 3), (4, 5, 6)
TERMS = {"panel_term": 2, "panel_timeout": 4}
LABELS = ["cat", "dog", "owl", "cat", "dog", "owl", "cat", "dog", "owl", "cat"]


async def begun(
    market: Any, *, mode: str, items: int, spec: dict[str, Any] | None = None
) -> tuple[Any, list[Any], str]:
    """A request of which the old panel settled four records, in at least two batches."""
    await market.start_workers()
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(3 if mode == "agreement" else 1)]
    address = await market.post(buyer, mode=mode, items=items, spec=spec or {})
    for done in (2, 4):
        await more(market, buyer, labelers, address, done)
    assert len(await market.market.db.fetch("batches_all")) >= 2
    return buyer, labelers, address


async def more(market: Any, buyer: Any, labelers: list[Any], address: str, done: int) -> None:
    """Labels up to `done` records and waits until they are settled."""
    await label(market, labelers, address, done)
    await market.until_settled(buyer, address, done * len(labelers), seconds=120)


async def label(market: Any, labelers: list[Any], address: str, done: int) -> None:
    for labeler in labelers:
        await market.label(labeler, address, LABELS[:done])


async def replaced(market: Any) -> None:
    """All validators leave with their stake, and their workers stop; three others come."""
    for number in OLD:
        if number in market.workers:
            await market.stop_worker(number)
    for client in market.clients[:3]:
        await client.transact("/v1/unstake", {"amount": "1000"})
    await market.add_validators(3)
    for number in FRESH:
        await market.start_worker(number)
    await market.until(lambda: all(map(market.connected, FRESH)), what="the fresh ones connected")


async def in_office(market: Any, address: str) -> set[bytes]:
    view = await market.market.engine.parts.panels.view(messages.unb58(address), fresh=True)
    return set(view.panel)


def wallets(market: Any, numbers: tuple[int, ...]) -> set[bytes]:
    return {bytes(market.validators[number - 1].pubkey()) for number in numbers}


async def fits(market: Any, address: str) -> None:
    report = await market.audit(address)
    assert report.ok, report.finding


@pytest.mark.parametrize(
    ("mode", "spec"),
    [
        ("agreement", {}),
        ("agreement", {"consensus": {"method": "dawid-skene"}}),
        ("review", {}),
        ("review", {"validation": {"pay": "information"}}),
    ],
    ids=["majority", "learns", "review", "information"],
)
async def test_a_fresh_panel_goes_on(stage: Callable[..., Any], mode: str, spec: dict[str, Any]) -> None:
    market = await stage(params=TERMS, sign_timeout=1.5, vote_seconds=3)
    buyer, labelers, address = await begun(market, mode=mode, items=8, spec=spec)
    assert await in_office(market, address) == wallets(market, OLD)
    await replaced(market)
    await more(market, buyer, labelers, address, 6)
    assert await in_office(market, address) == wallets(market, FRESH)
    await market.stop_worker(4)  # one begins anew, and knows what it wrote down
    await market.start_worker(4)
    await market.until(lambda: market.connected(4), what="it is back")
    await more(market, buyer, labelers, address, 8)
    for number in FRESH:
        assert "history_" not in market.log(number)
    assert sum('"signed"' in market.log(number) for number in FRESH) >= 2
    await fits(market, address)


async def test_what_is_settled_is_not_settled_again_by_a_fresh_panel(stage: Callable[..., Any]) -> None:
    """A dishonest operator proposes a batch of the old panel's once more, under the next number."""
    market = await stage(params=TERMS, sign_timeout=1.5)
    buyer, labelers, address = await begun(market, mode="agreement", items=10)
    await replaced(market)
    await more(market, buyer, labelers, address, 5)
    request, db = messages.unb58(address), market.market.db
    before = (await buyer.progress(address))["chain"]
    number = len(await db.fetch("batches_all"))
    first = Proposal.of_row(await db.row("batch_by_number", request, 0))
    async with db.transaction() as tx:
        await tx.execute(
            "batch_insert", request, number, first.root, first.digest, first.records, first.judged, first.answers,
            first.votes, [one.wallet for one in first.tallies],
            [bytes([one.role]) + one.pack() for one in first.tallies], first.body,
        )  # fmt: skip
    market.market.engine.parts.settlement.wake(request)

    def all_refused() -> bool:
        return all("settled_before" in market.log(number) for number in FRESH)

    await market.until(all_refused, what="each fresh member refuses")
    await asyncio.sleep(1)
    refusal = next(line for line in market.log(4).splitlines() if "settled_before" in line)
    detail = json.loads(refusal)["detail"]
    assert detail.startswith("tasks[")
    assert detail.endswith("was settled in batch 0")
    assert (await buyer.progress(address))["chain"] == before
    connection = await asyncpg.connect(db.url)
    await connection.execute("delete from batches where request = $1 and batch = $2", request, number)
    await connection.close()
    await more(market, buyer, labelers, address, 10)
    await fits(market, address)
    await buyer.end(address)
    assert await kept(market, 4) > 0
    await market.start_worker(4)
    await market.until(
        lambda: "ended request forgotten" in market.log(4), what="what it kept of the request is dropped"
    )
    assert await kept(market, 4) == 0


async def kept(market: Any, number: int) -> int:
    """Ids of settled answers and records that a worker has on disk; it is stopped."""
    await market.stop_worker(number)
    with contextlib.closing(sqlite3.connect(market.home / f"validator{number}.sqlite")) as db:
        return int(db.execute("SELECT count(*) FROM entries").fetchone()[0])


def another_label(lines: list[bytes]) -> None:
    line = document(lines[1])
    content = line["tasks"][0]["answers"][0]["content"]
    content["value"] = "dog" if content["value"] == "cat" else "cat"
    lines[1] = canonical.dumps(line) + b"\n"


def another_time(lines: list[bytes]) -> None:
    line = document(lines[2])
    line["at"] += 1
    lines[2] = canonical.dumps(line) + b"\n"


def cut_short(lines: list[bytes]) -> None:
    lines.pop()


def document(line: bytes) -> dict[str, Any]:
    found = canonical.loads(line)
    assert isinstance(found, dict)
    return found


async def test_a_forged_log_is_not_believed(stage: Callable[..., Any]) -> None:
    """A member without memory, and a log that says what was not settled: nothing is signed until it is mended."""
    market = await stage(params={"quorum_bps": 10_000}, sign_timeout=0.5)
    buyer, labelers, address = await begun(market, mode="agreement", items=7)
    log: Path = market.settings.log_dir / f"{address}.jsonl"
    await market.audit(address)
    forgeries = ((another_label, "history_wrong"), (another_time, "history_wrong"), (cut_short, "history_missing"))
    for done, (forge, code) in enumerate(forgeries, start=5):
        await market.stop_worker(1)
        for path in market.home.glob("validator1.sqlite*"):
            path.unlink()
        right = log.read_bytes().splitlines(keepends=True)
        wrong = list(right)
        forge(wrong)
        log.write_bytes(b"".join(wrong))
        told = market.log(1).count(code)
        await market.start_worker(1)
        await market.until(lambda: market.connected(1), what="it is back")
        await label(market, labelers, address, done)
        await market.until(lambda c=code, n=told: market.log(1).count(c) > n, what=f"{code} after {forge.__name__}")
        assert await market.settled(buyer, address) == 3 * (done - 1)
        log.write_bytes(b"".join(right))
        await market.until_settled(buyer, address, 3 * done)
        await market.audit(address)
    await fits(market, address)


async def test_votes_of_a_panel_that_is_gone(stage: Callable[..., Any]) -> None:
    """The old panel voted and signed nothing; the fresh one finds on chain who it was, and settles its verdicts."""
    market = await stage(params={"panel_timeout": 5}, sign_timeout=0.5, vote_seconds=60)
    buyer = await market.client("buyer")
    labeler = await market.client("labeler", stake="100")
    address = await market.post(buyer, mode="review", items=2)
    await market.label(labeler, address, LABELS[:2])
    domain = bytes.fromhex((await buyer.progress(address))["domain"])
    voters = market.clients[:3]
    salt = b"s" * 32

    async def todo(client: Any, kind: str) -> list[dict[str, Any]]:
        found = (await client.call("GET", "/v1/validator/work"))[kind]
        assert isinstance(found, list)
        return found

    async def offered() -> bool:
        return len(await todo(voters[0], "work")) == 2

    await market.until(offered, what="work")
    for client in voters:
        for one in await todo(client, "work"):
            answer, voter = bytes.fromhex(one["answer"]), bytes(client.key.pubkey())
            said = messages.commitment(domain=domain, answer=answer, round=one["round"], voter=voter, vote=1, salt=salt)
            commit = messages.commit(domain=domain, answer=answer, round=one["round"], voter=voter, commitment=said)
            body = {"type": "commit", "answer": one["answer"], "round": one["round"], "commitment": said.hex(),
                    "signature": messages.sign(client.key, commit).hex()}  # fmt: skip
            await client.call("POST", "/v1/validator/commits", body=body)
    for client in voters:
        for one in await todo(client, "openings"):
            body = {"type": "reveal", "answer": one["answer"], "round": one["round"], "vote": 1, "salt": salt.hex()}
            await client.call("POST", "/v1/validator/reveals", body=body)
    assert (await buyer.progress(address))["accepted"] == 2
    await replaced(market)
    await market.until_settled(buyer, address, 2)
    assert await in_office(market, address) == wallets(market, FRESH)
    assert any("earlier panel found" in market.log(number) for number in FRESH)
    await fits(market, address)
