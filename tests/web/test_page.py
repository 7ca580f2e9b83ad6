"""The page in detail: every kind of answer, hostile texts, refusals, narrow screens, markets without a faucet."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from solders.keypair import Keypair

from assay.client import Client
from assay.server import Server

SECONDS = 30_000

HOSTILE = '<img src="/no" onerror="document.title=\'hacked\'">'
SCRIPT = "<script>document.title='hacked'</script>"


@pytest.fixture
async def labeler(join: Callable[..., Awaitable[Client]], page: Any, server: Server) -> Client:
    """A registered labeler whose key the page was given."""
    page.set_default_timeout(SECONDS)
    client = await join("labeler", stake="100")
    await bring(page, server, client)
    await page.locator("#address").wait_for()
    return client


async def bring(page: Any, server: Server, client: Client) -> None:
    """Opens the page and hands it the client's key file."""
    assert client.key is not None
    await page.goto(f"{server.url}/#/wallet")
    await page.get_by_label("Import a key file").set_input_files(
        {"name": "key.json", "mimeType": "application/json", "buffer": client.key.to_json().encode()}
    )


async def order(join: Any, post: Any, **spec: Any) -> str:
    """A request of a new buyer with changes to its specification; its address."""
    buyer = await join("buyer")
    return str((await post(buyer, items=spec.pop("count", 2), spec=spec))["address"])


async def open_task(page: Any, server: Server, address: str) -> None:
    await page.goto(f"{server.url}/#/label/{address}")
    await page.get_by_role("button", name="Submit").wait_for()


async def answered(page: Any, client: Client, count: int = 1) -> list[Any]:
    """The values of the client's answers, newest first, once the page has said that the last was recorded."""
    await page.get_by_role("status").filter(has_text="Answer recorded.").wait_for()
    answers = [one["content"]["value"] for one in await client.answers()]
    assert len(answers) == count
    return answers


async def test_multi_choice_by_keyboard(page: Any, server: Server, labeler: Client, join: Any, post: Any) -> None:
    schema = {"classes": ["sky", "sea", "sand"], "min": 1, "max": 2}
    await open_task(page, server, await order(join, post, kind="multi-choice", schema=schema))
    await page.keyboard.press("Enter")
    await page.get_by_role("alert").filter(has_text="0 chosen. Choose 1 to 2.").wait_for()
    for key in ("3", "1", "2", "2", "Enter"):
        await page.keyboard.press(key)
    assert await answered(page, labeler) == [["sky", "sand"]]


async def test_one_of_many_classes_is_found_by_typing(
    page: Any, server: Server, labeler: Client, join: Any, post: Any
) -> None:
    classes = [f"species {i}" for i in range(200)] + ["Grünfink"]
    await open_task(page, server, await order(join, post, schema={"classes": classes}))
    await page.keyboard.type("GRÜN")
    await page.get_by_text("1 of 201 fit.").wait_for()
    await page.keyboard.press("Enter")
    assert await labeler.answers() == []  # chosen, not sent
    await page.keyboard.press("Enter")
    assert await answered(page, labeler) == ["Grünfink"]


async def test_a_number_with_a_hint_for_what_is_none(
    page: Any, server: Server, labeler: Client, join: Any, post: Any
) -> None:
    schema = {"min": "-5", "max": "40", "tolerance": "0.5", "decimals": 1, "unit": "°C"}
    await open_task(page, server, await order(join, post, kind="number", schema=schema))
    field = page.get_by_label("Number, in °C")
    for wrong, said in (
        ("", "Enter a number"),
        ("1,5", "is no number"),
        ("41", "not from -5 to 40"),
        ("1.25", "decim"),
    ):
        await field.fill(wrong)
        await page.keyboard.press("Enter")
        await page.locator("#wrong").filter(has_text=said).wait_for()
        assert await field.input_value() == wrong
    await field.fill("-2.50")
    await page.keyboard.press("Enter")
    assert await answered(page, labeler) == ["-2.5"]


async def test_text_is_signed_in_its_normal_form(
    page: Any, server: Server, labeler: Client, join: Any, post: Any
) -> None:
    await open_task(page, server, await order(join, post, kind="text", schema={"max_length": 100}))
    await page.get_by_label("Your text").fill("  Gru\u0308ße 👩‍👩‍👧 \n e\u0301\u0323nd\t\n\n")
    await page.keyboard.press("Control+Enter")
    assert await answered(page, labeler) == ["Grüße 👩‍👩‍👧\n \u1eb9\u0301nd"]


async def test_ranking_by_keyboard_and_mouse(page: Any, server: Server, labeler: Client, join: Any, post: Any) -> None:
    schema = {"items": ["red", "green", "blue"]}
    await open_task(page, server, await order(join, post, kind="ranking", schema=schema))
    for key in ("2", "1", "Backspace", "3"):
        await page.keyboard.press(key)
    await page.keyboard.press("Enter")
    await page.get_by_role("alert").filter(has_text="2 of 3 have a place").wait_for()
    await page.get_by_role("button", name="red, not ranked yet").click()
    assert await page.get_by_role("button", name="red, place 3").is_visible()
    await page.get_by_role("button", name="Submit").click()
    assert await answered(page, labeler) == [["green", "blue", "red"]]


async def test_texts_of_others_are_only_text(page: Any, server: Server, labeler: Client, join: Any, post: Any) -> None:
    buyer = await join("buyer")
    item = await buyer.upload(f"{HOSTILE}{SCRIPT}".encode(), media_type="text/plain")
    spec = {
        "title": f"T {HOSTILE}", "instructions": f"I {HOSTILE} {SCRIPT}", "schema": {"classes": [HOSTILE, SCRIPT]},
        "items": [{"cid": item["cid"], "media_type": item["media_type"]}],
    }  # fmt: skip
    address = (await post(buyer, items=1, spec=spec))["address"]

    async def only_text(where: str) -> None:
        await page.get_by_text(where).first.wait_for()
        assert await page.evaluate("[document.images.length, document.scripts.length]") == [0, 1]
        assert "hacked" not in await page.title()

    await page.goto(server.url)
    await only_text(f"T {HOSTILE}")
    await open_task(page, server, address)
    await only_text(f"I {HOSTILE} {SCRIPT}")
    assert await page.locator(".item pre").inner_text() == f"{HOSTILE}{SCRIPT}"
    await page.get_by_role("radio", name=HOSTILE, exact=True).check()
    await page.keyboard.press("Enter")
    assert await answered(page, labeler) == [HOSTILE]
    for path, where in (
        ("earnings", "<img src"),
        ("requests", f"T {HOSTILE}"),
        (f"requests/{address}", f"T {HOSTILE}"),
    ):
        await page.goto(f"{server.url}/#/{path}")
        await only_text(where)


async def test_the_policy_holds_where_a_script_would_be_careless(browser: Any, server: Server) -> None:
    opened = await browser.new_page()
    await opened.goto(server.url)
    for sink in ("document.body.innerHTML = '<b>'", "document.write('<b>')"):
        tried = f"() => {{ try {{ {sink}; return 'done' }} catch (error) {{ return error.name }} }}"
        assert await opened.evaluate(tried) == "TypeError", sink
    elsewhere = """() => new Promise((resolve) => {
        document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
        const image = document.createElement("img");
        image.src = "http://market.test/x.png";
        document.body.append(image);
    })"""
    assert await opened.evaluate(elsewhere) == "img-src"
    await opened.close()


async def test_a_kind_without_a_form_names_the_client(
    page: Any, server: Server, labeler: Client, join: Any, post: Any
) -> None:
    address = await order(join, post, kind="boxes", schema={"classes": ["car"], "width": 10, "height": 10})
    await page.goto(server.url)
    await page.get_by_text("assay.client").wait_for()
    await page.goto(f"{server.url}/#/label/{address}")
    await page.get_by_text("Answers of the kind boxes").wait_for()
    assert await labeler.work() == []  # nothing was claimed that cannot be answered here


async def test_skipping_and_a_lease_that_ends(page: Any, server: Server, labeler: Client, join: Any, post: Any) -> None:
    await open_task(page, server, await order(join, post, count=3, limits={"lease_seconds": 6}))
    assert "0:0" in await page.locator(".clock").inner_text()
    await page.get_by_role("button", name="Skip").click()
    await page.get_by_role("status").filter(has_text="Skipped").wait_for()
    await page.get_by_role("status").filter(has_text="The lease ended").wait_for()
    await page.keyboard.press("a")
    await page.keyboard.press("Enter")
    assert await answered(page, labeler) == ["a"]


async def test_what_ended_elsewhere_and_a_session_that_expired(
    page: Any, server: Server, labeler: Client, join: Any, post: Any, database_url: str
) -> None:
    await open_task(page, server, await order(join, post))
    (lease,) = await labeler.work()
    await labeler.submit(lease, {"value": "b"})
    await page.keyboard.press("a")
    await page.keyboard.press("Enter")
    await page.get_by_role("status").filter(has_text="This task is over").wait_for()
    admin = await asyncpg.connect(database_url)
    await admin.execute("delete from sessions")
    await admin.close()
    server.market.sessions._known.clear()
    await page.keyboard.press("a")
    await page.keyboard.press("Enter")
    assert sorted(await answered(page, labeler, 2)) == ["a", "b"]


async def test_a_market_without_a_faucet_and_wallets_of_another_role(
    page: Any, server: Server, join: Any, post: Any
) -> None:
    page.set_default_timeout(SECONDS)
    faucet, server.market.faucet = server.market.faucet, None
    stranger, buyer = Client(server.url, key=Keypair()), Client(server.url, key=Keypair())
    await bring(page, server, stranger)
    await page.goto(f"{server.url}/#/")
    await page.get_by_text("This page notices").wait_for()
    assert stranger.wallet in await page.locator("main").inner_text()
    assert not await page.get_by_role("button", name="Register").is_visible()
    assert faucet is not None
    assert stranger.key is not None
    await faucet.give(bytes(stranger.key.pubkey()), tokens=150_000_000)
    await page.get_by_role("button", name="Register").click()
    await page.get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="Register").click()
    await page.get_by_role("button", name="Sign and send").click()
    await page.get_by_text("No request is open for you now").wait_for()

    # Out again: the stake's way back begins, and too little is left to label.
    await page.goto(f"{server.url}/#/wallet")
    await page.get_by_label("Take out of the stake").fill("40.5")
    await page.get_by_role("button", name="Begin to take it out").click()
    assert "Begin to take 40.5 tokens out of the stake" in await page.get_by_role("dialog").inner_text()
    await page.keyboard.press("Enter")  # by itself it agrees to nothing
    assert await page.get_by_role("dialog").is_visible()
    await page.get_by_role("button", name="Sign and send").click()
    await page.get_by_role("alert").filter(has_text="may not stay between zero and the role's minimum").wait_for()
    await page.get_by_label("Take out of the stake").fill("100")
    await page.get_by_role("button", name="Begin to take it out").click()
    await page.get_by_role("button", name="Sign and send").click()
    await page.get_by_role("button", name="Withdraw").wait_for()
    await page.goto(f"{server.url}/#/")
    await page.get_by_text("Your stake is too low to label").wait_for()

    server.market.faucet = faucet
    async with buyer:
        await buyer.faucet(tokens="10")
        await buyer.enrol("buyer")
    await bring(page, server, buyer)
    await page.get_by_role("button", name="Use another wallet here").click()
    await page.goto(f"{server.url}/#/")
    await page.get_by_text("This wallet is a buyer").wait_for()
    await page.get_by_role("link", name="Post a request").click()
    await page.get_by_role("heading", name="What it costs").wait_for()
    await page.goto(f"{server.url}/#/wallet")
    await page.get_by_role("button", name="Forget this wallet").click()
    await page.get_by_role("dialog").get_by_role("button", name="Forget this wallet").click()
    await page.get_by_role("button", name="Make a wallet").wait_for()


async def test_a_file_that_is_no_key_and_an_address_that_is_no_page(page: Any, server: Server) -> None:
    page.set_default_timeout(SECONDS)
    await page.goto(server.url)
    wrong = json.dumps([1] * 64).encode()
    await page.get_by_label("Import a key file").set_input_files(
        {"name": "key.json", "mimeType": "application/json", "buffer": wrong}
    )
    await page.get_by_role("alert").filter(has_text="do not belong together").wait_for()
    await page.goto(f"{server.url}/#/requests/{Keypair().pubkey()}")
    await page.get_by_role("alert").filter(has_text="there is no such request").wait_for()
    await page.get_by_role("button", name="Try again").wait_for()
    await page.goto(f"{server.url}/#/<img src=x onerror=alert(1)>")
    await page.get_by_role("button", name="Make a wallet").wait_for()


async def test_without_a_secure_context_the_page_says_what_is_needed(page: Any, server: Server) -> None:
    page.set_default_timeout(SECONDS)
    await page.goto(server.url.replace("127.0.0.1", "market.test"))
    await page.get_by_text("Ask the operator for an https address").wait_for()
    await page.get_by_role("link", name="Requests").click()
    await page.get_by_text("There are no requests yet").wait_for()


async def test_another_name_of_the_market_is_not_signed_in_to(page: Any, server: Server) -> None:
    page.set_default_timeout(SECONDS)
    await page.goto(server.url.replace("127.0.0.1", "localhost"))
    await page.get_by_role("button", name="Make a wallet").click()
    await page.get_by_role("alert").filter(has_text="This market signs in at 127.0.0.1").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_fits_a_narrow_screen_and_names_its_controls(
    page: Any, server: Server, labeler: Client, join: Any, post: Any, scheme: str
) -> None:
    await page.set_viewport_size({"width": 320, "height": 640})
    await page.emulate_media(color_scheme=scheme)
    address = await order(join, post, title="W" * 120, schema={"classes": ["Donaudampfschifffahrt" * 3, "b"]})
    for path, shown in (
        ("", "Label"), (f"label/{address}", "Submit"), ("wallet", "Forget this wallet"), ("earnings", "Last answers"),
        ("requests", "This market"), (f"requests/{address}", "Data set"), ("post", "What it costs"),
    ):  # fmt: skip
        if path == "post":
            await bring(page, server, await join("buyer"))
            await page.get_by_role("button", name="Use another wallet here").click()
            await page.locator("main code", has_text=labeler.wallet).wait_for(state="hidden")
        await page.goto(f"{server.url}/#/{path}")
        await page.locator("main").get_by_text(shown).first.wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320, path
        nameless = """() => [...document.querySelectorAll("button, a, input, select, textarea, progress")]
            .filter((one) => !(one.labels?.length || one.getAttribute("aria-label") || one.textContent.trim()))
            .filter((one) => one.querySelector("img[alt]") === null)
            .map((one) => one.outerHTML)"""
        assert await page.evaluate(nameless) == [], path
        headings = await page.get_by_role("heading", level=2).count()
        assert headings == 1, path
        assert await contrast(page) >= 4.5, path


async def contrast(page: Any) -> float:
    """The least contrast (WCAG 2.2, 1.4.3) of the texts of buttons, alerts and the page."""
    code = """() => {
        const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
        const paint = (colors) => {
            context.fillStyle = "Canvas";
            for (const color of colors) { context.fillStyle = color; context.fillRect(0, 0, 1, 1); }
            return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
        };
        const light = (rgb) => {
            const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            const [r, g, b] = rgb.map((one) => linear(one / 255));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const dark = matchMedia("(prefers-color-scheme: dark)").matches;
        return Math.min(...[...document.querySelectorAll("body, button, .button, [role=alert], a")].map((one) => {
            const backs = [dark ? "#121212" : "#fff"];
            for (const up of [document.body, one]) backs.push(getComputedStyle(up).backgroundColor);
            const both = [light(paint(backs)), light(paint([...backs, getComputedStyle(one).color]))];
            return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
        }));
    }"""
    return float(await page.evaluate(code))


async def test_a_buyer_sees_what_the_labels_will_be(page: Any, server: Server, join: Any, post: Any) -> None:
    buyer, labelers = await join("buyer"), [await join("labeler", stake="100") for _ in range(2)]
    address = (await post(buyer, items=2, overlap=3))["address"]
    page.set_default_timeout(SECONDS)
    await bring(page, server, buyer)
    await page.locator("#address").wait_for()
    await page.goto(f"{server.url}/#/requests/{address}")
    await page.locator("#records").wait_for()
    assert await page.locator("#estimate").inner_text() == ""
    for labeler in labelers:
        for lease in await labeler.claim(limit=2, request=address):
            await labeler.submit(lease, {"value": "b"})
    shown = page.locator("#estimate")
    await shown.get_by_text("2 tasks with answers are not settled yet").wait_for()
    assert "Nothing is decided or paid by it." in await shown.inner_text()
    await shown.locator("tbody tr", has=page.get_by_role("cell", name="b", exact=True)).nth(1).wait_for()
    labeler = shown.locator("tbody tr", has=page.locator(f"code[title='{labelers[1].wallet}']"))
    await labeler.get_by_role("cell", name="2", exact=True).wait_for()
    found = await buyer.estimate(address)
    await shown.get_by_text(f"{found['expected_right'] / 100:.1f} % of their labels").wait_for()

    await bring(page, server, labelers[0])
    await page.get_by_role("button", name="Use another wallet here").click()
    await page.locator("#address", has_text=labelers[0].wallet).wait_for()
    await page.goto(f"{server.url}/#/requests/{address}")
    await page.locator("#records").wait_for()
    assert await page.locator("#estimate").inner_text() == ""
