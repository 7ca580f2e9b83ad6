"""Checks of images before they are stored or shown. Nothing is decoded before its size is known to be allowed."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageOps, UnidentifiedImageError

from assay.errors import MediaError, TooLarge
from assay.media.strip import STRIP

FORMATS: Mapping[str, str] = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
"""Allowed formats: Pillow's name → media type."""

MAX_PIXELS = 40_000_000
MAX_SIDE = 32_768
# What damaged or hostile files make Pillow raise.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError, TypeError, OverflowError)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True)
class Checked:
    """An image that passed: `data` without metadata, upright; `width` and `height` in pixels."""

    data: bytes
    media_type: str
    width: int
    height: int


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """The image, its header read and its size within the limits, its pixels not yet decoded."""
    try:
        image = Image.open(BytesIO(data), formats=tuple(FORMATS))
    except UnidentifiedImageError as error:
        raise MediaError("is no image of an allowed format", field="file", hint="PNG, JPEG or WebP") from error
    except _BOMBS as error:
        raise TooLarge("has too many pixels", field="file", hint=f"at most {max_pixels}") from error
    except _BROKEN as error:
        raise MediaError(f"cannot be read: {error}", field="file") from error
    width, height = image.size
    if width * height > max_pixels:
        raise TooLarge(f"has {width} × {height} pixels", field="file", hint=f"at most {max_pixels}")
    if not 0 < width <= MAX_SIDE or not 0 < height <= MAX_SIDE:
        raise TooLarge(f"has {width} × {height} pixels", field="file", hint=f"sides of 1 to {MAX_SIDE}")
    return image


def check_image(data: bytes, *, media_type: str | None = None, max_pixels: int = MAX_PIXELS) -> Checked:
    """Checks an image completely and takes its metadata off.

    An image that its EXIF orientation turns is turned and encoded anew (PNG and WebP without loss, JPEG at quality 95);
    all others keep their pixels' bytes. Raises `MediaError` (not of an allowed format, not what `media_type` says, more
    than one frame, damaged) or `TooLarge`.
    """
    image = _open(data, max_pixels)
    name = image.format or ""
    if media_type is not None and FORMATS[name] != media_type:
        raise MediaError(f"is {FORMATS[name]}, not {media_type}", field="media_type", hint=FORMATS[name])
    if getattr(image, "n_frames", 1) != 1:
        raise MediaError("has more than one frame", field="file", hint="a still image")
    try:
        image.load()
        turned = image.getexif().get(0x0112, 1) != 1
        clean = STRIP[name](_upright(image, name) if turned else data)
        width, height = _decoded_size(clean, max_pixels)
    except MediaError:
        raise
    except _BOMBS as error:
        raise TooLarge("has too many pixels", field="file", hint=f"at most {max_pixels}") from error
    except _BROKEN as error:
        raise MediaError(f"is damaged: {error}", field="file") from error
    return Checked(clean, FORMATS[name], width, height)


def _upright(image: Image.Image, name: str) -> bytes:
    out = BytesIO()
    profile = image.info.get("icc_profile")
    options: dict[str, dict[str, int]] = {"PNG": {}, "JPEG": {"quality": 95}, "WEBP": {"lossless": True}}
    ImageOps.exif_transpose(image).save(out, format=name, icc_profile=profile, exif=b"", **options[name])
    return out.getvalue()


def _decoded_size(data: bytes, max_pixels: int) -> tuple[int, int]:
    """What is stored is what was checked: the stripped file is decoded once more."""
    image = _open(data, max_pixels)
    image.load()
    return image.size


def thumbnail(data: bytes, *, size: int = 256, max_pixels: int = MAX_PIXELS) -> bytes:
    """A WebP that fits into `size` × `size` pixels, without metadata. Raises as `check_image`."""
    image = _open(data, max_pixels)
    try:
        image.draft("RGB", (size, size))  # lets JPEG decode at a fraction of its size
        small = ImageOps.exif_transpose(image)
        small = small.convert("RGBA" if "A" in small.getbands() or "transparency" in small.info else "RGB")
        small.thumbnail((size, size))
        out = BytesIO()
        small.save(out, format="WEBP", quality=80)
    except _BROKEN as error:
        raise MediaError(f"is damaged: {error}", field="file") from error
    return out.getvalue()
