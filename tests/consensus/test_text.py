"""Consensus of transcriptions."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.consensus import InvalidAnswers
from assay.consensus.text import (
    TEXT_METHODS,
    TextAnswers,
    _align,
    _align_long,
    _differs,
    distance,
    edit_distance,
    encode_texts,
    resolve_texts,
    rover,
)

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "wizards", "quietly", "harbour", "walls"]


def scribes(seed, *, tasks=40, workers=8, overlap=5, rates=(0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 0.5)):
    """Texts of eight words; each letter is garbled, dropped or doubled, each word dropped, at the worker's rate."""
    rng = np.random.default_rng(seed)
    truth = [" ".join(rng.choice(WORDS, 8)) for _ in range(tasks)]
    rows = []
    for task in range(tasks):
        for worker in rng.choice(workers, overlap, replace=False):
            words = []
            for word in truth[task].split():
                if rng.random() < rates[worker] / 3:
                    continue
                letters = []
                for char in word:
                    fate = rng.random() / max(rates[worker], 1e-9)
                    letters.append("" if fate < 0.2 else char * 2 if fate < 0.4 else "x" if fate < 0.8 else char)
                words.append("".join(letters))
            rows.append((task, int(worker), " ".join(words)))
    task, worker, text = zip(*rows, strict=True)
    return TextAnswers(np.array(task), np.array(worker), text, tasks, workers), truth


@pytest.mark.parametrize("seed", [0, 1])
def test_voting_beats_the_best_single_answer(seed):
    answers, truth = scribes(seed)
    error = {}
    for method in TEXT_METHODS:
        texts = resolve_texts(method, answers).texts
        error[method] = np.mean([distance(a or "", b) for a, b in zip(texts, truth, strict=True)])
    mean = np.mean([distance(one, truth[task]) for one, task in zip(answers.text, answers.task, strict=True)])
    assert error["medoid"] < 0.6 * mean
    assert error["rover"] < 0.7 * error["medoid"]
    skill = resolve_texts("rover", answers).worker_skill
    assert skill[:3].min() > skill[6:].max()


def test_a_text_that_nobody_wrote():
    text, _ = rover(["the quack brown fox", "the quick brawn fox", "tha quick brown fax"], [1.0, 1.0, 1.0])
    assert text == "the quick brown fox"


def test_a_word_is_spelt_by_its_letters_where_no_spelling_wins():
    text, share = rover(["harbxur", "hxrbour", "harboux", "harbour-"], [1.0, 1.0, 1.0, 1.0])
    assert text == "harbour"
    assert 0 < share < 1


@pytest.mark.parametrize("method", TEXT_METHODS)
@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.text("ab ", max_size=6)), max_size=8))
def test_order_agreement_and_missing(rows, method):
    def solve(given):
        task, worker = (np.array([row[i] for row in given], np.int64) for i in (0, 1))
        return resolve_texts(method, TextAnswers(task, worker, tuple(row[2] for row in given), 4, 3))

    result = solve(rows)
    assert solve(rows[::-1]).texts == result.texts
    assert result.texts[3] is None
    assert result.confidence[3] == 0
    for code in range(3):
        given = {text for task, _, text in rows if task == code}
        if len(given) == 1:
            assert result.texts[code] == given.pop()
            assert result.confidence[code] > 0
    assert ((result.confidence >= 0) & (result.confidence <= 1 + 1e-9)).all()


def test_gold_is_kept_and_tells_who_reads_well():
    rows = [(f"t{i}", worker, text) for i in range(6) for worker, text in (("good", f"word {i}"), ("bad", "nothing"))]
    answers, codes = encode_texts(rows, gold={f"t{i}": f"word {i}" for i in range(5)})
    result = resolve_texts("medoid", answers)
    assert codes.workers == ("good", "bad")
    assert result.texts[5] == "word 5", "one against one: gold decides whom to believe"
    with pytest.raises(InvalidAnswers, match="method"):
        resolve_texts("magic", answers)
    with pytest.raises(InvalidAnswers, match="gold"):
        TextAnswers([0], [0], ("a",), 1, 1, ("a", "b"))


@given(st.text("abc", max_size=8), st.text("abc", max_size=8))
def test_edit_distance_is_its_definition(a, b):
    table = [[i + j if i * j == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            swap = table[i - 1][j - 1] + (a[i - 1] != b[j - 1])
            table[i][j] = min(swap, table[i - 1][j] + 1, table[i][j - 1] + 1)
    assert edit_distance(a, b) == table[-1][-1]


@pytest.mark.parametrize("seed", range(20))
def test_long_texts_are_aligned_as_cheaply_as_short_ones_by_equal_words(seed: int) -> None:
    lot = random.Random(seed)
    spine = [lot.choice("abcd") for _ in range(lot.randrange(12))]
    tokens = [one for one in spine if lot.random() < 0.8] + [lot.choice("abxy") for _ in range(lot.randrange(4))]

    def cost(pairs: list[tuple[int, str]]) -> float:
        assert [at for at, _ in pairs if at >= 0] == list(range(len(spine)))
        assert [token for _, token in pairs if token] == tokens
        return sum(0.75 if at < 0 or not token else float(spine[at] != token) for at, token in pairs)

    assert cost(_align_long(spine, tokens)) == cost(_align(spine, tokens, _differs))


@pytest.mark.parametrize("method", TEXT_METHODS)
def test_a_lone_text_is_not_certain_and_three_alike_nearly_are(method: str) -> None:
    lone = resolve_texts(method, TextAnswers(range(9), [0] * 9, ["so it is"] * 9, 9, 1))
    assert lone.confidence == pytest.approx([0.8] * 9)
    assert lone.worker_skill == pytest.approx([0.8])
    alike = resolve_texts(method, TextAnswers([0, 0, 0], [0, 1, 2], ["so it is"] * 3, 1, 3))
    assert alike.confidence[0] > 0.98


def test_confidence_is_near_the_share_that_is_right() -> None:
    answers, truth = scribes(3, tasks=120)
    result = resolve_texts("rover", answers)
    alike = [1 - distance(one or "", right) for one, right in zip(result.texts, truth, strict=True)]
    assert result.confidence.mean() == pytest.approx(np.mean(alike), abs=0.12)


@pytest.mark.parametrize("between", [" ", ""])
def test_a_text_as_long_as_may_be_is_no_burden(between: str) -> None:
    """Thousands of words of a letter, or a word of thousands: neither is compared part by part."""
    lot = random.Random(1)
    letters = [lot.choice("abcdefgh") for _ in range(3000)]
    typed = [between.join(lot.choice("xyz") if lot.random() < 0.05 else one for one in letters) for _ in range(3)]
    text, share = rover(typed, [1, 1, 1])
    assert distance(text, between.join(letters)) < 0.02
    assert share > 0.8 if between else text
