"""Items that are uploaded: checked, stripped of metadata, kept under their CID while a request needs them.

Until a posted request needs it, an item counts against the wallet that uploaded it, and is dropped after a time. It is
on record before its first byte is written, so whatever a crash leaves is found and dropped like the rest.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from assay.domain import canonical
from assay.domain.messages import b58
from assay.domain.spec import ITEM_TYPES
from assay.errors import (
    AssayError,
    ContentMissing,
    FieldError,
    Forbidden,
    MediaError,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
    UploadLimit,
)
from assay.media.images import check_image
from assay.media.phash import perceptual_hash
from assay.storage import cid as cids

if TYPE_CHECKING:
    from assay.db.pool import Session
    from assay.domain.spec import Spec
    from assay.services.market import Market

log = structlog.get_logger(__name__)

SIGNED = 1 << 64
DRAFT_SLACK = 3600
"""Seconds for which a draft's items outlive it: one that was posted at the last moment still has them."""
DROPS = 50
"""Items that are dropped in one transaction."""
REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Item:
    """A stored item. `width` and `height` of images, in pixels."""

    cid: str
    media_type: str
    size: int
    width: int | None = None
    height: int | None = None


def _check(data: bytes, media_type: str, max_pixels: int) -> tuple[bytes, int | None, int | None, int | None]:
    """What is kept of `data`, and of images their size and perceptual hash. Raises `MediaError`, `FieldError`."""
    if media_type.startswith("image/"):
        image = check_image(data, media_type=media_type, max_pixels=max_pixels)
        return image.data, image.width, image.height, perceptual_hash(image.data)
    if media_type == "application/json":
        try:
            return canonical.dumps(canonical.loads(data)), None, None, None
        except FieldError as error:
            raise MediaError(f"no JSON that can be kept: {error}", field="file") from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MediaError(f"no UTF-8 text: {error}", field="file") from error
    if "\0" in text:
        raise MediaError("text with a null character", field="file")
    return data, None, None, None


class Items:
    """Takes, finds and drops items."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db
        self._checks = asyncio.Semaphore(2)  # decoding is heavy: at most two at once
        self._registered: set[bytes] = set()

    async def upload(self, data: bytes, *, media_type: str, owner: bytes) -> Item:
        """Checks and keeps an item; the same one again changes nothing but how long it stays.

        Raises `Forbidden` (not registered), `UnsupportedMedia`, `MediaError` (damaged, or not what the type says),
        `TooLarge` (pixels, bytes), `UploadLimit` (too much that no posted request needs), `Unavailable` (disk full).
        """
        if media_type == "text/plain":
            media_type = "text/plain; charset=utf-8"
        if media_type not in ITEM_TYPES:
            raise UnsupportedMedia(f"{media_type} is not accepted", field="Content-Type", hint=", ".join(ITEM_TYPES))
        if not data:
            raise FieldError("file", "is empty")
        await self._require_registered(owner)
        async with self._checks:
            kept, width, height, phash = await asyncio.to_thread(
                _check, data, media_type, self._market.settings.max_pixels
            )
        signed = None if phash is None else phash - SIGNED if phash >= SIGNED // 2 else phash
        cid = await self.keep(kept, media_type=media_type, owner=owner, look=(width, height, signed))
        return Item(cid, media_type, len(kept), width, height)

    async def keep(
        self,
        data: bytes,
        *,
        media_type: str,
        owner: bytes,
        look: tuple[int | None, int | None, int | None] = (None, None, None),
        field: str = "file",
    ) -> str:
        """Keeps bytes that are checked as an upload of `owner`; their CID. `look`: width, height, perceptual hash.

        Raises `UploadLimit`, `TooLarge` and `Unavailable` naming `field`; then nothing was kept.
        """
        settings = self._market.settings
        if len(data) > settings.upload_bytes:
            raise TooLarge(f"has {len(data)} bytes", field=field, hint=f"at most {settings.upload_bytes}")
        free = (await asyncio.to_thread(shutil.disk_usage, settings.home)).free
        if free - len(data) < settings.disk_reserve:
            log.warning("disk nearly full: nothing is taken", free=free, reserve=settings.disk_reserve)
            raise Unavailable("the market has no room on its disk", field=field, retry_after=60)
        cid = cids.of(data)
        async with self._db.transaction() as tx:
            needed = await tx.value(
                "item_begin", cid, media_type, len(data), *look, owner, float(settings.upload_seconds)
            )
            if not needed and await tx.execute("upload_insert", cid, owner, len(data)) != "INSERT 0 0":
                await self._check_limit(tx, owner, field)
        await self._market.store.put(data)
        if await self._db.execute("item_stored", cid) == "UPDATE 0":
            raise Unavailable("writing took so long that the upload was dropped", field=field, retry_after=1)
        return cid

    async def check(self, spec: Spec) -> None:
        """Raises `FieldError` where an item is not in the store as `spec` says, `TooLarge` where they are too much."""
        rows = await self._db.fetch("items_known", list({item.cid for item in spec.items}))
        known = {row["cid"]: row["media_type"] for row in rows}
        for place, item in enumerate(spec.items):
            if item.cid not in known:
                raise FieldError(f"items[{place}].cid", "is not in the store", hint="upload it: POST /v1/items")
            if known[item.cid] != item.media_type:
                raise FieldError(
                    f"items[{place}].media_type", f"is {item.media_type!r}", hint=f"{known[item.cid]} was uploaded"
                )
        settings, size = self._market.settings, sum(row["size"] for row in rows)
        if len(rows) > settings.request_items or size > settings.request_bytes:
            raise TooLarge(
                f"are {len(rows)} different ones of {size} bytes in all",
                field="spec.items",
                hint=f"at most {settings.request_items} of {settings.request_bytes} bytes: post several requests",
            )

    async def hold(self, tx: Session, wanted: Sequence[str]) -> None:
        """Keeps a draft's items for as long as the draft. Raises `Unavailable` where one has just been dropped."""
        distinct = list(set(wanted))
        await tx.execute("items_hold", distinct, float(self._market.settings.upload_seconds + DRAFT_SLACK))
        if len(await tx.fetch("items_known", distinct)) < len(distinct):
            raise Unavailable("an item was dropped just now", field="spec.items", retry_after=1)

    async def content(self, cid: str) -> tuple[bytes, str]:
        """Bytes of anything in the store, and their media type. Raises `ContentMissing`, `FieldError`."""
        try:
            data = await self._market.store.get(cid)
        except ContentMissing:
            data = await self._answer(cid)
        row = await self._db.row("item_by_cid", cid)
        return data, "application/octet-stream" if row is None else row["media_type"]

    async def sweep(self) -> int:
        """Drops drafts that were not posted in time, and items that no posted request needs; how many items."""
        if not await self._sweep_drafts():
            return 0  # what it needs stays with it
        dropped = 0
        while True:
            async with self._db.transaction() as tx:
                expired = [row["cid"] for row in await tx.fetch("items_expired", DROPS)]
                await asyncio.gather(*(self._market.store.delete(cid) for cid in expired))
                await tx.execute("items_drop", expired)
            dropped += len(expired)
            if len(expired) < DROPS:
                break
        await self._db.execute("upload_sums_sweep")
        if dropped:
            log.info("items dropped that no request needs", items=dropped)
        return dropped

    async def _sweep_drafts(self) -> bool:
        """Drops drafts that were not posted in time; false where the chain does not say of one whether it was."""
        seconds, count = float(self._market.settings.upload_seconds), DROPS
        while count == DROPS:
            rows = await self._db.fetch("drafts_expired", seconds, DROPS)
            count = len(rows)
            for row in rows:
                try:
                    await self._market.requests.drop(row["address"], seconds)
                except AssayError as error:
                    log.warning("draft not dropped", request=b58(row["address"]), error=str(error))
                    return False
        return True

    async def _require_registered(self, wallet: bytes) -> None:
        """Wallets cost nothing, registrations a deposit. Raises `Forbidden`."""
        if wallet in self._registered:
            return
        if await self._market.participants.find(wallet) is None:
            raise Forbidden("this wallet is not registered", hint="register first: POST /v1/participants")
        if len(self._registered) >= REMEMBERED:
            self._registered.clear()
        self._registered.add(wallet)

    async def _check_limit(self, tx: Session, owner: bytes, field: str) -> None:
        settings = self._market.settings
        has = await tx.row("upload_sum", owner)
        if has is not None and (has["bytes"] > settings.upload_bytes or has["items"] > settings.upload_items):
            raise UploadLimit(
                f"would be item {has['items']}, {has['bytes']} bytes in all, of this wallet's that no posted request"
                " needs",
                field=field,
                hint=f"at most {settings.upload_items} items and {settings.upload_bytes} bytes: post the request that"
                f" they are for, or wait: what none needs is dropped after {settings.upload_seconds} s",
            )

    async def _answer(self, cid: str) -> bytes:
        """The content of an answer that the store has lost, or that was dropped as an item of the same bytes."""
        codec, digest = cids.parse(cid)
        row = await self._db.row("answer_by_content", digest) if codec == cids.RAW else None
        if row is None:
            raise ContentMissing(f"there is no content {cid}", field="cid")
        data = canonical.dumps(row["content"])
        await self._market.store.put(data, durable=False)
        return data
