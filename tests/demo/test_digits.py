from __future__ import annotations

import numpy as np
import pytest

from assay.demo import digits

pytest.importorskip("sklearn", reason="the demo's digits need scikit-learn")


def test_png_round_trip_keeps_every_grey_level() -> None:
    pixels = (np.arange(64) % 17).astype(np.float64)
    assert np.allclose(digits.from_png(digits.to_png(pixels)), pixels, atol=0.04)


def test_a_labeler_sees_the_same_twice_and_makes_real_mistakes() -> None:
    batch = digits.items(60, seed=3)
    first, again = digits.labeler(2), digits.labeler(2)
    answers = [first(item.png) for item in batch]
    assert answers == [again(item.png) for item in batch]
    right = sum(a == item.truth for a, item in zip(answers, batch, strict=True))
    assert 20 < right < 60


def test_items_are_bounded() -> None:
    with pytest.raises(ValueError, match="between 1 and 900"):
        digits.items(901)
