"""Images: what passes, what is refused, what is left of them."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from assay.errors import AssayError, MediaError, TooLarge
from assay.media import FORMATS, HashIndex, check_image, distance, perceptual_hash, thumbnail

SECRET = b"52.5200 N 13.4050 E"


def picture(seed: int = 0, size: tuple[int, int] = (96, 64), mode: str = "RGB") -> Image.Image:
    chance = np.random.default_rng(seed)
    coarse = chance.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, name: str, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, format=name, **options)
    return out.getvalue()


def with_exif(name: str, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = SECRET.decode()
    return encoded(picture(), name, exif=exif.tobytes())


@pytest.mark.parametrize("name", FORMATS)
def test_metadata_goes_pixels_stay(name: str) -> None:
    data = with_exif(name)
    assert SECRET in data
    checked = check_image(data + SECRET, media_type=FORMATS[name])
    assert SECRET not in checked.data
    assert (checked.width, checked.height) == (96, 64)
    before, after = Image.open(BytesIO(data)), Image.open(BytesIO(checked.data))
    assert np.array_equal(np.asarray(before), np.asarray(after))
    assert not after.getexif()
    assert check_image(checked.data).data == checked.data


@pytest.mark.parametrize("name", FORMATS)
def test_a_turned_image_is_made_upright(name: str) -> None:
    checked = check_image(with_exif(name, orientation=6))
    assert (checked.width, checked.height) == (64, 96)
    assert SECRET not in checked.data


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_blocks": 1}, {"comment": SECRET}])
def test_jpeg_of_every_kind(options: dict[str, Any]) -> None:
    checked = check_image(encoded(picture(), "JPEG", **options))
    assert SECRET not in checked.data


def test_refusals() -> None:
    with pytest.raises(MediaError, match="no image of an allowed format"):
        check_image(b"GIF89a nonsense")
    with pytest.raises(MediaError, match="no image of an allowed format"):
        check_image(encoded(picture(), "GIF"))
    with pytest.raises(MediaError, match="is image/png, not image/jpeg"):
        check_image(encoded(picture(), "PNG"), media_type="image/jpeg")
    frames = [picture(i) for i in range(3)]
    with pytest.raises(MediaError, match="more than one frame"):
        check_image(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    with pytest.raises(TooLarge, match="96 × 64"):
        check_image(encoded(picture(), "PNG"), max_pixels=1000)


@pytest.mark.parametrize("side", [20_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(side: int) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    with pytest.raises(TooLarge):
        check_image(bomb)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's about damaged EXIF, which is thrown away
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(FORMATS)), st.integers(0, 10_000), st.binary(min_size=1, max_size=4), st.booleans())
def test_damage_never_gets_past_the_error_tree(name: str, place: int, junk: bytes, cut: bool) -> None:
    data = bytearray(with_exif(name))
    place %= len(data)
    data[place : place + len(junk)] = junk
    try:
        checked = check_image(bytes(data[: place + 1] if cut else data))
        thumbnail(checked.data)
        perceptual_hash(checked.data)
    except AssayError:
        pass


def test_thumbnail_and_perceptual_hash() -> None:
    large = encoded(picture(size=(800, 600)), "PNG")
    small = Image.open(BytesIO(thumbnail(large, size=100)))
    assert small.size == (100, 75)
    hash_ = perceptual_hash(large)
    again = perceptual_hash(encoded(picture(size=(640, 480)), "JPEG", quality=40))
    other = perceptual_hash(encoded(picture(1, size=(640, 480)), "JPEG"))
    assert distance(hash_, again) <= 6
    assert distance(hash_, other) > 15
    index = HashIndex()
    index.add(hash_, "large")
    index.add(other, "other")
    assert [name for _, name in index.near(again)] == ["large"]
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    assert perceptual_hash(encoded(clear, "PNG")) == perceptual_hash(encoded(Image.new("L", (64, 64), 255), "PNG"))
    assert thumbnail(encoded(clear, "PNG"))
