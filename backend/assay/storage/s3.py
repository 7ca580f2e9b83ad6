"""Content in a bucket of S3 or of anything that speaks its protocol, requests signed with AWS Signature Version 4."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import urlsplit

import aiohttp

from assay.errors import ContentCorrupt, ContentMissing, StorageError
from assay.storage import cid as cids


def sign(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    payload_hash: str,
    region: str,
    access_key: str,
    secret_key: str,
    at: datetime,
) -> dict[str, str]:
    """The headers to send: `headers` and host, date, payload hash and authorization. `url` has no query.

    AWS General Reference, "Create a signed AWS API request": canonical request, string to sign, derived key.
    """
    parts = urlsplit(url)
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    every = {name.lower(): value.strip() for name, value in headers.items()}
    every |= {"host": parts.netloc, "x-amz-date": stamp, "x-amz-content-sha256": payload_hash}
    names = ";".join(sorted(every))
    lines = [method, parts.path or "/", "", *(f"{name}:{every[name]}" for name in sorted(every)), "", names]
    canonical = "\n".join([*lines, payload_hash])
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret_key).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    credential = f"Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return every | {"authorization": f"AWS4-HMAC-SHA256 {credential}"}


class S3Store:
    """Objects named by their CID in the bucket at `url` (https://host/bucket)."""

    def __init__(self, url: str, *, region: str, access_key: str, secret_key: str, timeout: float = 60.0) -> None:
        self._url = url.rstrip("/") + "/"
        self._region = region
        self._access_key = access_key
        self._secret_key = secret_key
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def put(self, data: bytes, *, durable: bool = True) -> str:
        cid = cids.of(data)
        status, body = await self._call("PUT", cid, data)
        if status != 200:
            raise _failed(status, body)
        return cid

    async def get(self, cid: str) -> bytes:
        cids.parse(cid)
        status, data = await self._call("GET", cid)
        if status == 404:
            raise ContentMissing(f"the bucket has no content {cid}", field="cid")
        if status != 200:
            raise _failed(status, data)
        if cids.of(data) != cid:
            raise ContentCorrupt(f"the bucket gave other bytes for {cid}")
        return data

    async def has(self, cid: str) -> bool:
        cids.parse(cid)
        status, body = await self._call("HEAD", cid)
        if status not in (200, 404):
            raise _failed(status, body)
        return status == 200

    async def delete(self, cid: str) -> None:
        cids.parse(cid)
        status, body = await self._call("DELETE", cid)
        if status not in (200, 204, 404):
            raise _failed(status, body)

    async def _call(self, method: str, cid: str, data: bytes = b"") -> tuple[int, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        url = self._url + cid
        headers = sign(
            method=method,
            url=url,
            headers={"content-type": "application/octet-stream"} if method == "PUT" else {},
            payload_hash=sha256(data).hexdigest(),
            region=self._region,
            access_key=self._access_key,
            secret_key=self._secret_key,
            at=datetime.now(UTC),
        )
        try:
            async with self._session.request(method, url, data=data or None, headers=headers) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StorageError(f"the bucket does not answer: {type(error).__name__} {error}") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _failed(status: int, body: bytes) -> StorageError:
    hint = "check ASSAY_S3_ACCESS_KEY, ASSAY_S3_SECRET_KEY and ASSAY_S3_REGION" if status in (401, 403) else None
    return StorageError(f"the bucket answered {status}: {body.decode(errors='replace')[:200]}", hint=hint)
