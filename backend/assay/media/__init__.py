"""Images: what may be stored, thumbnails, near-duplicates.

image = check_image(data, media_type="image/png")     # raises MediaError; image.data has no metadata left
hash_ = perceptual_hash(image.data)
small = thumbnail(image.data)
"""

from __future__ import annotations

from assay.media.images import FORMATS, Checked, check_image, thumbnail
from assay.media.phash import HashIndex, distance, perceptual_hash

__all__ = ["FORMATS", "Checked", "HashIndex", "check_image", "distance", "perceptual_hash", "thumbnail"]
