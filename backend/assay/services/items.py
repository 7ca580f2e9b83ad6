"""Items that buyers upload: checked, stripped of metadata, kept under their CID."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.domain import canonical
from assay.domain.spec import ITEM_TYPES
from assay.errors import FieldError, MediaError, UnsupportedMedia
from assay.media.images import check_image
from assay.media.phash import perceptual_hash

if TYPE_CHECKING:
    from assay.services.market import Market

SIGNED = 1 << 64


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
    """Takes and finds items."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db
        self._checks = asyncio.Semaphore(2)  # decoding is heavy: at most two at once

    async def upload(self, data: bytes, *, media_type: str, owner: bytes) -> Item:
        """Checks and keeps an item; the same one again changes nothing.

        Raises `UnsupportedMedia`, `MediaError` (damaged, or not what the type says), `TooLarge` (pixels).
        """
        if media_type == "text/plain":
            media_type = "text/plain; charset=utf-8"
        if media_type not in ITEM_TYPES:
            raise UnsupportedMedia(f"{media_type} is not accepted", field="Content-Type", hint=", ".join(ITEM_TYPES))
        if not data:
            raise FieldError("file", "is empty")
        async with self._checks:
            kept, width, height, phash = await asyncio.to_thread(
                _check, data, media_type, self._market.settings.max_pixels
            )
        cid = await self._market.store.put(kept)
        signed = None if phash is None else phash - SIGNED if phash >= SIGNED // 2 else phash
        await self._db.execute("item_insert", cid, media_type, len(kept), width, height, signed, owner)
        return Item(cid, media_type, len(kept), width, height)

    async def content(self, cid: str) -> tuple[bytes, str]:
        """Bytes of anything in the store, and their media type. Raises `ContentMissing`, `FieldError`."""
        data = await self._market.store.get(cid)
        row = await self._db.row("item_by_cid", cid)
        return data, "application/octet-stream" if row is None else row["media_type"]
