"""Agreement coefficients against published worked examples, and against their definitions over listed pairs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.consensus.agreement import cohen_kappa, cohen_kappa_by_worker, fleiss_kappa, krippendorff_alpha

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C/D: four observers, twelve units,
# missing data.
OBSERVERS = ["123321412...", "12332241 25.3".replace(" ", ""), ".3332342251.", "123324412 51.".replace(" ", "")]


def _published() -> tuple[list[int], list[int], list[int]]:
    rows = [(u, o, int(v) if v != "." else -1) for o, line in enumerate(OBSERVERS) for u, v in enumerate(line)]
    return tuple(list(column) for column in zip(*rows, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize(("level", "value"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorff_published_example(level, value):
    result = krippendorff_alpha(*_published(), level=level)
    assert result.value == pytest.approx(value, abs=5e-4)
    assert result.pairable == 40
    assert math.isnan(result.by_task[11]), "unit 12 has one value only"


def test_krippendorff_binary_published_example():
    """The same paper, section A: two observers, ten units, binary, no missing data: α = 0.095."""
    a, b = "0100000000", "1110010010"
    task = list(range(10)) * 2
    label = [int(v) for v in a + b]
    assert krippendorff_alpha(task, [0] * 10 + [1] * 10, label).value == pytest.approx(0.095, abs=5e-4)


def test_fleiss_published_example():
    """Ten subjects, fourteen raters, five categories: κ = 0.210 (the example of the method's encyclopaedia article)."""
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    rows = [(t, c) for t, counts in enumerate(table) for c, n in enumerate(counts) for _ in range(n)]
    assert fleiss_kappa(*zip(*rows, strict=True)) == pytest.approx(0.210, abs=5e-4)


def test_cohen_published_examples():
    """50 proposals, 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: κ = 0.4."""
    first = [1] * 25 + [0] * 25
    second = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    assert cohen_kappa([*first, -1], [*second, 1]) == pytest.approx(0.4), "an item left out counts for nothing"
    kappa = cohen_kappa_by_worker(range(50), [0] * 50, first, reference=second, n_workers=2)
    assert kappa[0] == pytest.approx(0.4)
    assert math.isnan(kappa[1])


def _delta(level, values):
    counts = {v: values.count(v) for v in sorted(set(values))}

    def difference(a, b):
        if level == "nominal":
            return float(a != b)
        if level == "interval":
            return float((a - b) ** 2)
        low, high = min(a, b), max(a, b)
        return (sum(n for v, n in counts.items() if low <= v <= high) - (counts[a] + counts[b]) / 2) ** 2

    return difference


ANSWERS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(-1, 5)), max_size=30)


@given(answers=ANSWERS, level=st.sampled_from(["nominal", "ordinal", "interval"]))
def test_krippendorff_is_its_definition(answers, level):
    result = krippendorff_alpha(
        np.array([a[0] for a in answers], dtype=np.int64),
        np.array([a[1] for a in answers], dtype=np.int64),
        np.array([a[2] for a in answers], dtype=np.int64),
        level=level,
        n_tasks=5,
        n_workers=4,
    )
    units = [[a for a in answers if a[0] == t and a[2] >= 0] for t in range(5)]
    units = [u for u in units if len(u) > 1]
    values = [a[2] for u in units for a in u]
    if not values:
        assert math.isnan(result.value)
        return
    delta = _delta(level, values)
    observed = sum(sum(delta(a[2], b[2]) for a, b in itertools.permutations(u, 2)) / (len(u) - 1) for u in units) / len(
        values
    )
    expected = sum(delta(a, b) for a, b in itertools.permutations(values, 2)) / (len(values) * (len(values) - 1))
    assert result.value == pytest.approx(1 - observed / expected if expected else 1.0, abs=1e-9)
    for worker in range(4):
        pairs = [
            (delta(a[2], b[2]), 1 / (len(u) - 1))
            for u in units for a, b in itertools.permutations(u, 2) if a[1] == worker
        ]  # fmt: skip
        # each answer counts once: pairs of one answer share its weight
        if not pairs:
            assert math.isnan(result.by_worker[worker])
            continue
        mean = sum(d * w for d, w in pairs) / sum(w for _, w in pairs)
        assert result.by_worker[worker] == pytest.approx(1 - mean / expected if expected else 1.0, abs=1e-9)


@given(
    pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30),
    weights=st.sampled_from([None, "linear", "quadratic"]),
)
def test_cohen_is_its_definition(pairs, weights):
    cost = {None: lambda a, b: a != b, "linear": lambda a, b: abs(a - b), "quadratic": lambda a, b: (a - b) ** 2}[
        weights
    ]
    observed = sum(cost(a, b) for a, b in pairs) / len(pairs)
    expected = sum(cost(a, b) for a, _ in pairs for _, b in pairs) / len(pairs) ** 2
    result = cohen_kappa(*zip(*pairs, strict=True), weights=weights)
    assert result == pytest.approx(1 - observed / expected if expected else 1.0, abs=1e-9)


@given(answers=ANSWERS.filter(lambda rows: len(rows) > 0))
def test_order_of_answers_does_not_matter(answers):
    def alpha(rows):
        return krippendorff_alpha(*(np.array(c) for c in zip(*rows, strict=True)), level="ordinal").value

    assert alpha(answers) == pytest.approx(alpha(answers[::-1]), nan_ok=True)


def test_sparse_codes_agree_with_dense():
    rng = np.random.default_rng(1)
    task, worker, label = rng.integers(0, 50, 400), rng.integers(0, 9, 400), rng.integers(0, 6, 400)
    dense = krippendorff_alpha(task, worker, label)
    sparse = krippendorff_alpha(task, worker, label * 1000)
    assert sparse.value == pytest.approx(dense.value)
    np.testing.assert_allclose(sparse.by_worker, dense.by_worker)


def test_negative_numbers_are_values_and_nan_is_missing():
    task, worker = [0, 0, 1, 1, 1], [0, 1, 0, 1, 2]
    full = krippendorff_alpha(task, worker, [-3.0, -2.0, 4.0, 5.0, np.nan], level="interval")
    assert full.pairable == 4
    assert full.value == pytest.approx(1 - 1 / (np.mean([1, 49, 64, 36, 49, 1])), abs=1e-9)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: krippendorff_alpha([0], [0], [1], level="ratio"), "level"),
        (lambda: krippendorff_alpha([0, 1], [0], [1]), "label"),
        (lambda: krippendorff_alpha([-1], [0], [1]), "task"),
        (lambda: krippendorff_alpha([3], [0], [1], n_tasks=2), "n_tasks"),
        (lambda: cohen_kappa([1], [1, 2]), "second"),
    ],
)
def test_bad_input_names_the_field(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()


@pytest.mark.parametrize("classes", [3, 400, 10**9])
def test_nominal_alpha_of_any_number_of_classes_is_its_definition(classes: int) -> None:
    """Also where a table of tasks and classes would not fit, and of codes with wide gaps."""
    rng = np.random.default_rng(classes)
    task, label = rng.integers(0, 900, 4000), rng.integers(0, 3, 4000) * (classes // 3)
    label[:1000] = rng.integers(0, classes, 1000)
    found = krippendorff_alpha(task, rng.integers(0, 50, 4000), label)
    size = np.bincount(task, minlength=900)
    kept = size[task] > 1
    task, label = task[kept], label[kept]
    alike = np.array([(label[task == t] == one).sum() - 1 for t, one in zip(task, label, strict=True)])
    observed = float((1 - alike / (size[task] - 1)).mean())
    _, counts = np.unique(label, return_counts=True)
    expected = 1 - float((counts * (counts - 1)).sum()) / (label.size * (label.size - 1))
    assert found.value == pytest.approx(1 - observed / expected)


def test_values_between_whole_numbers_are_values_of_their_own() -> None:
    task, worker, halves = [0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1], [1.5, 2, 1, 1, 1.2, 1.8]
    codes = [2, 4, 0, 0, 1, 3]  # the same order
    for level in ("nominal", "ordinal"):
        by_value, by_code = (krippendorff_alpha(task, worker, x, level=level).value for x in (halves, codes))
        assert by_value == pytest.approx(by_code)
        assert by_value < 1
