"""A labeler disputes a rejection through client and command; every refusal says what is wrong."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from assay.domain import merkle, messages
from assay.domain.entries import REJECTED, AnswerEntry
from assay.errors import AlreadyDone, Conflict, Forbidden, Gone, NotFound

UNIT = 10**6


async def judged(market: Any, labels: list[str]) -> tuple[Any, str, list[dict[str, Any]]]:
    """A labeler's settled answers (one item each) by review, where only cats are accepted: batch by batch."""
    await market.start_workers(judge="truth:judge")
    buyer, labeler = await market.client("buyer"), await market.client("labeler", stake="100")
    address = await market.post(buyer, mode="review", items=len(labels))
    tasks = [bytes.fromhex(one["task"]) for one in await labeler.tasks(address)]
    for count, (task, label) in enumerate(zip(tasks, labels, strict=True), 1):
        (lease,) = await labeler.claim(request=address, tasks=[task])
        await labeler.submit(lease, {"value": label})
        await market.until_settled(buyer, address, count)
    return labeler, address, sorted(await labeler.answers(request=address), key=lambda one: one["batch"])


async def run(market: Any, labeler: Any, answer: str, *more: str) -> tuple[int, str]:
    """`./assay dispute` in a process of its own: exit code and what it said."""
    path = market.home / "labeler.json"
    path.write_text(json.dumps(list(bytes(labeler.key))))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "assay", "dispute", "--key", str(path), "--answer", answer, "--api", market.server.url,
        *more, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said = (await process.communicate())[0].decode()
    return process.returncode or 0, said


async def test_rejections_of_any_batch_are_disputed(stage: Callable[..., Any]) -> None:
    market = await stage()
    labeler, address, answers = await judged(market, ["dog", "cat", "owl", "dog", "owl"])
    assert [one["batch"] for one in answers] == [0, 1, 2, 3, 4]
    request = await market.market.requests.account(messages.unb58(address))
    for one in (answers[0], answers[2], answers[4]):
        found = await labeler.rejection(one["answer"])
        proof = {
            key: bytes.fromhex(value) if isinstance(value, str) else value for key, value in found["proof"].items()
        }
        entry = AnswerEntry(
            proof["answer"], proof["task"], messages.unb58(labeler.wallet), REJECTED, proof["confidence"],
            proof["evidence"],
        )  # fmt: skip
        root = merkle.climb(merkle.leaf(entry.pack()), proof["index"], [bytes.fromhex(x) for x in proof["proof"]])
        leaf = merkle.batch_leaf(batch=proof["batch"], root=root, at=proof["settled_at"], digest=proof["digest"])
        height, first = merkle.locate(proof["batch"], request.next_batch)
        siblings = [bytes.fromhex(x) for x in proof["log_proof"]]
        assert merkle.climb(leaf, proof["batch"] - first, siblings) == bytes(request.peaks[height])
        assert (found["bond"], found["until"]) == ("10", proof["settled_at"] + 3 * 24 * 3600)
        assert 0 < found["seconds"] <= 3 * 24 * 3600

    before = await market.balance(labeler)
    code, said = await run(market, labeler, answers[0]["answer"])
    assert code == 0, said
    assert "bond 10 tokens" in said
    assert "panel of its own" in said
    code, said = await run(market, labeler, answers[2]["answer"], "--rpc", market.market.rpc_url, "--json")
    assert code == 0, said
    assert json.loads(said)["opened"]["bond"] == "10"
    opened = await labeler.dispute(answers[4]["answer"])
    assert opened["dispute"] == (await labeler.disputed(answers[4]["answer"]))["dispute"]
    assert await market.balance(labeler) == before - 30 * UNIT
    code, said = await run(market, labeler, answers[0]["answer"], "--json")
    assert code == 0, said
    assert json.loads(said)["opened"] is None, "again: how it stands"


async def test_refusals_name_what_is_wrong(stage: Callable[..., Any]) -> None:
    market = await stage(params={"dispute_window": 60})
    labeler, _, (wrong, right, late) = await judged(market, ["dog", "cat", "owl"])
    other = await market.client("labeler", stake="100")
    with pytest.raises(NotFound, match="there is no answer"):
        await labeler.rejection("00" * 32)
    with pytest.raises(Forbidden, match=f"not yours: {labeler.wallet}"):
        await other.dispute(wrong["answer"])
    with pytest.raises(Conflict, match="was accepted: only a rejection"):
        await labeler.dispute(right["answer"])
    with pytest.raises(NotFound, match="not disputed"):
        await labeler.disputed(wrong["answer"])
    code, said = await run(market, labeler, right["answer"])
    assert code == 1, said
    assert "was accepted" in said
    await labeler.dispute(wrong["answer"])
    with pytest.raises(AlreadyDone, match="disputed before"):
        await labeler.dispute(wrong["answer"])

    stake = await market.balance(labeler)
    await labeler.transact("/v1/stake", {"amount": str(stake // UNIT - 9)})
    with pytest.raises(Conflict, match="the bond is 10 tokens, and this wallet holds 9") as refused:
        await labeler.dispute(late["answer"])
    assert refused.value.field == "bond"
    await labeler.faucet(tokens="100")
    until = (await labeler.rejection(late["answer"]))["until"]

    async def over() -> bool:
        return bool(await market.market.terms.now() >= until)

    await market.until(over, what="the end of the window")
    with pytest.raises(Gone, match="the time to dispute this answer was over"):
        await labeler.dispute(late["answer"])


async def test_a_proof_is_made_beside_other_calls_and_its_trees_once(
    stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large a batch is: hashing it keeps nobody else waiting."""
    market = await stage()
    labeler, _, answers = await judged(market, ["dog", "owl", "dog"])
    made, begun, go = [], asyncio.Event(), threading.Event()
    loop, init = asyncio.get_running_loop(), merkle.Tree.__init__

    def slow(self: merkle.Tree, leaves: Any) -> None:
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(30), "the loop waits for the hashing"
        made.append(len(leaves))
        init(self, leaves)

    monkeypatch.setattr(merkle.Tree, "__init__", slow)
    both = asyncio.gather(*(labeler.rejection(answers[0]["answer"]) for _ in range(2)))
    await asyncio.wait_for(begun.wait(), 30)
    assert (await labeler.market())["panel_size"]
    go.set()
    first, second = await both
    assert first["proof"] == second["proof"]
    assert made == [2, 1], "the peak over two batches, and the batch's own"
    again = await labeler.rejection(answers[1]["answer"])
    assert made == [2, 1, 1], "the peak was known"
    assert again["proof"]["log_proof"] != first["proof"]["log_proof"]
