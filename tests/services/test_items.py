"""Uploads: how much a wallet may leave that no posted request needs, for how long, and what a drop leaves alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from solders.keypair import Keypair

from assay.client import Client
from assay.errors import (
    ChainUnavailable,
    ContentMissing,
    FieldError,
    Forbidden,
    NotFound,
    StorageError,
    TooLarge,
    Unavailable,
    UploadLimit,
)
from assay.server import Server
from assay.services import items as service
from assay.settings import load
from assay.storage import LocalStore, cid


class Place:
    """A market with the settings that a test asks for, and its participants."""

    def __init__(self, server: Server, stack: AsyncExitStack) -> None:
        self.server, self.market, self._stack = server, server.market, stack
        self.store = LocalStore(server.settings.content_dir)

    async def join(self, role: str | None = "buyer", stake: str = "0") -> Client:
        client = await self._stack.enter_async_context(Client(self.server.url, key=Keypair(), patience=5))
        await client.faucet()
        if role is not None:
            await client.enrol(role, stake=stake)
        return client

    async def sql(self, text: str, *values: object) -> list[Any]:
        async with self.market.db.session() as session:
            return list(await session.connection.fetch(text, *values))

    async def sum(self, client: Client) -> tuple[int, int]:
        """Items and bytes that count against a wallet; they are what its uploads come to."""
        wallet = bytes(client.key.pubkey())  # type: ignore[union-attr]
        rows = await self.sql("select items, bytes from upload_sums where wallet = $1", wallet)
        found = (int(rows[0]["items"]), int(rows[0]["bytes"])) if rows else (0, 0)
        held = await self.sql(
            "select count(*) as n, coalesce(sum(size), 0) as b from uploads where wallet = $1", wallet
        )
        assert found == (held[0]["n"], held[0]["b"])
        return found

    async def expire(self) -> None:
        """As if `upload_seconds` had passed, and an hour more."""
        await self.sql("update items set expires_at = expires_at - interval '26 hours'")
        await self.sql("update requests set drafted_at = drafted_at - interval '26 hours'")

    def files(self) -> set[str]:
        """What lies in the content folder, unfinished files too."""
        return {path.name for path in self.store.root.rglob("*") if path.is_file()}


@pytest.fixture
async def place(request: pytest.FixtureRequest, home, database_url: str) -> AsyncIterator[Place]:
    settings = load(home=home, database_url=database_url, keeper=False, **getattr(request, "param", {}))
    async with Server(settings) as server, AsyncExitStack() as stack:
        yield Place(server, stack)


def order(items: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    spec = {
        "title": "t", "instructions": "i", "kind": "choice", "schema": {"classes": ["a", "b"]}, "mode": "agreement",
        "overlap": 1, "items": [{"cid": one["cid"], "media_type": one["media_type"]} for one in items],
    }  # fmt: skip
    return {"spec": {**spec, **changes.pop("spec", {})}, "price": "1", "validation_fee": "0.04", **changes}


async def texts(client: Client, *names: str) -> list[dict[str, Any]]:
    return [await client.upload(name.encode(), media_type="text/plain") for name in names]


async def draft(client: Client, wanted: dict[str, Any]) -> dict[str, Any]:
    return dict(await client.call("POST", "/v1/requests", body=wanted))


async def drafted(place: Place) -> Any:
    (row,) = await place.sql("select address, state, spec_cid from requests")
    return row


@pytest.mark.parametrize("place", [{"upload_items": 3, "upload_bytes": 1000}], indirect=True)
async def test_a_wallet_may_leave_so_many_items_and_bytes(place: Place) -> None:
    buyer, other = await place.join(), await place.join()
    await texts(buyer, "one", "two", "one", "one", "three")
    assert await place.sum(buyer) == (3, 11)
    with pytest.raises(UploadLimit) as caught:
        await texts(buyer, "four")
    assert caught.value.field == "file"
    assert "at most 3 items and 1000 bytes" in str(caught.value.hint)
    assert "86400 s" in str(caught.value.hint)
    await texts(buyer, "two")  # is there
    assert await place.sum(buyer) == (3, 11)
    assert cid.of(b"four") not in place.files()
    await texts(other, "four", "x" * 996)  # another's own, and exactly the bytes
    with pytest.raises(UploadLimit):
        await texts(other, "y")
    with pytest.raises(TooLarge) as large:
        await texts(other, "z" * 1001)
    assert (large.value.field, large.value.hint) == ("file", "at most 1000")


@pytest.mark.parametrize("place", [{"upload_items": 1}], indirect=True)
async def test_the_refusal_as_it_goes_over_http(place: Place) -> None:
    buyer = await place.join()
    await texts(buyer, "one")
    headers = {"Authorization": f"Bearer {buyer._token}", "Content-Type": "text/plain"}
    async with (
        aiohttp.ClientSession(place.server.url) as http,
        http.post("/v1/items", data=b"two", headers=headers) as response,
    ):
        problem = await response.json()
        assert response.status == 429
        assert (problem["code"], problem["field"]) == ("upload_limit", "file")
        assert "Retry-After" not in response.headers, "a second later it would be refused again"


@pytest.mark.parametrize("place", [{"upload_items": 5}], indirect=True)
async def test_many_at_once_do_not_pass_the_limit_together(place: Place) -> None:
    buyer = await place.join()
    datas = [f"item {i}".encode() for i in range(16)]
    found = await asyncio.gather(
        *(buyer.upload(data, media_type="text/plain") for data in datas), return_exceptions=True
    )
    taken = {one["cid"] for one in found if isinstance(one, dict)}
    assert len(taken) == 5
    assert all(isinstance(one, dict | UploadLimit) for one in found)
    assert await place.sum(buyer) == (5, 5 * 6 + sum(len(d) - 6 for d in datas if cid.of(d) in taken))
    assert place.files() == taken, "what was refused left nothing"
    assert {row["cid"] for row in await place.sql("select cid from items")} == taken


@pytest.mark.parametrize("place", [{"upload_items": 4}], indirect=True)
async def test_what_a_posted_request_needs_counts_no_longer(place: Place) -> None:
    buyer, other = await place.join(), await place.join()
    items = await texts(buyer, "one", "two", "three")
    await texts(other, "one")
    await buyer.post(order(items))
    assert await place.sum(buyer) == (0, 0)
    assert await place.sum(other) == (0, 0), "it stays whoever uploaded it"
    await texts(other, "two")
    assert await place.sum(other) == (0, 0)
    await place.expire()
    assert await place.market.items.sweep() == 0
    await texts(buyer, "four", "five", "six", "seven")


@pytest.mark.parametrize("place", [{"upload_items": 3}], indirect=True)
async def test_a_draft_counts_as_its_specification(place: Place) -> None:
    buyer = await place.join()
    items = await texts(buyer, "one", "two")
    await draft(buyer, order(items, id=1))
    await draft(buyer, order(items, id=1))
    assert (await place.sum(buyer))[0] == 3
    with pytest.raises(UploadLimit) as caught:
        await draft(buyer, order(items, id=2, spec={"title": "another"}))
    assert caught.value.field == "spec"
    assert len(await place.sql("select 1 from requests")) == 1


async def test_what_no_request_needs_is_dropped(place: Place) -> None:
    buyer, other = await place.join(), await place.join()
    kept, lost = await texts(buyer, "kept", "lost")
    shared = (await texts(other, "lost"))[0]
    assert shared["cid"] == lost["cid"]
    posted = await buyer.post(order([kept]))
    assert await place.market.items.sweep() == 0, "its time is not over"
    await place.expire()
    (late,) = await texts(other, "late")
    assert await place.market.items.sweep() == 1
    with pytest.raises(ContentMissing):
        await buyer.content(lost["cid"])
    assert await buyer.content(kept["cid"]) == b"kept"
    assert place.files() == {kept["cid"], late["cid"], posted["spec_cid"]}
    assert [await place.sum(one) for one in (buyer, other)] == [(0, 0), (1, 4)]
    with pytest.raises(FieldError) as caught:
        await draft(buyer, order([lost]))
    assert caught.value.field == "spec.items[0].cid"
    await texts(buyer, "lost")
    await draft(buyer, order([lost]))


async def test_an_expired_item_that_is_still_there_is_not_drafted_but_uploaded_anew(place: Place) -> None:
    buyer = await place.join()
    (item,) = await texts(buyer, "one")
    await place.expire()
    with pytest.raises(FieldError, match="not in the store"):
        await draft(buyer, order([item]))
    await texts(buyer, "one")
    assert await place.market.items.sweep() == 0
    await draft(buyer, order([item]))
    assert await place.sum(buyer) == (2, 3 + len(await buyer.content((await drafted(place))["spec_cid"])))


async def test_a_draft_keeps_its_items_and_goes_before_they_do(place: Place) -> None:
    buyer = await place.join()
    items = await texts(buyer, "one", "two")
    await place.sql("update items set expires_at = now() + interval '1 minute'")
    made = await draft(buyer, order(items, id=7))
    await place.sql("update items set expires_at = expires_at - interval '24 hours 30 minutes'")
    assert await place.market.items.sweep() == 0, "they outlive it by an hour"
    await place.sql("update requests set drafted_at = drafted_at - interval '23 hours'")
    await place.market.items.sweep()
    assert (await drafted(place))["state"] == "draft"
    assert (await draft(buyer, order(items, id=7)))["address"] == made["address"]
    await place.sql("update requests set drafted_at = drafted_at - interval '23 hours'")
    await place.market.items.sweep()
    assert (await drafted(place))["state"] == "draft", "it was drafted again"
    await place.expire()
    assert await place.market.items.sweep() == 3
    assert await place.sql("select 1 from requests") == []
    assert (await place.sum(buyer), place.files()) == ((0, 0), set())
    with pytest.raises(NotFound):
        await buyer.call("GET", f"/v1/requests/{made['address']}")


async def test_however_many_drafts_and_items_are_over_all_go(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "DROPS", 2)
    buyer = await place.join()
    uploaded = await texts(buyer, "one", "two")
    for number in range(5):
        await draft(buyer, order(uploaded, id=number, spec={"title": f"number {number}"}))
    await place.expire()
    assert await place.market.items.sweep() == 7
    assert (await place.sql("select 1 from requests"), place.files()) == ([], set())


async def test_a_draft_stays_while_the_chain_does_not_answer(place: Place) -> None:
    buyer = await place.join()
    await draft(buyer, order(await texts(buyer, "one"), id=1))
    await place.expire()

    async def unreachable(address: bytes) -> None:
        raise ChainUnavailable("no answer")

    account, place.market.requests.account = place.market.requests.account, unreachable  # type: ignore[method-assign]
    assert await place.market.items.sweep() == 0
    assert (await drafted(place))["state"] == "draft"
    place.market.requests.account = account  # type: ignore[method-assign]
    assert await place.market.items.sweep() == 2
    assert await place.sql("select 1 from requests") == []


async def test_a_posted_draft_is_opened_not_dropped(place: Place) -> None:
    """Posted while nobody listened: the chain is asked before a draft is dropped."""
    buyer = await place.join()
    items = await texts(buyer, "one")
    made = await draft(buyer, order(items, id=9))
    assert place.market.engine is not None
    await place.market.engine.stop()
    await buyer.send(buyer.sign(made["unsigned"]["transaction"]))
    await place.sql("update requests set drafted_at = drafted_at - interval '26 hours'")
    await place.market.items.sweep()
    assert (await drafted(place))["state"] == "open"
    assert await place.sum(buyer) == (0, 0)


async def test_an_upload_that_failed_half_way_is_no_item_and_is_dropped(place: Place) -> None:
    buyer = await place.join()
    name = cid.of(b"one")
    place.store.root.mkdir(parents=True, exist_ok=True)
    blocker = place.store.root / name[-2:]
    blocker.touch()  # where the folder should be
    with pytest.raises(StorageError):
        await texts(buyer, "one")
    assert await place.sum(buyer) == (1, 3), "bytes may have been written: they count until they are dropped"
    with pytest.raises(FieldError, match="not in the store"):
        await draft(buyer, order([{"cid": name, "media_type": "text/plain; charset=utf-8"}]))
    blocker.unlink()
    await texts(buyer, "one")
    assert await place.sum(buyer) == (1, 3)
    await place.expire()
    assert await place.market.items.sweep() == 1
    assert place.files() == set()


async def test_an_item_that_comes_while_it_is_dropped_is_there(place: Place) -> None:
    buyer = await place.join()
    for _ in range(20):
        await texts(buyer, "one")
        await place.expire()
        await asyncio.gather(place.market.items.sweep(), place.market.items.sweep(), texts(buyer, "one"))
        assert await buyer.content(cid.of(b"one")) == b"one"
        assert await place.sum(buyer) == (1, 3)


async def test_an_answer_of_the_same_bytes_outlives_the_item(place: Place) -> None:
    """Anybody could upload what somebody answered, and let it be dropped."""
    buyer, labeler = await place.join(), await place.join("labeler", stake="100")
    await buyer.post(order(await texts(buyer, "one")))
    (item,) = [await labeler.upload(b'{"value":"a"}', media_type="application/json")]
    (lease,) = await labeler.claim()
    await labeler.submit(lease, {"value": "a"})
    await place.expire()
    assert await place.market.items.sweep() == 1
    assert item["cid"] not in place.files()
    assert await buyer.content(item["cid"]) == b'{"value":"a"}'
    assert item["cid"] in place.files()


async def test_a_file_that_is_an_answer_stays(place: Place) -> None:
    buyer, labeler = await place.join(), await place.join("labeler", stake="100")
    spec = {"kind": "file", "schema": {"media_types": ["text/plain; charset=utf-8"]}, "mode": "review"}
    await buyer.post(order(await texts(buyer, "one"), spec=spec))
    (lease,) = await labeler.claim()
    one, _ = await texts(labeler, "my file", "my other file")
    await labeler.submit(lease, {"value": {name: one[name] for name in ("cid", "media_type", "size")}})
    assert await place.sum(labeler) == (1, 13)
    await place.expire()
    assert await place.market.items.sweep() == 1
    assert await buyer.content(one["cid"]) == b"my file"


@pytest.mark.parametrize("place", [{"request_items": 2, "request_bytes": 10}], indirect=True)
async def test_a_request_may_need_so_many_items_and_bytes(place: Place) -> None:
    buyer = await place.join()
    one, two, three, long = await texts(buyer, "one", "two", "three", "ten letters")
    await draft(buyer, order([one, two, one, two]))
    for items in ([one, two, three], [long]):
        with pytest.raises(TooLarge) as caught:
            await draft(buyer, order(items))
        assert caught.value.field == "spec.items"
        assert "at most 2 of 10 bytes" in str(caught.value.hint)


async def test_who_is_not_registered_uploads_nothing(place: Place) -> None:
    stranger = await place.join(None)
    with pytest.raises(Forbidden, match="register first"):
        await texts(stranger, "one")


@pytest.mark.parametrize("place", [{"disk_reserve": 2**60}], indirect=True)
async def test_a_disk_that_is_nearly_full_takes_nothing(place: Place) -> None:
    buyer = await place.join()
    buyer.patience = 0
    with pytest.raises(Unavailable, match="no room on its disk"):
        await texts(buyer, "one")
    assert (await place.sum(buyer), place.files()) == ((0, 0), set())
