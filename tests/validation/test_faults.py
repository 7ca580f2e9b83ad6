"""Whatever stops in the middle: nothing is lost and nothing is paid twice."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair

from assay.chain import tokens
from assay.chain.instructions import Instructions
from assay.chain.keys import ensure_key
from assay.client import Client
from assay.domain import canonical, messages, votelog
from assay.errors import (
    AccountMissing,
    AlreadyDone,
    ChainUnavailable,
    Conflict,
    FieldError,
    Forbidden,
    SignatureInvalid,
)
from assay.services import engine as engines
from assay.services.confirm import Confirmer
from assay.services.engine import Engine
from assay.services.indexer import Indexer
from assay.services.panels import View
from assay.services.proposals import Proposal
from assay.services.publish import Publisher
from assay.services.settler import Settler

TOKEN = 10**6
FAR = datetime(9999, 1, 1, tzinfo=UTC)


async def labelled(market: Any, *, items: int = 3, mode: str = "agreement") -> tuple[Any, list[Any], str]:
    """A request that has all its answers."""
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(3 if mode == "agreement" else 1)]
    address = await market.post(buyer, mode=mode, items=items)
    for labeler in labelers:
        await market.label(labeler, address, ["cat"] * items)
    return buyer, labelers, address


async def paid_once(market: Any, buyer: Any, labelers: list[Any], address: str, *, items: int) -> None:
    """All are paid, exactly once, and the auditor finds nothing."""
    for labeler in labelers:
        assert await market.balance(labeler) == (5000 - 100 + items) * TOKEN
    progress = await buyer.progress(address)
    assert progress["chain"]["paid_labelers"] == str(items * len(labelers))
    assert progress["chain"]["paid_validators"] == f"{0.04 * items:g}"
    paid = await market.market.db.fetch("payments_of", bytes(labelers[0].key.pubkey()), FAR, 100)
    assert sum(row["amount"] for row in paid) == items * TOKEN
    report = await market.audit(address)
    assert report.ok, report.finding


@pytest.mark.parametrize("step", ["submit", "confirm"])
async def test_settler_dies(stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Between writing the proposal down and submitting it; between submitting it and writing down that it landed."""
    market = await stage()
    await market.start_workers()
    reached = asyncio.Event()

    async def hang(*_: Any, **__: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        if step == "submit":
            patch.setattr(Settler, "_submit", hang)
        else:
            patch.setattr(Confirmer, "landed", hang)
        buyer, labelers, address = await labelled(market)
        await asyncio.wait_for(reached.wait(), 60)
        before = await market.market.db.row("batch_by_number", messages.unb58(address), 0)
        await market.server.stop()
    await market.reopen()
    for client in [buyer, *labelers]:
        client.url = market.server.url
    if step == "submit":
        await market.restart_workers()
    await market.until_settled(buyer, address, 9)
    after = await market.market.db.row("batch_by_number", messages.unb58(address), 0)
    assert (after["digest"], after["body"]) == (before["digest"], before["body"]), "the identical bytes"
    await paid_once(market, buyer, labelers, address, items=3)


@pytest.mark.parametrize("mode", ["agreement", "review"])
async def test_worker_killed_and_restarted(stage: Callable[..., Any], mode: str) -> None:
    market = await stage(vote_seconds=60)
    await market.start_workers(judge="truth:slow")
    work = asyncio.create_task(labelled(market, mode=mode))
    await market.until(lambda: "opened" in market.log(1) or work.done(), what="work begun")
    await asyncio.sleep(0.5)
    for number in (1, 2):
        await market.stop_worker(number, signal.SIGKILL)
    buyer, labelers, address = await work
    for number in (1, 2):
        await market.start_worker(number, judge="truth:judge")
    await market.until_settled(buyer, address, 3 * len(labelers))
    await paid_once(market, buyer, labelers, address, items=3)


async def test_one_validator_silent(stage: Callable[..., Any]) -> None:
    """A quorum is enough; who does not co-sign is not paid."""
    market = await stage()
    await market.start_worker(1)
    await market.start_worker(2)
    buyer, labelers, address = await labelled(market)
    await market.until_settled(buyer, address, 9)
    await paid_once(market, buyer, labelers, address, items=3)
    silent = bytes(market.validators[2].pubkey())
    assert not await market.market.db.fetch("payments_of", silent, FAR, 10)


async def test_no_quorum_waits_for_one(stage: Callable[..., Any]) -> None:
    market = await stage(sign_timeout=0.3)
    await market.start_worker(1)
    buyer, labelers, address = await labelled(market)
    await asyncio.sleep(2)
    assert await market.settled(buyer, address) == 0
    await market.start_worker(2)
    await market.until_settled(buyer, address, 9)
    await paid_once(market, buyer, labelers, address, items=3)


async def test_panel_that_does_not_sign_is_redrawn(stage: Callable[..., Any]) -> None:
    """With two of five validators dead, panels of three are drawn until one has its quorum alive."""
    market = await stage(validators=5, params={"panel_timeout": 1, "quorum_bps": 10_000}, sign_timeout=0.3)
    for number in (1, 2, 3):
        await market.start_worker(number)
    buyer, labelers, address = await labelled(market)
    await market.until_settled(buyer, address, 9, seconds=150)
    await paid_once(market, buyer, labelers, address, items=3)


async def test_validator_that_never_reveals_is_dropped(stage: Callable[..., Any]) -> None:
    market = await stage(vote_seconds=5)
    await market.start_worker(1)
    await market.start_worker(2)
    await market.until(lambda: market.connected(1) and market.connected(2), what="two workers connected")
    mute = market.clients[2]  # the third validator, by hand
    buyer, labelers, address = await labelled(market, mode="review", items=2)
    domain = bytes.fromhex((await buyer.progress(address))["domain"])

    async def committed() -> bool:
        todo = await mute.call("GET", "/v1/validator/work")
        for one in todo["work"]:
            body = commitment(mute, domain, one)
            with contextlib.suppress(Conflict):  # the round ended meanwhile: there is another
                await mute.call("POST", "/v1/validator/commits", body=body)
                await mute.call("POST", "/v1/validator/commits", body=body)  # a duplicate frame
        return len(await market.market.db.fetch("votes_by", bytes(mute.key.pubkey()))) >= 2

    await market.until(committed, what="the mute one's commits")
    await market.until_settled(buyer, address, 2)
    await paid_once(market, buyer, labelers, address, items=2)
    assert not await market.market.db.fetch("payments_of", bytes(mute.key.pubkey()), FAR, 10)


def commitment(
    client: Any, domain: bytes, one: dict[str, Any], *, vote: int = 1, salt: bytes = b"s" * 32
) -> dict[str, Any]:
    """A commit frame for a `work` message."""
    voter, answer = bytes(client.key.pubkey()), bytes.fromhex(one["answer"])
    said = messages.commitment(domain=domain, answer=answer, round=one["round"], voter=voter, vote=vote, salt=salt)
    message = messages.commit(domain=domain, answer=answer, round=one["round"], voter=voter, commitment=said)
    return {
        "type": "commit", "answer": one["answer"], "round": one["round"], "commitment": said.hex(),
        "signature": messages.sign(client.key, message).hex(),
    }  # fmt: skip


async def test_votes_by_hand(stage: Callable[..., Any]) -> None:
    """The whole of a round over plain HTTP, with everything that is refused on the way."""
    market = await stage(vote_seconds=60)
    buyer, labelers, address = await labelled(market, mode="review", items=1)
    domain = bytes.fromhex((await buyer.progress(address))["domain"])
    voters = market.clients[:3]

    async def offered() -> bool:
        return bool((await voters[0].call("GET", "/v1/validator/work"))["work"])

    await market.until(offered, what="work")
    one = (await voters[0].call("GET", "/v1/validator/work"))["work"][0]

    async def send(client: Any, kind: str, body: dict[str, Any]) -> None:
        await client.call("POST", f"/v1/validator/{kind}", body=body)

    def reveal(vote: int = 1, salt: bytes = b"s" * 32) -> dict[str, Any]:
        return {"type": "reveal", "answer": one["answer"], "round": one["round"], "vote": vote, "salt": salt.hex()}

    with pytest.raises(Forbidden):
        await labelers[0].call("GET", "/v1/validator/work")
    with pytest.raises(FieldError):
        await send(voters[0], "commits", {**commitment(voters[0], domain, one), "commitment": "00" * 32})
    with pytest.raises(SignatureInvalid):
        await send(voters[0], "commits", commitment(voters[1], domain, one))  # another's commitment, copied
    await send(voters[0], "commits", commitment(voters[0], domain, one))
    await send(voters[0], "commits", commitment(voters[0], domain, one))
    with pytest.raises(AlreadyDone):
        await send(voters[0], "commits", commitment(voters[0], domain, one, vote=0))
    with pytest.raises(Conflict):
        await send(voters[0], "reveals", reveal())  # commits are open
    assert not (await voters[0].call("GET", "/v1/validator/work"))["openings"]
    for voter in voters[1:]:
        await send(voter, "commits", commitment(voter, domain, one))
    opening = (await voters[0].call("GET", "/v1/validator/work"))["openings"][0]
    assert len(opening["commits"]) == 3
    assert "salt" not in str(opening)
    with pytest.raises(FieldError):
        await send(voters[0], "reveals", reveal(vote=0))
    for voter in voters:
        await send(voter, "reveals", reveal())
        await send(voter, "reveals", reveal())
    progress = await buyer.progress(address)
    assert (progress["accepted"], progress["tasks_done"]) == (1, 1)
    for number in (1, 2, 3):
        await market.start_worker(number)
    await market.until_settled(buyer, address, 1)
    await paid_once(market, buyer, labelers, address, items=1)


async def test_second_engine_takes_over(stage: Callable[..., Any]) -> None:
    """Of two engines on one database one leads; when it ends the other goes on."""
    market = await stage()
    first = market.market.engine
    second = Engine(market.market)
    await second.start()
    assert first.running
    assert not second.running
    buyer, labelers, address = await labelled(market)
    market.market.engine = second
    await first.stop()
    await market.until(lambda: second.running, what="the second leads")
    await market.start_workers()
    await market.until_settled(buyer, address, 9)
    await paid_once(market, buyer, labelers, address, items=3)
    await second.stop()


@pytest.mark.parametrize("mode", ["agreement", "review"])
async def test_another_submits_with_other_signatures(
    stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Whose signatures landed is what the chain says: they are paid, they stand in the log, and the auditor agrees."""
    market = await stage(vote_seconds=4)
    await market.start_worker(1)
    await market.start_worker(2)
    await market.until(lambda: market.connected(1) and market.connected(2), what="two workers connected")
    stranger, ours = Keypair(), []
    await market.market.chain.airdrop(stranger.pubkey(), 10**9)
    submit = Settler._submit

    async def overtaken(self: Settler, proposal: Proposal, view: View, signatures: Any) -> Any:
        """A stranger has the signature of the third validator, which the market never saw, and of the first."""
        message = messages.batch(
            domain=view.domain, batch=proposal.batch, panel_round=view.panel_round, digest=proposal.digest
        )
        keys = {bytes(key.pubkey()): key for key in market.validators}
        others = [(wallet, messages.sign(keys[wallet], message)) for wallet in wallets[2::-2]]
        owner = self._owner
        builder = await owner.builder(view, wallets=[one.wallet for one in proposal.tallies])
        steps = builder.settle(proposal, view, others)
        # What the market does not look at: the same message, signed by those who will not be paid.
        steps[1:1] = [steps[1] if not ours else builder.settle(proposal, view, signatures)[1]]
        await market.market.chain.send(steps, payer=stranger, lookup_tables=builder.tables)
        ours.append([wallet for wallet, _ in signatures])
        return await submit(self, proposal, view, signatures)

    monkeypatch.setattr(Settler, "_submit", overtaken)
    wallets = [bytes(key.pubkey()) for key in market.validators]
    buyer, labelers, address = await labelled(market, mode=mode)
    await market.until_settled(buyer, address, 3 * len(labelers))
    assert ours
    assert all(set(signers) == set(wallets[:2]) for signers in ours)
    db, theirs = market.market.db, wallets[2::-2]
    expected = [sum(row["amount"] for row in await db.fetch("payments_of", one, FAR, 100)) for one in wallets]
    assert expected == ([60_000, 0, 60_000] if mode == "agreement" else [60_000, 60_000, 0])
    for again in (False, True):
        if again:
            await market.market.engine.rebuild()
        assert [batch["signers"] for batch in await db.fetch("batches_all")] == [theirs] * len(ours)
        found = [sum(row["amount"] for row in await db.fetch("payments_of", one, FAR, 100)) for one in wallets]
        assert found == expected
    await paid_once(market, buyer, labelers, address, items=3)
    lines = (market.settings.log_dir / f"{address}.jsonl").read_bytes().splitlines()[1:]
    for line in map(votelog.decode_batch, lines):
        assert [wallet for wallet, _ in line.signatures] == theirs


async def test_projections_are_rebuilt_from_the_chain(stage: Callable[..., Any]) -> None:
    market = await stage()
    await market.start_workers()
    buyer, labelers, address = await labelled(market)
    await market.until_settled(buyer, address, 9)
    db = market.market.db
    wallet = bytes(labelers[0].key.pubkey())
    keep = ("request", "batch", "role", "amount", "owed", "signature")
    before = [tuple(row[name] for name in keep) for row in await db.fetch("payments_of", wallet, FAR, 100)]
    counts = await market.market.engine.rebuild()
    assert counts["batches"] >= 1
    assert counts["participants"] == 3 + 1 + 3
    assert [tuple(row[name] for name in keep) for row in await db.fetch("payments_of", wallet, FAR, 100)] == before
    again = await market.market.engine.rebuild()
    assert again == counts


async def test_a_rebuild_while_an_event_is_taken_leaves_none_out(
    stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor of the event that is being taken would else lead the rebuild past all before it."""
    market = await stage(validators=1)
    engine = market.market.engine
    reached, go = asyncio.Event(), asyncio.Event()
    project, cursor = Indexer._project, Indexer.cursor

    async def slowly(self: Indexer, event: Any) -> None:
        if not reached.is_set() and event.name == "Registered":
            reached.set()
            await go.wait()
        await project(self, event)

    async def later(self: Indexer) -> Any:
        go.set()
        await asyncio.sleep(0.5)  # what is half taken comes to its end, and moves the cursor
        return await cursor(self)

    monkeypatch.setattr(Indexer, "_project", slowly)
    labeler = await market.client("labeler", stake="100")
    await market.until(reached.is_set, what="an event half taken")
    monkeypatch.setattr(Indexer, "cursor", later)
    rebuilding = asyncio.create_task(engine.rebuild())
    await asyncio.sleep(0.5)  # as far as it comes
    go.set()
    counts = await rebuilding
    assert counts["events"] == len([event async for event in market.market.chain.events(follow=False)])
    assert counts["participants"] == 2
    assert (await labeler.me())["participant"]["stake"] == "100"


async def test_closed_payout_is_owed(stage: Callable[..., Any]) -> None:
    """A token account that is gone holds nobody up: what it would have got is owed."""
    market = await stage()
    await market.start_workers()
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(3)]
    gone = labelers[0].key
    mint = market.market.faucet.mint
    account, other = (tokens.associated_address(one.key.pubkey(), mint) for one in labelers[:2])
    empty = tokens.transfer_checked(account, other, mint=mint, owner=gone.pubkey(), amount=4900 * TOKEN, decimals=6)
    metas = [AccountMeta(account, False, True), AccountMeta(gone.pubkey(), False, True)]
    close = Instruction(tokens.TOKEN, b"\x09", [*metas, AccountMeta(gone.pubkey(), True, False)])
    await market.market.chain.send([empty, close], payer=gone)
    address = await market.post(buyer, items=2)
    for labeler in labelers:
        await market.label(labeler, address, ["dog", "dog"])
    await market.until_settled(buyer, address, 6)
    assert (await labelers[0].me())["participant"]["owed"][0] == "2"
    assert await market.balance(labelers[2]) == (5000 - 100 + 2) * TOKEN
    (row,) = await market.market.db.fetch("payments_of", bytes(gone.pubkey()), FAR, 10)
    assert (row["amount"], row["owed"]) == (2 * TOKEN, True)
    # it is claimed into an account opened anew, though the market takes no more requests in this mint
    operator = ensure_key(market.settings.operator_file)
    disable = Instructions(market.market.chain.program).disable_mint(authority=operator.pubkey(), mint=mint)
    await market.market.chain.send([disable], payer=operator)
    await labelers[0].claim_owed(mint=str(mint))
    assert await market.balance(labelers[0]) == 2 * TOKEN
    assert (await labelers[0].me())["participant"]["owed"][0] == "0"


async def test_a_request_that_nobody_can_sit_for_holds_no_other_up(stage: Callable[..., Any]) -> None:
    market = await stage(validators=2)
    buyer = await market.client("buyer")
    panels = market.market.engine.parts.panels
    request = messages.unb58(await market.post(buyer))
    async with asyncio.timeout(30):  # who draws does so for one request after the other
        assert (await panels.draw(request)).panel == ()
    await market.add_validators(1)

    async def drawn() -> bool:
        return len((await panels.view(request, fresh=True)).panel) == 3

    await market.until(drawn, what="a panel of three")


async def test_a_request_that_cannot_be_read_keeps_no_round_of_another_open(
    stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    market = await stage(vote_seconds=2)
    gone, other = [(await labelled(market, mode="review", items=1))[2] for _ in range(2)]
    panels, db = market.market.engine.parts.panels, market.market.db
    view = panels.view

    async def rounds(address: str) -> list[Any]:
        async with db.session() as session:
            query = "select round, state from rounds where request = $1 order by round"
            return [tuple(row) for row in await session.connection.fetch(query, messages.unb58(address))]

    async def opened() -> bool:
        return bool(await rounds(gone) and await rounds(other))

    async def partly(request: bytes, *, fresh: bool = False) -> Any:
        if request == messages.unb58(gone):
            raise AccountMissing("there is no such request")
        return await view(request, fresh=fresh)

    await market.until(opened, what="rounds of both")
    monkeypatch.setattr(panels, "view", partly)

    async def over() -> bool:
        return (0, "failed") in await rounds(gone) and (0, "failed") in await rounds(other)

    await market.until(over, what="both rounds over")


async def test_panel_is_replaced_after_its_term(stage: Callable[..., Any]) -> None:
    market = await stage(validators=4, params={"panel_term": 1})
    for number in range(1, 5):
        await market.start_worker(number)
    buyer, labelers, address = await labelled(market)
    await market.until_settled(buyer, address, 9)
    request = messages.unb58(address)

    async def replaced() -> bool:
        return bool((await market.market.engine.parts.panels.view(request, fresh=True)).panel_round >= 2)

    await market.until(replaced, what="another panel")
    await paid_once(market, buyer, labelers, address, items=3)


async def test_a_log_that_cannot_be_written_keeps_no_house_from_being_kept(
    stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    market = await stage()
    await market.start_workers()
    buyer, _, address = await labelled(market)
    await market.until_settled(buyer, address, 9)
    await market.server.stop()

    async def fail(self: Publisher, request: bytes) -> int:
        raise ChainUnavailable("its settlements are not to be had")

    publish, path = Publisher.publish, market.settings.log_dir / f"{address}.jsonl"
    log = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(engines, "CHORE_SECONDS", 0.5)
    monkeypatch.setattr(Publisher, "publish", fail)
    await market.reopen()
    buyer = Client(market.server.url, key=buyer.key)
    market.clients.append(await buyer.__aenter__())
    panels, request = market.market.engine.parts.panels, messages.unb58(await market.post(buyer))

    async def drawn() -> bool:
        return len((await panels.view(request, fresh=True)).panel) == 3

    await market.until(drawn, what="a panel")
    monkeypatch.setattr(Publisher, "publish", publish)
    await market.until(lambda: path.exists() and path.read_bytes() == log, what="the log")


async def test_a_log_of_the_first_version_is_written_anew(stage: Callable[..., Any]) -> None:
    """It said no market time; what the database does not know of it either, the chain does."""
    market = await stage()
    await market.start_workers()
    buyer, labelers, address = await labelled(market)
    await market.until_settled(buyer, address, 9)
    await market.audit(address)
    log = market.settings.log_dir / f"{address}.jsonl"
    right = log.read_bytes()
    header, *lines = map(canonical.loads, right.splitlines())
    old = [header | {"version": 1}, *({name: one[name] for name in one if name != "at"} for one in lines)]
    await market.server.stop()
    log.write_bytes(b"".join(canonical.dumps(one) + b"\n" for one in old))
    connection = await asyncpg.connect(market.settings.database_url)
    await connection.execute("update batches set settled_time = null")
    await connection.close()
    await market.reopen()
    for client in [buyer, *labelers]:
        client.url = market.server.url
    await paid_once(market, buyer, labelers, address, items=3)
    assert log.read_bytes() == right
