"""The S3 store: its signatures by Amazon's own example, its calls against a bucket on a local port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from aiohttp import web

from assay.errors import ContentCorrupt, ContentMissing, StorageError
from assay.storage import S3Store, cid
from assay.storage.s3 import sign


def test_signature_of_the_example_in_the_s3_reference() -> None:
    """ "Examples: Signature calculations" of the S3 API reference, GET Object."""
    headers = sign(
        method="GET",
        url="https://examplebucket.s3.amazonaws.com/test.txt",
        headers={"Range": "bytes=0-9"},
        payload_hash=sha256(b"").hexdigest(),
        region="us-east-1",
        access_key="AKIAIOSFODNN7EXAMPLE",
        secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        at=datetime(2013, 5, 24, tzinfo=UTC),
    )
    assert headers["authorization"].endswith(
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


@pytest.fixture
async def bucket() -> AsyncIterator[tuple[str, dict[str, bytes]]]:
    """A bucket that checks the payload's hash and the key that signed."""
    objects: dict[str, bytes] = {}

    async def serve(request: web.Request) -> web.Response:
        body = await request.read()
        if "Credential=key/" not in request.headers.get("authorization", ""):
            return web.Response(status=403, text="AccessDenied")
        if sha256(body).hexdigest() != request.headers["x-amz-content-sha256"]:
            return web.Response(status=400, text="XAmzContentSHA256Mismatch")
        if request.method == "PUT":
            objects[request.match_info["key"]] = body
            return web.Response()
        if request.match_info["key"] not in objects:
            return web.Response(status=404)
        if request.method == "DELETE":
            del objects[request.match_info["key"]]
            return web.Response(status=204)
        return web.Response(body=objects[request.match_info["key"]])

    app = web.Application()
    app.router.add_route("*", "/bucket/{key}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}/bucket", objects
    await runner.cleanup()


async def test_round_trip_and_what_can_be_wrong(bucket: tuple[str, dict[str, bytes]]) -> None:
    url, objects = bucket
    store = S3Store(url, region="here", access_key="key", secret_key="secret")
    address = await store.put(b"content")
    assert address == cid.of(b"content")
    assert await store.get(address) == b"content"
    assert await store.has(address)
    missing = cid.of(b"missing")
    assert not await store.has(missing)
    with pytest.raises(ContentMissing):
        await store.get(missing)
    objects[address] = b"other"
    with pytest.raises(ContentCorrupt):
        await store.get(address)
    await store.delete(address)
    await store.delete(address)
    assert not objects
    await store.close()
    stranger = S3Store(url, region="here", access_key="other", secret_key="secret")
    with pytest.raises(StorageError, match="ASSAY_S3_ACCESS_KEY"):
        await stranger.put(b"content")
    with pytest.raises(StorageError, match="answered 403"):
        await stranger.delete(address)
    await stranger.close()
    nobody = S3Store("http://127.0.0.1:9/bucket", region="here", access_key="key", secret_key="secret")
    with pytest.raises(StorageError, match="does not answer"):
        await nobody.get(address)
    await nobody.close()
