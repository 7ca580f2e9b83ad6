"""Takes metadata (EXIF with its places and names, comments, thumbnails, whatever is appended) out of an image file.

The pixels' bytes stay as they are, so nothing is lost, and the result is the same whatever version of a codec runs:
the content address of a stripped image depends on the image alone. Kept is only what changes how pixels look.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping

from assay.errors import MediaError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT"}
_WEBP_KEPT = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP"}


def _broken(kind: str, what: str) -> MediaError:
    return MediaError(f"is a broken {kind} file: {what}", field="file")


def png(data: bytes) -> bytes:
    """Chunks that draw, up to and with IEND (PNG specification, 3rd edition, section 5)."""
    if not data.startswith(PNG_SIGNATURE):
        raise _broken("PNG", "no signature")
    out, at = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if end > len(data):
            raise _broken("PNG", "a chunk is cut off")
        if kind in _PNG_KEPT:
            out.append(data[at:end])
        at = end
        if kind == b"IEND":
            return b"".join(out)
    raise _broken("PNG", "it has no end")


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """`(marker, bytes)` of each segment after SOI; the entropy-coded data of a scan belongs to its SOS segment."""
    at = 2
    while at + 2 <= len(data):
        if data[at] != 0xFF:
            raise _broken("JPEG", "a marker is missing")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0xD9:
            yield marker, data[at : at + 2]
            return
        if at + 4 > len(data):
            break
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data) or end < at + 4:
            break
        if marker == 0xDA:
            # The scan goes on to the next marker that is neither a stuffed zero nor a restart (ITU T.81, B.1.1.5).
            while True:
                end = data.find(b"\xff", end)
                if end < 0 or end + 1 >= len(data):
                    raise _broken("JPEG", "it has no end")
                if data[end + 1] == 0 or 0xD0 <= data[end + 1] <= 0xD7:
                    end += 2
                elif data[end + 1] == 0xFF:
                    end += 1
                else:
                    break
        yield marker, data[at:end]
        at = end
    raise _broken("JPEG", "it has no end")


def jpeg(data: bytes) -> bytes:
    """All segments but comments and application data; of these JFIF, ICC profiles and Adobe's colour transform stay."""
    if data[:2] != b"\xff\xd8":
        raise _broken("JPEG", "no start marker")
    out = [data[:2]]
    for marker, segment in _jpeg_segments(data):
        application = 0xE0 <= marker <= 0xEF
        kept = (
            (marker == 0xE0 and segment[4:9] == b"JFIF\0")
            or (marker == 0xE2 and segment[4:16] == b"ICC_PROFILE\0")
            or (marker == 0xEE and segment[4:9] == b"Adobe")
        )
        if (not application or kept) and marker != 0xFE:
            out.append(segment)
    return b"".join(out)


def webp(data: bytes) -> bytes:
    """Chunks that draw; the flags that announce EXIF and XMP are cleared (RFC 9649, section 2.7)."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise _broken("WebP", "no signature")
    limit = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    out, at = [], 12
    while at + 8 <= limit:
        kind, size = struct.unpack_from("<4sI", data, at)
        end = at + 8 + size + size % 2
        if at + 8 + size > limit:
            raise _broken("WebP", "a chunk is cut off")
        if kind in _WEBP_KEPT:
            chunk = bytearray(data[at : at + 8 + size])
            if kind == b"VP8X" and size >= 1:
                chunk[8] &= 0xFF ^ 0x0C
            out.append(bytes(chunk) + b"\0" * (size % 2))
        at = end
    body = b"WEBP" + b"".join(out)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


STRIP: Mapping[str, Callable[[bytes], bytes]] = {"PNG": png, "JPEG": jpeg, "WEBP": webp}
"""By the format's name in Pillow."""
