"""Content on a Kubo node, over its HTTP API (https://docs.ipfs.tech/reference/kubo/rpc/)."""

from __future__ import annotations

import json

import aiohttp

from assay.errors import ContentCorrupt, ContentMissing, StorageError, TooLarge
from assay.storage import cid as cids

# How our CIDs are made, so that the node makes the same ones; and pinned, so that its garbage collection keeps them.
_ADD = {"cid-version": "1", "raw-leaves": "true", "chunker": f"size-{cids.CHUNK}", "pin": "true", "quieter": "true"}


class IpfsStore:
    """A Kubo node at `url` (such as http://127.0.0.1:5001). `timeout`: seconds of a call, `limit`: bytes of a read."""

    def __init__(self, url: str, *, timeout: float = 30.0, limit: int = 64 * 2**20) -> None:
        self._url = url.rstrip("/") + "/api/v0/"
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._limit = limit
        self._session: aiohttp.ClientSession | None = None

    async def put(self, data: bytes, *, durable: bool = True) -> str:
        cid = cids.of(data)
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("file", data, filename=cid, content_type="application/octet-stream")
        body = await self._post("add", _ADD, form)
        try:
            told = json.loads(body.splitlines()[-1])["Hash"]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise StorageError(f"the IPFS node's answer to add cannot be read: {body[:200]!r}") from error
        if told != cid:
            raise ContentCorrupt(f"the IPFS node stored {told} instead of {cid}")
        return cid

    async def get(self, cid: str) -> bytes:
        cids.parse(cid)
        if not await self.has(cid):
            raise ContentMissing(f"the IPFS node has no content {cid}", field="cid")
        data = await self._post("cat", {"arg": cid, "length": str(self._limit + 1)})
        if len(data) > self._limit:
            raise TooLarge(f"{cid} is larger than {self._limit} bytes")
        if cids.of(data) != cid:
            raise ContentCorrupt(f"the IPFS node gave other bytes for {cid}")
        return data

    async def has(self, cid: str) -> bool:
        """Whether the node itself holds it: without `offline` it would look through the whole network."""
        cids.parse(cid)
        try:
            await self._post("block/stat", {"arg": cid, "offline": "true"})
        except ContentMissing:
            return False
        return True

    async def delete(self, cid: str) -> None:
        """Takes the pin off, so that the node's next garbage collection may have it."""
        cids.parse(cid)
        try:
            await self._post("pin/rm", {"arg": cid})
        except StorageError as error:
            if "not pinned" not in str(error):
                raise

    async def _post(self, call: str, query: dict[str, str], form: aiohttp.FormData | None = None) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._session.post(self._url + call, params=query, data=form) as response:
                body = await response.read()
                if response.status == 200:
                    return body
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StorageError(f"the IPFS node does not answer: {type(error).__name__} {error}") from error
        if response.status == 500 and b"not found" in body:
            raise ContentMissing(f"the IPFS node: {body.decode(errors='replace')[:200]}")
        raise StorageError(f"the IPFS node answered {response.status}: {body.decode(errors='replace')[:200]}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
