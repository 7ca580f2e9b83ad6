"""A buyer's way on the page: from no wallet to a data set; and what may go wrong on it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from solders.keypair import Keypair
from support.waiting import until

from assay.client import Client
from assay.demo.markets import MarketProcesses
from assay.domain import work
from assay.domain.tally import Role
from assay.server import Server
from assay.settings import load

SECONDS = 60_000
TEXTS = {"a good film": "good", "dreadful, all of it": "bad", "I laughed": "good", "I slept": "bad", "twice!": "good"}


async def fill(page: Any, **fields: str) -> None:
    """Enters values by the names of their fields."""
    for name, value in fields.items():
        await page.locator(f"[name={name}]").fill(value)


async def write(page: Any, texts: list[str], **fields: str) -> None:
    """Fills the form for a choice between good and bad."""
    await page.get_by_label("Title").wait_for()
    await fill(
        page, title="Films", instructions="Does it please?", classes="good\nbad", price="1", fee="0.04", **fields
    )
    await page.get_by_label("Texts, one a line").fill("\n".join(texts))
    await page.get_by_role("button", name="Add these texts").click()
    await page.locator("#count", has_text=f"{len(texts)} items").wait_for()


async def sign(page: Any) -> str:
    """Agrees to the transaction that is shown; what it said."""
    dialog = page.get_by_role("dialog")
    await dialog.wait_for()
    said = str(await dialog.inner_text())
    await dialog.get_by_role("button", name="Sign and send").click()
    return said


async def labeled(market: MarketProcesses, address: str) -> None:
    """Three labelers answer every task as the truth has it; returns when all is settled."""
    labelers = [Keypair() for _ in range(3)]
    await market.enrol(labelers, Role.LABELER, stake=100)
    for key in labelers:
        labeler = market.client(key)
        leases = await labeler.claim(limit=len(TEXTS), request=address)
        texts = [(await labeler.content(lease.item)).decode() for lease in leases]
        answers = [(lease, {"value": TEXTS[text]}) for lease, text in zip(leases, texts, strict=True)]
        assert all(one.get("problem") is None for one in await labeler.submit_many(answers))
    await until(market.client(labelers[0]), address, lambda now: bool(now["settled"] >= 3 * len(TEXTS)))


@pytest.mark.timeout(280)
async def test_a_buyer_without_python_goes_the_whole_way(page: Any, tmp_path: Path) -> None:
    page.set_default_timeout(SECONDS)
    lines: list[str] = []
    async with MarketProcesses(load(home=tmp_path / "home"), validators=3, say=lines.append) as market:
        await page.goto(f"{market.url}/#/requests")
        await page.get_by_role("link", name="Post a request").click()
        await page.get_by_role("button", name="Make a wallet").click()
        await page.get_by_role("button", name="Get test tokens").click()
        await page.get_by_role("button", name="Register as a buyer").click()
        assert "Register this wallet as a buyer" in await sign(page)

        # The form, a known answer, the price.
        await write(page, list(TEXTS))
        await page.get_by_label("Known answer of I laughed").fill("good")
        await page.get_by_label("Known answer of I laughed").press("Tab")
        await page.get_by_text("1 known answers of 5 items.").wait_for()
        quote = page.locator("#quote")
        await quote.get_by_text("15.2 tokens").wait_for()  # 5 · 3 · 1 and 5 · 0.04; this market takes no fee
        await page.locator("#funds", has_text="This wallet has 1000 tokens.").wait_for()
        await page.get_by_role("button", name="Post the request").click()
        await page.get_by_role("dialog").get_by_text("Post without saving the known answers?").wait_for()
        await page.get_by_role("button", name="Cancel").click()
        async with page.expect_download() as saving:
            await page.get_by_role("button", name="Save the known answers").click()
        await (await saving.value).save_as(tmp_path / "known.json")
        saved = json.loads((tmp_path / "known.json").read_text())

        await page.get_by_role("button", name="Post the request").click()
        said = await sign(page)
        assert "Lock 15.2 tokens" in said
        assert "5 items, up to 3 answers each" in said
        await page.get_by_text("0 of 5 records done").wait_for()
        address = page.url.rpartition("/")[2]

        # It is what was entered, with the known answer that was saved committed to, and nothing of it said.
        reader = Client(market.url)
        async with reader:
            spec = await reader.spec(address)
        (label,) = saved["labels"]
        assert (label["item"], label["index"], label["label"]) == ("I laughed", 2, {"value": "good"})
        root, _ = work.commit_gold([(label["index"], label["label"], bytes.fromhex(label["salt"]))])
        assert spec["gold"] == {"root": root.hex(), "count": 1}
        assert saved["gold_root"] == root.hex()
        assert len(spec["items"]) == 5

        # More money, three labelers, the data set, and the rest back.
        await page.get_by_label("Add to its escrow").fill("4.8")
        await page.get_by_role("button", name="Top up").click()
        assert "Add 4.8 tokens" in await sign(page)
        await page.get_by_text("20 tokens", exact=True).wait_for()
        await labeled(market, address)
        await page.get_by_text("5 of 5 records done").wait_for()
        async with page.expect_download() as loading:
            await page.get_by_role("button", name="Download CSV").click()
        await (await loading.value).save_as(tmp_path / "records.csv")
        rows = list(csv.DictReader(io.StringIO((tmp_path / "records.csv").read_text())))
        assert [json.loads(row["label"])["value"] if "{" in row["label"] else row["label"] for row in rows] == [
            *TEXTS.values()
        ]
        await page.get_by_role("button", name="Close it and take the rest back").click()
        assert f"Close the request {address}" in await sign(page)
        await page.locator("dd", has_text="closed").wait_for()
        await page.get_by_role("link", name="Wallet").click()
        await page.locator("dd", has_text="984.8").wait_for()


@pytest.fixture
async def buyer(join: Any, page: Any, server: Server) -> Client:
    """A registered buyer whose key the page was given."""
    page.set_default_timeout(SECONDS)
    client = await join("buyer", tokens="500")
    await page.goto(f"{server.url}/#/wallet")
    await page.get_by_label("Import a key file").set_input_files(
        {"name": "key.json", "mimeType": "application/json", "buffer": client.key.to_json().encode()}
    )
    await page.locator("#address").wait_for()
    await page.goto(f"{server.url}/#/post")
    return client


def png(color: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (20, 10), color).save(out, "PNG")
    return out.getvalue()


async def listed(buyer: Client) -> list[dict[str, Any]]:
    return list((await buyer.call("GET", "/v1/requests", query={"buyer": buyer.wallet, "state": "open"}))["requests"])


@pytest.mark.timeout(200)
async def test_a_reload_during_the_upload_loses_and_doubles_nothing(page: Any, server: Server, buyer: Client) -> None:
    texts = [f"text {i}" for i in range(300)]
    await write(page, texts, overlap="1")
    uploads: list[str] = []

    async def slowly(route: Any) -> None:
        uploads.append(route.request.post_data)
        if len(uploads) == 124:
            stuck.set()
        if len(uploads) > 120 and not resumed:
            return  # never answered: the page is reloaded meanwhile
        await route.continue_()

    resumed, stuck = False, asyncio.Event()
    await page.route("**/v1/items", slowly)
    await page.get_by_role("button", name="Post the request").click()
    await stuck.wait()
    await page.locator("#count", has_text="300 items, 120 uploaded").wait_for()
    resumed = True
    await page.reload()
    await page.locator("#count", has_text="300 items, 120 uploaded").wait_for()
    assert await page.get_by_label("Title").input_value() == "Films"
    await page.get_by_text("312 tokens").first.wait_for()

    # The answer to the sending is lost, and the page with it: it was posted all the same, and once.
    async def lost(route: Any) -> None:
        await route.fetch()
        arrived.set()

    arrived = asyncio.Event()
    await page.route("**/v1/transactions", lost)
    await page.get_by_role("button", name="Post the request").click()
    await sign(page)
    await arrived.wait()
    assert sorted(set(uploads)) == sorted(texts)
    assert len(uploads) == 304  # the four that were under way at the reload again, no other
    await page.unroute("**/v1/transactions")
    await page.reload()
    await page.get_by_text("0 of 300 records done").wait_for()
    (posted,) = await listed(buyer)
    tasks = await buyer.tasks(posted["address"])
    assert len({one["item"] for one in tasks}) == len(tasks) == 300
    await page.goto(f"{server.url}/#/post")
    await page.locator("#count", has_text="No items yet.").wait_for()


@pytest.mark.timeout(200)
async def test_what_is_wrong_is_named_and_a_hostile_market_gets_no_signature(
    page: Any, server: Server, buyer: Client, tmp_path: Path
) -> None:
    # What the page finds by itself stands at its field, which has the focus.
    await page.get_by_role("button", name="Post the request").click()
    await page.locator("#e-title", has_text="Enter a title").wait_for()
    await page.locator("#e-items", has_text="Add what is to be labeled").wait_for()
    assert await page.evaluate("document.activeElement.name") == "title"
    assert await page.locator("[name=price]").get_attribute("aria-invalid") == "true"

    # A damaged file is named; without it all goes on. The same file twice is one item.
    await write(page, ["one", "two"], overlap="2")
    files = [("red.png", png("red")), ("broken.png", png("blue")[:-20]), ("again.png", png("red"))]
    await page.get_by_label("Choose files").set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in files]
    )
    await page.get_by_role("status").filter(has_text="2 added. 1 were there already.").wait_for()
    await page.get_by_role("button", name="Post the request").click()
    await page.locator("#e-items", has_text="broken.png: ").wait_for()
    assert await page.locator("#e-items", has_text="red.png").count() == 0
    await page.get_by_role("button", name="Remove broken.png").click()
    await page.locator("#count", has_text="3 items, 3 uploaded").wait_for()

    # What the market finds stands there too. Then a market that has something else signed.
    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.url) if one.url.endswith("/v1/transactions") else None)
    changes: dict[str, Any] = {}

    async def hostile(route: Any) -> None:
        if route.request.method != "POST":
            return await route.continue_()
        order = json.loads(route.request.post_data)
        spec = order["spec"] | changes.get("spec", {})
        return await route.continue_(post_data=json.dumps(order | changes | {"spec": spec}))

    await page.route("**/v1/requests", hostile)
    lies: list[tuple[dict[str, Any], str | None]] = [
        ({"seconds": 30}, None),
        ({"spec": {"title": "Other films"}}, "another specification"),
        ({"budget": "400"}, "another amount"),
        ({"price": "0.5"}, "another price"),
        ({"seconds": 30 * 86400}, "another deadline"),
        ({"id": 5}, "another id"),
    ]
    for lie, told in lies:
        changes = lie
        await page.get_by_role("button", name="Post the request").click()
        place = page.locator("#problem" if told else "#e-days")
        await place.filter(has_text=told or "seconds").wait_for()
        assert await page.get_by_role("dialog").count() == 0
        assert not told or "was not signed" in await place.inner_text()
    assert sent == []
    assert await listed(buyer) == []

    # Items that the market has dropped meanwhile are uploaded again.
    dropped = {"status": 422, "code": "invalid_field", "field": "spec.items[1].cid", "detail": "is not in the store"}

    async def forgetful(route: Any) -> None:
        if route.request.method == "POST" and dropped:
            return await route.fulfill(status=422, content_type="application/problem+json", body=json.dumps(dropped))
        return await route.continue_()

    await page.unroute("**/v1/requests")
    await page.route("**/v1/requests", forgetful)
    uploads: list[str] = []
    page.on("request", lambda one: uploads.append(one.url) if one.url.endswith("/v1/items") else None)
    await page.get_by_role("button", name="Post the request").click()
    await page.locator("#e-items", has_text="is not in the store").wait_for()  # said when it is so again
    assert len(uploads) == 3
    dropped.clear()

    # Of two tabs with the same form the later has it.
    await page.unroute("**/v1/requests")
    other = await page.context.new_page()
    await other.goto(f"{server.url}/#/post")
    await other.locator("#count", has_text="3 items, 3 uploaded").wait_for()
    await other.close()
    await page.get_by_role("button", name="Post the request").click()
    await page.locator("#problem", has_text="was opened in another tab").wait_for()
    await page.reload()
    await page.locator("#count", has_text="3 items, 3 uploaded").wait_for()

    # Who does not agree signs nothing; what was entered is kept, and posted when it is agreed to.
    await page.get_by_role("button", name="Post the request").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await page.get_by_role("status").filter(has_text="Nothing was signed").wait_for()
    assert sent == []
    await page.get_by_role("button", name="Post the request").click()
    await sign(page)
    await page.get_by_text("0 of 3 records done").wait_for()
    (posted,) = await listed(buyer)
    assert (posted["title"], posted["price"], posted["overlap"]) == ("Films", "1", 2)
    assert Decimal((await buyer.balance())["tokens"][0]) == Decimal("493.88")

    # Cancelled again, by its buyer.
    await page.get_by_role("button", name="Cancel this request").click()
    assert f"Cancel the request {posted['address']}" in await sign(page)
    await page.get_by_role("button", name="Close it and take the rest back").wait_for()


async def test_each_kind_has_a_form(page: Any, server: Server, buyer: Client) -> None:
    await page.get_by_label("Choose a .txt or .csv").set_input_files(
        {"name": "t.csv", "mimeType": "text/csv", "buffer": b'text\n"one, two"\nthree\n'}
    )
    await page.locator("#count", has_text="2 items").wait_for()
    await fill(page, title="T", instructions="I", price="1", overlap="2")
    kinds: list[tuple[str, dict[str, str], str]] = [
        ("multi-choice", {"classes": "a\nb\nc", "least": "1", "most": "2"}, "c;a"),
        ("ranking", {"ranked": "a\nb"}, "b;a"),
        ("text", {"length": "50"}, "words"),
        ("number", {"low": "-1", "high": "1.5", "tolerance": "0.1", "unit": "m"}, "1.25"),
    ]
    total = page.locator("#sum", has_text="4 tokens are locked")
    await page.locator("#sum", has_text="once the fields").wait_for()
    for kind, fields, known in kinds:
        await page.locator("[name=kind]").select_option(kind)
        await fill(page, **fields)
        await page.get_by_label("Known answer of three").fill(known)
        await page.get_by_label("Known answer of three").press("Tab")
        await total.wait_for()
        await page.get_by_label("Known answer of three").fill("no; such; answer" if kind != "text" else "x" * 51)
        await page.get_by_label("Known answer of three").press("Tab")
        await page.locator("#sum", has_text="once the fields").wait_for()
        await page.get_by_role("button", name="Post the request").click()
        await page.locator("#e-gold", has_text="Known answer of three: ").wait_for()

    # Known answers by a file, and a review with room for rejections; the last kind is posted.
    for named, told in ((b"four,1", "there is no item"), (b"item,label\nthree,1.250\n", None)):
        await page.get_by_label("Choose a CSV of item,label").set_input_files(
            {"name": "known.csv", "mimeType": "text/csv", "buffer": named}
        )
        if told:
            await page.locator("#problem", has_text=told).wait_for()
    await page.get_by_role("status").filter(has_text="1 known answers taken").wait_for()
    await page.locator("[name=mode]").select_option("review")
    assert await page.locator("[name=overlap]").is_hidden()
    await fill(page, rejected="50", fee="0.5")
    await page.locator("#sum", has_text="6 tokens are locked").wait_for()  # 2 · 1, as much again, 4 · 0.5
    await fill(page, price="400")  # more than the wallet has
    await page.locator("#funds", has_text="This wallet has 500 tokens. 1102 are missing.").wait_for()
    await page.get_by_role("button", name="Post the request").click()
    await page.locator("#problem", has_text="1102 tokens are missing to lock 1602").wait_for()
    await page.get_by_role("button", name="Get test tokens").click()
    await page.locator("#funds", has_text="This wallet has 1602 tokens.").wait_for()
    assert await page.get_by_role("button", name="Get test tokens").is_hidden()
    await fill(page, price="1")
    await page.locator("#sum", has_text="6 tokens are locked").wait_for()
    await page.get_by_label("Texts, one a line").fill("five")
    await page.get_by_role("button", name="Post the request").click()
    await page.locator("#e-items", has_text="not added yet").wait_for()
    await page.get_by_label("Texts, one a line").fill("")
    await page.get_by_role("button", name="Post the request").click()
    await page.get_by_role("button", name="Go on without the file").click()
    assert "Lock 6 tokens" in await sign(page)
    await page.get_by_text("0 of 2 records done").wait_for()
    (posted,) = await listed(buyer)
    spec = await buyer.spec(posted["address"])
    assert (spec["kind"], spec["mode"], spec["gold"]["count"]) == ("number", "review", 1)
    assert (spec["schema"], spec["validation"]) == (
        {"min": "-1", "max": "1.5", "tolerance": "0.1", "decimals": 6, "unit": "m"}, {"pay": "information"},
    )  # fmt: skip

    await page.goto(f"{server.url}/#/post")
    await page.locator("[name=kind]").select_option("other")
    await page.get_by_text("posted with the Python client (assay.client").wait_for()
    assert await page.get_by_role("button", name="Post the request").is_hidden()
