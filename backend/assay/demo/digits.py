"""Real images of handwritten digits, and a crowd of classifiers that read them with real mistakes.

The images are scikit-learn's bundled set (1,797 digits of 8 x 8 pixels; Alpaydin and Kaynak, UCI 1998), sent through
the market as PNG files. A labeler is a classifier trained on a few images that the request does not hold, some on
noisy ones: its mistakes are those of its model, not drawn from a table.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SCALE = 4
"""An 8 x 8 digit is sent as a 32 x 32 image, which a person can read as well."""

CLASSES = [str(digit) for digit in range(10)]

Reader = Callable[[bytes], str]
"""What a labeler is to the market: an image's bytes in, a class out."""


@dataclass(frozen=True)
class Item:
    """One image to label: its PNG bytes and the digit it really shows."""

    png: bytes
    truth: str


@lru_cache(maxsize=1)
def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    from sklearn.datasets import load_digits  # heavy: only the demo needs it

    data = load_digits()
    return np.asarray(data.data, dtype=np.float64), np.asarray(data.target, dtype=np.int64)


@lru_cache(maxsize=1)
def _split() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which digits are for sale and which the crowd has learnt from; never both."""
    order = np.random.default_rng(7).permutation(len(_digits()[1]))
    return order[:900], order[900:]


def items(count: int, *, seed: int = 0) -> list[Item]:
    """`count` (1 to 900) images for a request."""
    pool = _split()[0]
    if not 1 <= count <= len(pool):
        raise ValueError(f"count must lie between 1 and {len(pool)}, not {count}")
    pixels, truth = _digits()
    chosen = np.random.default_rng(seed).choice(pool, size=count, replace=False)
    return [Item(to_png(pixels[i]), str(truth[i])) for i in chosen]


def to_png(pixels: NDArray[np.float64]) -> bytes:
    """One digit (64 values of 0 to 16) as a PNG of 32 x 32 grey pixels."""
    grey = np.round(pixels.reshape(8, 8) * (255 / 16)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(grey).resize((8 * SCALE, 8 * SCALE), Image.Resampling.NEAREST).save(out, "PNG")
    return out.getvalue()


def from_png(png: bytes) -> NDArray[np.float64]:
    """The 64 values of 0 to 16 that `to_png` drew."""
    with Image.open(io.BytesIO(png)) as image:
        grey = image.convert("L").resize((8, 8), Image.Resampling.BOX)
    return np.asarray(grey, dtype=np.float64).reshape(64) * (16 / 255)


def labeler(index: int) -> Reader:
    """The `index`-th labeler of the crowd: model, training set and eyesight depend on the index alone."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(1_000 + index)
    models: list[Any] = [
        KNeighborsClassifier(3),
        LogisticRegression(max_iter=300),
        DecisionTreeClassifier(random_state=index),
        GaussianNB(var_smoothing=1e-2),
    ]
    seen, eyesight = int(rng.integers(60, 260)), float(rng.uniform(0.0, 3.0))
    return _trained(models[index % len(models)], seen=seen, blur=eyesight, rng=rng)


def validator(index: int) -> Reader:
    """The `index`-th validator's own reader: trained on every image the request does not hold."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    models: list[Any] = [
        SVC(gamma=0.001),
        KNeighborsClassifier(3),
        ExtraTreesClassifier(150, random_state=index),
    ]
    return _trained(models[index % 3], seen=len(_split()[1]), blur=0.0, rng=np.random.default_rng(2_000 + index))


def _trained(model: Any, *, seen: int, blur: float, rng: np.random.Generator) -> Reader:
    pixels, truth = _digits()
    learnt = rng.permutation(_split()[1])[:seen]
    model.fit(pixels[learnt] + rng.normal(0, blur, (len(learnt), 64)), truth[learnt])

    own = int(rng.integers(2**32))

    def read(png: bytes) -> str:
        # The blur follows from image and reader, so that a second look sees the same.
        noise = np.random.default_rng([own, zlib.crc32(png)]).normal(0, blur, 64)
        return str(int(model.predict((from_png(png) + noise)[None])[0]))

    return read
