"""The IPFS store against Kubo's HTTP API as documented, served on a local port."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from assay.errors import ContentCorrupt, ContentMissing, StorageError
from assay.storage import IpfsStore, cid


@pytest.fixture
async def node() -> AsyncIterator[tuple[str, dict[str, bytes]]]:
    blocks: dict[str, bytes] = {}

    async def add(request: web.Request) -> web.Response:
        assert request.query["cid-version"] == "1"
        assert request.query["chunker"] == "size-262144"
        part = await (await request.multipart()).next()
        assert part is not None
        data = bytes(await part.read())  # type: ignore[union-attr]
        blocks[cid.of(data)] = data
        return web.json_response({"Name": "x", "Hash": cid.of(data), "Size": str(len(data))})

    async def cat(request: web.Request) -> web.Response:
        return web.Response(body=blocks[request.query["arg"]])

    async def stat(request: web.Request) -> web.Response:
        if request.query["arg"] not in blocks:
            message = "block was not found locally (offline): ipld: could not find node: not found"
            return web.json_response({"Message": message, "Code": 0, "Type": "error"}, status=500)
        return web.json_response({"Key": request.query["arg"], "Size": 1})

    async def unpin(request: web.Request) -> web.Response:
        if blocks.pop(request.query["arg"], None) is None:
            return web.json_response({"Message": "not pinned or pinned indirectly", "Code": 0}, status=500)
        return web.json_response({"Pins": [request.query["arg"]]})

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/api/v0/add", add)
    app.router.add_post("/api/v0/cat", cat)
    app.router.add_post("/api/v0/block/stat", stat)
    app.router.add_post("/api/v0/pin/rm", unpin)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", blocks
    await runner.cleanup()


async def test_round_trip_and_what_can_be_wrong(node: tuple[str, dict[str, bytes]]) -> None:
    url, blocks = node
    store = IpfsStore(url)
    data = bytes(300_000)
    address = await store.put(data)
    assert address == cid.of(data)
    assert await store.get(address) == data
    with pytest.raises(ContentMissing):
        await store.get(cid.of(b"missing"))
    assert not await store.has(cid.of(b"missing"))
    blocks[address] = b"other"
    with pytest.raises(ContentCorrupt):
        await store.get(address)
    await store.delete(address)
    await store.delete(address)
    assert not blocks
    await store.close()
    nobody = IpfsStore("http://127.0.0.1:9")
    with pytest.raises(StorageError, match="does not answer"):
        await nobody.put(b"x")
    with pytest.raises(StorageError, match="does not answer"):
        await nobody.delete(address)
    await nobody.close()
