"""Requests: quoted, drafted, opened by the chain alone, ended."""

from __future__ import annotations

import asyncio
import base64
import io
import secrets
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from PIL import Image
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain.tokens import associated_address
from assay.client import Client
from assay.domain import canonical, work
from assay.domain import spec as specification
from assay.domain.messages import task_id, unb58
from assay.errors import (
    AlreadyDone,
    ChainUnavailable,
    Conflict,
    FieldError,
    Forbidden,
    MediaError,
    NotFound,
    UnsupportedMedia,
)
from assay.server import Server
from assay.services.requests import Order


def _png(*, exif: bool = False) -> bytes:
    image = Image.new("RGB", (40, 30), "red")
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=None, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0" if exif else b"")
    return out.getvalue()


async def _spec(buyer: Client, *, items: int = 3, **changes: Any) -> dict[str, Any]:
    uploaded = [await buyer.upload(f"text {i}".encode(), media_type="text/plain") for i in range(items)]
    return {
        "title": "t",
        "instructions": "i",
        "kind": "choice",
        "schema": {"classes": ["a", "b"]},
        "mode": "agreement",
        "overlap": 3,
        "items": [{"cid": item["cid"], "media_type": item["media_type"]} for item in uploaded],
        **changes,
    }


async def test_a_quote_needs_no_sign_in_and_no_upload(server: Server) -> None:
    async with Client(server.url) as nobody:
        cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
        spec = {
            "title": "t",
            "instructions": "",
            "kind": "text",
            "schema": {},
            "mode": "review",
            "items": [{"cid": cid, "media_type": "image/png"}] * 50,
        }
        quote = await nobody.quote({"spec": spec, "price": "1", "validation_fee": "0.04"})
    assert (quote["labelers"], quote["validators"], quote["total"], quote["records"]) == ("50", "2", "52", 50)
    assert quote["least"] == quote["total"]


async def test_a_quote_says_the_least_and_the_most(server: Server) -> None:
    """Of a request whose tasks may ask for more answers; the most is what is locked."""
    cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
    spec = {
        "title": "t", "instructions": "", "kind": "text", "schema": {}, "mode": "agreement", "overlap": 3,
        "items": [{"cid": cid, "media_type": "image/png"}] * 50, "more": {"most": 9, "confidence_bps": 9000},
    }  # fmt: skip
    async with Client(server.url) as nobody:
        quote = await nobody.quote({"spec": spec, "price": "1", "validation_fee": "0.04"})
        names = ("least", "total", "labelers", "validators", "answers", "records")
        assert tuple(quote[name] for name in names) == ("152", "452", "450", "2", 450, 50)
        with pytest.raises(FieldError, match=r"spec\.more\.most"):
            await nobody.quote({"spec": spec | {"overlap": 9}, "price": "1", "validation_fee": "0.04"})


async def test_what_is_wrong_with_an_order_is_named(join) -> None:
    buyer = await join("buyer")
    spec = await _spec(buyer)
    missing = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"price": "0"}, "price"),
        ({"price": "0.0000001"}, "price"),
        ({"budget": "1"}, "budget"),
        ({"seconds": 1}, "seconds"),
        ({"min_tier": 9}, "min_tier"),
        ({"premium_bps": [5, 4, 0, 0]}, "premium_bps"),
        ({"mint": "11111111111111111111111111111111"}, "mint"),
        ({"spec": {**spec, "kind": "smell"}}, "spec.kind"),
        ({"spec": {**spec, "mode": "review"}}, "spec.overlap"),
        ({"spec": {**spec, "items": [{"cid": missing, "media_type": "image/png"}]}}, "spec.items[0].cid"),
        ({"spec": {**spec, "items": [{**spec["items"][0], "media_type": "image/png"}]}}, "spec.items[0].media_type"),
        ({"spec": {**spec, "consensus": {"method": "dice"}}}, "spec.consensus.method"),
        ({"gold": [{"index": 99, "label": {"value": "a"}}]}, "gold[0].index"),
        ({"gold": [{"index": 0, "label": {"value": "z"}}]}, "gold[0].label.value"),
        ({"surprise": 1}, "surprise"),
    ]
    for change, field in wrong:
        with pytest.raises(FieldError) as caught:
            await buyer.post({"spec": spec, "price": "1", **change})
        assert caught.value.field is not None
        assert caught.value.field.endswith(field), (field, str(caught.value))


async def test_only_registered_buyers_draft(join) -> None:
    labeler = await join("labeler", stake="100")
    spec = await _spec(labeler)
    with pytest.raises(Forbidden, match="not registered as a buyer"):
        await labeler.post({"spec": spec, "price": "1"})


async def test_an_id_makes_drafts_idempotent(join, server: Server) -> None:
    buyer = await join("buyer")
    order = {"spec": await _spec(buyer), "price": "1", "id": 7, "gold": [{"index": 0, "label": {"value": "a"}}]}
    first = await buyer.call("POST", "/v1/requests", body=order)
    again = await buyer.call("POST", "/v1/requests", body=order)
    assert (first["address"], first["spec_hash"]) == (again["address"], again["spec_hash"])
    with pytest.raises(AlreadyDone) as caught:
        await buyer.call("POST", "/v1/requests", body={**order, "spec": {**order["spec"], "title": "another"}})
    assert caught.value.field == "id"
    for change in ({"price": "2"}, {"validation_fee": "0.5"}, {"budget": "1000"}, {"min_tier": 1}):
        with pytest.raises(AlreadyDone, match="another request"):
            await buyer.call("POST", "/v1/requests", body={**order, **change})


async def test_a_buyer_who_chooses_the_salts_knows_the_specifications_hash(join) -> None:
    buyer = await join("buyer")
    spec, salts = await _spec(buyer), [secrets.token_hex(32) for _ in range(2)]
    gold = [
        {"index": 2, "label": {"value": "b"}, "salt": salts[0]},
        {"index": 0, "label": {"value": "a"}, "salt": salts[1]},
    ]
    entries = [(one["index"], one["label"], bytes.fromhex(one["salt"])) for one in gold]
    committed = {"root": work.commit_gold(entries)[0].hex(), "count": 2}
    drafted = await buyer.call("POST", "/v1/requests", body={"spec": spec, "price": "1", "gold": gold})
    assert drafted["spec_hash"] == specification.parse({**spec, "gold": committed}).hash.hex()
    gold[0]["salt"] = "AB" * 32
    with pytest.raises(FieldError) as caught:
        await buyer.call("POST", "/v1/requests", body={"spec": spec, "price": "1", "gold": gold})
    assert caught.value.field == "gold[0].salt"


async def test_a_top_up_adds_to_the_escrow(join, post) -> None:
    buyer, friend = await join("buyer"), await join(None)
    address = (await post(buyer))["address"]
    locked = Decimal((await buyer.progress(address))["chain"]["locked"])
    await friend.top_up(address, "2.5")
    assert Decimal((await buyer.progress(address))["chain"]["locked"]) == locked + Decimal("2.5")
    with pytest.raises(FieldError, match="is 0"):
        await buyer.top_up(address, "0")
    await buyer.end(address, cancel=True)
    with pytest.raises(Conflict, match="is closing"):
        await friend.top_up(address, "1")


async def test_the_id_of_a_request_that_ended_is_not_drafted_again(join, server: Server) -> None:
    """Once its account is gone the chain would take it; nobody would work on it."""
    buyer = await join("buyer")
    order = {"spec": await _spec(buyer), "price": "1", "id": 7}
    posted = await buyer.post(order)
    await server.market.db.execute("request_state", unb58(posted["address"]), "closed")
    with pytest.raises(AlreadyDone, match="has ended"):
        await buyer.call("POST", "/v1/requests", body=order)


async def test_an_event_that_could_not_be_read_is_read_again(
    join, post, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a request that is ending would go on being handed out, and some of its answers never be settled."""
    buyer = await join("buyer")
    address = unb58((await post(buyer))["address"])
    market, failures = server.market, 2
    real = market.requests.sync

    async def sync(request: bytes) -> bool:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise ChainUnavailable("the node is away")
        return await real(request)

    monkeypatch.setattr(market.requests, "sync", sync)
    end = await market.relay.end(await market.requests.info(address), cancel=True)
    await market.chain.send([end], payer=buyer.key)
    async with asyncio.timeout(20):
        while (await market.requests.info(address, fresh=True)).state != "closing":  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_an_event_that_cannot_be_projected_stops_no_other(
    join, post, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(request: bytes) -> bool:
        raise ValueError("what nobody thought of")

    buyer = await join("buyer")
    address = unb58((await post(buyer))["address"])
    monkeypatch.setattr(server.market.requests, "sync", fail)
    end = await server.market.relay.end(await server.market.requests.info(address), cancel=True)
    await server.market.chain.send([end], payer=buyer.key)
    await asyncio.sleep(0.5)  # the indexer meets it
    monkeypatch.undo()
    later = (await post(await join("buyer")))["address"]
    async with asyncio.timeout(20):
        while not await _indexed(server, later):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _indexed(server: Server, address: str) -> bool:
    async with server.market.db.session() as session:
        query = "select true from chain_events where name = 'RequestPosted' and data ->> 'request' = $1"
        return bool(await session.connection.fetchval(query, address))


async def test_sol_sent_ahead_keeps_nobody_out(server: Server) -> None:
    """Anybody can send SOL to another's addresses before there is anything at them."""
    async with Client(server.url, key=Keypair()) as victim:
        assert victim.key is not None
        wallet = bytes(victim.key.pubkey())
        account = associated_address(victim.key.pubkey(), server.market.faucet.mint)
        for ahead in (server.market.participants.address(wallet), account):
            await server.market.chain.airdrop(ahead, 1_000_000)
        assert (await victim.balance())["tokens"] == ["0"]
        assert (await victim.me())["participant"] is None
        await victim.faucet(tokens="200")
        await victim.enrol("labeler", stake="100")
        assert (await victim.me())["participant"]["stake"] == "100"
        assert (await victim.balance())["tokens"] == ["100"]


async def test_posting_opens_it_with_the_tasks_of_its_domain(join, server: Server) -> None:
    buyer = await join("buyer")
    spec = await _spec(buyer, items=4)
    gold = [{"index": 2, "label": {"value": "b"}}]
    posted = await buyer.post({"spec": spec, "price": "0.5", "validation_fee": "0.01", "gold": gold})
    address = unb58(posted["address"])
    account = await server.market.requests.account(address)
    text = await server.market.requests.spec_text(address)
    assert bytes(account.spec_hash) == canonical.digest(canonical.loads(text))
    progress = await buyer.progress(posted["address"])
    assert progress["request"]["state"] == "open"
    assert progress["chain"]["locked"] == posted["budget"] == "6.04"
    tasks = await buyer.tasks(posted["address"])
    assert [bytes.fromhex(task["task"]) for task in tasks] == [
        task_id(domain=bytes(account.domain), index=i, cid=item["cid"]) for i, item in enumerate(spec["items"])
    ]
    async with server.market.db.session() as session:
        row = await session.connection.fetchrow("select gold, is_gold from tasks where index = 2")
    opened = work.Gold(
        row["gold"]["label"], bytes.fromhex(row["gold"]["salt"]), row["gold"]["position"],
        tuple(bytes.fromhex(one) for one in row["gold"]["proof"]),
    )  # fmt: skip
    root = canonical.loads(text)["gold"]["root"]  # type: ignore[index,call-overload]
    opened.verify(index=2, root=bytes.fromhex(str(root)))
    assert b'"gold":{"count":1' in text
    assert not await server.market.requests.activate(address), "opening twice changes nothing"


async def test_a_draft_that_was_posted_past_the_relay_opens_when_looked_at(join, server: Server) -> None:
    buyer = await join("buyer")
    draft = await buyer.call("POST", "/v1/requests", body={"spec": await _spec(buyer), "price": "1"})
    await server.market.chain.send_raw(base64.b64decode(buyer.sign(draft["unsigned"]["transaction"])))
    assert (await buyer.progress(draft["address"]))["request"]["state"] == "open"


async def test_drafts_are_their_buyers_alone(join, server: Server) -> None:
    buyer, other = await join("buyer"), await join("buyer")
    draft = await buyer.call("POST", "/v1/requests", body={"spec": await _spec(buyer), "price": "1"})
    assert (await buyer.progress(draft["address"]))["request"]["state"] == "draft"
    with pytest.raises(NotFound):
        await other.progress(draft["address"])
    listed = await other.call("GET", "/v1/requests", query={"buyer": buyer.wallet})
    assert listed["requests"] == []
    assert len((await buyer.call("GET", "/v1/requests", query={"state": "draft"}))["requests"]) == 1


async def test_ends_are_the_buyers(join, post) -> None:
    buyer, other = await join("buyer"), await join("buyer")
    posted = await post(buyer)
    with pytest.raises(Forbidden, match="only its buyer"):
        await other.end(posted["address"], cancel=True)
    await buyer.end(posted["address"], cancel=True)
    assert (await buyer.progress(posted["address"]))["request"]["state"] == "closing"


async def test_a_watcher_sees_each_change(join, post) -> None:
    buyer = await join("buyer")
    posted = await post(buyer, items=2)
    labeler = await join("labeler", stake="100")
    seen = []
    async for progress in buyer.watch(posted["address"]):
        seen.append((progress["answers"], progress["request"]["state"]))
        if progress["request"]["state"] == "closing":
            break
        if progress["answers"] < 2:
            if leases := await labeler.claim():
                await labeler.submit(leases[0], {"value": "a"})
        else:
            await buyer.end(posted["address"], cancel=True)
    assert seen[0] == (0, "open")
    assert seen[-1] == (2, "closing")


async def test_uploads_are_checked(join) -> None:
    buyer = await join("buyer")
    item = await buyer.upload(_png(), media_type="image/png")
    assert (item["width"], item["height"]) == (40, 30)
    assert await buyer.upload(_png(), media_type="image/png") == item
    assert (await buyer.content(item["cid"]))[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(MediaError):
        await buyer.upload(_png(), media_type="image/jpeg")
    with pytest.raises(MediaError):
        await buyer.upload(b"\x89PNG\r\n\x1a\n garbage", media_type="image/png")
    with pytest.raises(UnsupportedMedia):
        await buyer.upload(b"<svg/>", media_type="image/svg+xml")
    with pytest.raises(MediaError):
        await buyer.upload(b"\xff\xfe", media_type="text/plain")


async def test_the_data_set_is_its_buyers(join, post) -> None:
    buyer, other = await join("buyer"), await join("buyer")
    posted = await post(buyer)
    assert await buyer.dataset(posted["address"]) == b""
    assert (await buyer.dataset(posted["address"], form="csv")).startswith(b"index,task,item")
    with pytest.raises(Forbidden):
        await other.dataset(posted["address"])


async def test_only_transactions_of_this_market_are_relayed(join, server: Server) -> None:
    from solders.message import MessageV0
    from solders.system_program import TransferParams, transfer
    from solders.transaction import VersionedTransaction

    wallet = await join(None)
    assert wallet.key is not None
    move = transfer(TransferParams(from_pubkey=wallet.key.pubkey(), to_pubkey=Pubkey.default(), lamports=1))
    fresh = await server.market.chain.latest_blockhash()
    message = MessageV0.try_compile(wallet.key.pubkey(), [move], [], fresh.hash)
    raw = bytes(VersionedTransaction(message, [wallet.key]))
    with pytest.raises(Forbidden, match="does not call this market's program"):
        await wallet.send(base64.b64encode(raw).decode())
    with pytest.raises(FieldError):
        await wallet.send("nonsense")


async def test_a_wallet_has_one_role(join) -> None:
    labeler = await join("labeler", stake="100")
    with pytest.raises(Conflict, match="one role"):
        await labeler.enrol("buyer")
    with pytest.raises(Conflict, match="no stake was named"):
        await labeler.enrol("labeler")
    await labeler.enrol("labeler", stake="5.5")
    assert (await labeler.me())["participant"]["stake"] == "105.5"


@pytest.mark.parametrize(
    ("changed", "value"),
    [("mode", 1), ("records", 2), ("price", 1), ("kind", 1), ("amount", 8_000_000), ("premium_bps", [0, 0, 0, 10_000])],
)
async def test_a_buyer_that_posts_other_terms_than_it_drafted_gets_no_work(
    join, server: Server, changed: str, value: Any
) -> None:
    """It signs the posting itself; labelers would work for what no batch can settle or pay."""
    market, buyer = server.market, await join("buyer")
    assert buyer.key is not None
    overlap = 1 if changed == "mode" else 3
    order = Order(spec=await _spec(buyer, overlap=overlap), price="1", validation_fee="0")
    draft = await market.requests.draft(bytes(buyer.key.pubkey()), order)
    altered = replace(draft, arguments={**draft.arguments, changed: value})
    await market.chain.send([await market.relay.post(altered)], payer=buyer.key)
    assert not await market.requests.activate(draft.info.address)
    assert (await market.requests.info(draft.info.address, fresh=True)).state == "draft"
    assert await market.tasks.listed(draft.info.address) == []


async def test_it_goes_on_after_a_restart(home, database_url) -> None:
    from assay.settings import load

    settings = load(home=home, database_url=database_url)
    key, labeler_key = Keypair(), Keypair()
    async with Server(settings) as server, Client(server.url, key=key) as buyer:
        await buyer.faucet()
        await buyer.enrol("buyer")
        posted = await buyer.post({"spec": await _spec(buyer), "price": "1"})
        async with Client(server.url, key=labeler_key) as labeler:
            await labeler.faucet()
            await labeler.enrol("labeler", stake="100")
            leases = await labeler.claim(limit=2)
        assert server.state_file.exists()
        token = buyer._token
    assert not server.state_file.exists()
    async with Server(settings) as server, Client(server.url, key=labeler_key) as labeler:
        held = await labeler.work()
        assert {lease.task for lease in held} == {lease.task for lease in leases}
        await labeler.submit(held[0], {"value": "a"})
        async with Client(server.url, key=key) as buyer:
            buyer._token = token  # sessions go on too
            assert (await buyer.progress(posted["address"]))["answers"] == 1
