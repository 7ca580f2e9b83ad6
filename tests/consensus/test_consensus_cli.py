from __future__ import annotations

import csv
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.consensus_cli import consensus, kind_of, run
from assay.errors import FieldError
from assay.simulate.crowd import make_crowd

from .real_answers import DATA


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_choice_with_truth_and_gold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = write(tmp_path / "l.csv", "task,worker,label\na,x,cat\na,y,cat\nb,x,dog\nb,y,cat\nc,y,dog\n")
    truth = write(tmp_path / "t.csv", "task,label\na,cat\nb,dog\nz,cat\n")
    gold = write(tmp_path / "g.csv", "label,task\ndog,b\n")
    consensus(labels, truth=truth, gold=gold, method="one-coin", as_json=True)
    result = json.loads(capsys.readouterr().out)
    assert result["labels"] == {"a": "cat", "b": "dog", "c": "dog"}
    assert result["accuracy"] == 1
    assert result["judged"] == 2
    assert set(result["worker_skills"]) == {"x", "y"}
    assert "krippendorff_alpha" in result["agreement"]
    assert result["seconds"] > 0
    consensus(labels)
    assert "cat" in capsys.readouterr().out


def test_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    crowd = make_crowd({"shared_coin": 0.2}, seed=0, n_tasks=120, n_workers=25, overlap=5)
    given = crowd.answers
    rows = [f"t{t},w{w},c{c}" for t, w, c in zip(given.task, given.worker, given.label, strict=True)]
    shuffled = [rows[k] for k in np.random.default_rng(1).permutation(len(rows))]
    first, other = (
        run(write(tmp_path / f"{name}.csv", "\n".join(["task,worker,label", *lines])))
        for name, lines in (("first", rows), ("other", shuffled))
    )
    assert list(other["labels"]) == list(dict.fromkeys(row.split(",")[0] for row in shuffled))
    for key in ("labels", "confidences", "worker_skills", "agreement", "flagged"):
        assert first[key] == other[key], key


@pytest.mark.parametrize(
    ("kind", "rows", "expected"),
    [
        ("number", "1,a,4\n1,b,6\n1,c,5\n", 5.0),
        ("multi-choice", "1,a,x|y\n1,b,x\n1,c,x|y\n", ["x", "y"]),
        ("ranking", "1,a,x>y>z\n1,b,x>z>y\n1,c,x>y>z\n", ["x", "y", "z"]),
        ("text", "1,a,the cat sat\n1,b,the cat sit\n1,c,the cat sat\n", "the cat sat"),
    ],
)
def test_other_kinds(tmp_path: Path, kind: str, rows: str, expected: object) -> None:
    result = run(write(tmp_path / "l.csv", "task,worker,label\n" + rows), kind=kind)
    assert result["labels"]["1"] == pytest.approx(expected, abs=0.5) if kind == "number" else expected
    assert result["kind"] == kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task,worker\n1,2\n", "no column 'label'"),
        ("task,worker,label\n", "no rows"),
        ("task,worker,label\n1,2\n", "line 2"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        run(write(tmp_path / "l.csv", text))


def test_bad_options_are_refused(tmp_path: Path) -> None:
    labels = write(tmp_path / "l.csv", "task,worker,label\n1,a,x\n")
    with pytest.raises(FieldError, match="kind"):
        run(labels, kind="colour")
    with pytest.raises(FieldError, match="method"):
        run(labels, method="best")
    with pytest.raises(FieldError, match="cannot be read"):
        run(tmp_path / "none.csv")
    with pytest.raises(FieldError, match="two labels"):
        run(labels, gold=write(tmp_path / "g.csv", "task,label\n1,x\n1,y\n"))
    with pytest.raises(FieldError, match="shares no task"):
        run(labels, truth=write(tmp_path / "t.csv", "task,label\n9,x\n"))


def test_kind_is_read_from_the_labels() -> None:
    far = [(str(t), str(w), str(10 * t + w)) for t in range(30) for w in range(4)]
    assert kind_of(far) == "number"
    assert kind_of([("1", "a", "0"), ("1", "b", "1")]) == "choice"
    codes = [(str(t), str(w), str((t * 7) % 30 if w else (t * 11) % 30)) for t in range(30) for w in range(4)]
    assert kind_of(codes) == "choice"


def test_ratings_are_numbers_where_the_truth_lies_between_them(tmp_path: Path) -> None:
    rows = [(str(t), str(w), str(1 + (t + w) % 5)) for t in range(30) for w in range(3)]
    assert kind_of(rows) == kind_of(rows, ["1", "5.0"]) == "choice"
    assert kind_of(rows, ["1.5", "3.25", "4"]) == "number"
    assert kind_of(rows, ["good", "bad"]) == "choice"
    labels = write(tmp_path / "l.csv", "task,worker,label\n" + "".join(f"{','.join(row)}\n" for row in rows))
    result = run(labels, truth=write(tmp_path / "t.csv", "task,label\n1,3.4\n2,2.2\n"))
    assert (result["kind"], result["judged"], "accuracy" in result) == ("number", 2, False)


def test_one_number_each_is_no_class(tmp_path: Path) -> None:
    assert kind_of([(str(t), "a", f"{t}.5") for t in range(30)]) == "number", "nobody to agree with"


def test_what_is_no_number_is_named(tmp_path: Path) -> None:
    good, bad = (write(tmp_path / f"{name}.csv", f"task,worker,label\n7,ann,{name}\n") for name in ("3", "nan"))
    with pytest.raises(FieldError, match="task '7', worker 'ann' the label 'nan'") as caught:
        run(bad, kind="number")
    assert caught.value.field == "labels"
    with pytest.raises(FieldError, match="task '7' the label 'x'") as caught:
        run(good, kind="number", gold=write(tmp_path / "g.csv", "task,label\n7,x\n"))
    assert caught.value.field == "gold"


def test_a_value_may_be_as_long_as_a_large_mask(tmp_path: Path) -> None:
    long = "x" * 200_000
    labels = write(tmp_path / "l.csv", f"task,worker,label\n1,a,{long}\n1,b,{long}\n")
    assert run(labels, kind="choice")["labels"] == {"1": long}


def test_numbers_whose_squares_are_no_numbers_are_refused(tmp_path: Path) -> None:
    labels = write(tmp_path / "l.csv", "task,worker,label\n1,a,1e308\n1,b,-1e308\n2,a,3\n2,b,3\n")
    with pytest.raises(FieldError, match=r"from -1e\+100 to 1e\+100"):
        run(labels, kind="number")


def test_real_numbers() -> None:
    if not (DATA / "n_emotion").exists():
        pytest.skip("the real answers are not beside the checkout")
    result = run(DATA / "n_emotion" / "labels.csv", truth=DATA / "n_emotion" / "truth.csv")
    assert result["kind"] == "number"
    assert result["mae"] <= 12.05


def table(path: Path, rows: list[tuple[str, ...]], head: str = "task,worker,label") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head.split(","), *rows])
    return path


BOX = {"class": "cat", "x": 2, "y": 3, "width": 10, "height": 10}
MASK = {"width": 4, "height": 2, "runs": [1, 2, 5]}
NOSE = {"nose": {"x": 5, "y": 5}, "tail": None}
SHAPES = [
    ("boxes", [BOX], [{**BOX, "x": 3}], "mean_iou", 1.0),
    ("mask", MASK, {**MASK, "runs": [1, 3, 4]}, "mean_iou", 1.0),
    ("keypoints", NOSE, {"nose": {"x": 8, "y": 9}, "tail": None}, "mean_distance", 0.0),
]


@pytest.mark.parametrize(("kind", "right", "other", "measure", "best"), SHAPES)
def test_shapes_are_json_in_the_label_column(
    tmp_path: Path, kind: str, right: Any, other: Any, measure: str, best: float
) -> None:
    rows = [(task, who, json.dumps(right)) for task in ("a", "b") for who in "xyz"]
    rows[3] = ("b", "x", json.dumps(other))
    labels = table(tmp_path / "l.csv", rows)
    truth = table(tmp_path / "t.csv", [("a", json.dumps(right)), ("b", json.dumps(right))], "task,label")
    result = run(labels, truth=truth)
    assert result["kind"] == kind
    assert result["labels"]["a"] == right
    assert result[measure] == pytest.approx(best, abs=0.2 if kind == "keypoints" else 1e-6)
    assert (result["accuracy"], result["judged"]) == (1, 2)
    far = [{**BOX, "x": 8}] if kind == "boxes" else {**MASK, "runs": [1, 1, 6]} if kind == "mask" else None
    if far is not None:
        wrong = run(
            labels, truth=table(tmp_path / "w.csv", [("a", json.dumps(right)), ("b", json.dumps(far))], "task,label")
        )
        assert (wrong["accuracy"], 0.5 < wrong["mean_iou"] < 0.9) == (0.5, True)
    assert set(result["worker_skills"]) == set("xyz")
    (agreement,) = result["agreement"].values()
    assert agreement > 1 if kind == "keypoints" else 0.8 < agreement < 1
    known = table(tmp_path / "g.csv", [("b", json.dumps(other)), ("elsewhere", json.dumps(right))], "task,label")
    assert run(labels, gold=known)["labels"]["b"] == other


def test_masks_of_pictures_of_several_sizes(tmp_path: Path) -> None:
    large = {"width": 5, "height": 5, "runs": [0, 25]}
    rows = [("a", "x", json.dumps(MASK)), ("b", "x", json.dumps(large))]
    assert run(table(tmp_path / "l.csv", rows))["labels"] == {"a": MASK, "b": large}


@pytest.mark.parametrize(
    ("kind", "label", "message"),
    [
        ("boxes", "cat", "task a, worker x, answer 1: is no JSON"),
        ("boxes", '[{"class": "cat", "x": 1}]', r"task a, worker x, answer 1: value\[0\]"),
        ("mask", '{"width": 2, "height": 2, "runs": [3]}', "value.runs"),
        ("mask", '{"width": 2, "runs": [3]}', "height"),
        ("mask", "[]", "no object"),
        ("keypoints", "{}", "no point"),
        ("keypoints", '{"nose": {"x": -1, "y": 0}}', r"value.nose.x"),
        ("multi-choice", "[1]", "JSON array of names"),
    ],
)
def test_bad_shapes_name_task_worker_and_part(tmp_path: Path, kind: str, label: str, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        run(table(tmp_path / "l.csv", [("a", "x", label)]), kind=kind)


@pytest.mark.parametrize("field", ["gold", "truth"])
@pytest.mark.parametrize(
    ("kind", "right", "wrong", "message"),
    [
        ("boxes", [BOX], [{**BOX, "width": 0}], r"of task a: value\[0\].width is 0"),
        ("boxes", [BOX], [{**BOX, "class": ""}], "class '' has 0 characters"),
        ("mask", MASK, {**MASK, "runs": [1, 2]}, "of task a: value.runs cover 3 pixels"),
        ("keypoints", NOSE, {"nose": None}, "of task a: value.tail is missing"),
        ("keypoints", NOSE, {**NOSE, "ear": None}, "of task a: value.ear is unknown"),
    ],
)
def test_a_fault_in_gold_or_truth_is_not_laid_on_the_labels(
    tmp_path: Path, field: str, kind: str, right: Any, wrong: Any, message: str
) -> None:
    labels = table(tmp_path / "l.csv", [("a", "x", json.dumps(right))])
    given: dict[str, Any] = {field: table(tmp_path / "g.csv", [("a", json.dumps(wrong))], "task,label")}
    with pytest.raises(FieldError, match=message) as caught:
        run(labels, kind=kind, **given)
    assert caught.value.field == field


def test_masks_of_one_task_are_of_one_size(tmp_path: Path) -> None:
    other = {"width": 2, "height": 2, "runs": [4]}
    rows = [("a", "x", json.dumps(MASK)), ("a", "y", json.dumps(other))]
    with pytest.raises(FieldError, match="labels: task a, worker y: is a mask of 2 x 2 pixels"):
        run(table(tmp_path / "l.csv", rows))
    gold = table(tmp_path / "g.csv", [("a", json.dumps(other))], "task,label")
    with pytest.raises(FieldError, match="gold: task a: is a mask of 2 x 2 pixels"):
        run(table(tmp_path / "one.csv", rows[:1]), gold=gold)


def test_json_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    labels = table(tmp_path / "l.csv", [("a", "x", "[" * 100_000)])
    for kind in ("boxes", "ranking"):
        with pytest.raises(FieldError, match="labels"):
            run(labels, kind=kind)
    assert run(labels)["kind"] == "choice"


def test_each_task_may_rank_items_of_its_own(tmp_path: Path) -> None:
    rows = [("1", "ann", "a>b>c"), ("1", "bob", "a>c>b"), ("1", "cid", "a>b>c"), ("2", "ann", "q>p>r>s"),
            ("2", "bob", "q>p>r>s"), ("3", "cid", "only")]  # fmt: skip
    labels = table(tmp_path / "l.csv", rows)
    truth = table(tmp_path / "t.csv", [("1", "a>b>c"), ("2", "q>p>s>r"), ("3", "only")], "task,label")
    for method in ("borda", "bradley_terry"):
        result = run(labels, truth=truth, kind="ranking", method=method)
        assert result["labels"] == {"1": ["a", "b", "c"], "2": ["q", "p", "r", "s"], "3": ["only"]}
        assert (result["accuracy"], set(result["worker_skills"])) == (2 / 3, {"ann", "bob", "cid"})
        assert result["mean_similarity"] == pytest.approx((1 + 5 / 6 + 1) / 3, abs=1e-4)
    assert kind_of(rows[:5]) == "ranking"


@pytest.mark.parametrize(
    ("label", "gold", "message"),
    [
        ("", None, "labels: gives task '2', worker 'x' the label ''"),
        (">", None, "labels: gives task '2'"),
        ("a>b>a", None, "labels: gives task '2'"),
        ("a>c", None, "labels: gives task '2'"),
        ("b>a", "a>c", "gold: gives task '2' the label 'a>c'"),
        ("b>a", "[1]", "gold: holds"),
    ],
)
def test_what_ranks_other_items_is_refused(tmp_path: Path, label: str, gold: str | None, message: str) -> None:
    labels = table(tmp_path / "l.csv", [("2", "w", "a>b"), ("2", "x", label)])
    known = None if gold is None else table(tmp_path / "g.csv", [("2", gold)], "task,label")
    with pytest.raises(FieldError, match=message.replace("[", r"\[")):
        run(labels, gold=known, kind="ranking")


def test_a_truth_of_another_form_is_refused(tmp_path: Path) -> None:
    numbers = table(tmp_path / "n.csv", [(str(t), w, str(9 * t + ord(w) % 3)) for t in range(30) for w in "xyz"])
    with pytest.raises(FieldError, match="a number"):
        run(numbers, truth=table(tmp_path / "t.csv", [("3", "cat")], "task,label"))
    ranking = table(tmp_path / "r.csv", [("1", "x", "a>b"), ("1", "y", "b>a")])
    with pytest.raises(FieldError, match="ranks other items"):
        run(ranking, truth=table(tmp_path / "t.csv", [("1", "a>c")], "task,label"))


def test_kinds_of_text_sets_and_rankings() -> None:
    assert kind_of([("1", "a", "x>y"), ("2", "a", "y>x")]) == "ranking"
    assert kind_of([("1", "a", "x>y"), ("2", "a", "y>z")]) == "choice"
    assert kind_of([("1", "a", "x>y"), ("1", "b", "y>x"), ("2", "a", "y>z")]) == "pairwise"
    assert kind_of([("1", "a", "x>y"), ("1", "b", "y>x"), ("1", "c", "y>z"), ("2", "a", "y>z")]) == "choice"
    assert kind_of([("1", "a", "x|y"), ("2", "a", "y")]) == "multi-choice"
    assert kind_of([("1", "a", "the cat sat"), ("2", "a", "a dog ran off")]) == "text"
    plates = [(str(t), w, f"k{t}x{w if t % 2 else 'a'}") for t in range(20) for w in "abc"]
    assert kind_of(plates) == "text", "words that hardly come again"
    assert kind_of([(str(t), "a", f"class {t % 30}") for t in range(60)]) == "choice"
    assert kind_of([("1", "a", "[]"), ("2", "a", json.dumps([BOX]))]) == "boxes"
    assert kind_of([("1", "a", "²"), ("2", "a", "{not json")]) == "choice"


def test_the_benchmark_takes_any_folder_and_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one class", "shapes", "broken", "texts", "no truth", "pairs"):
        (tmp_path / name).mkdir()
    table(
        tmp_path / "one class" / "labels.csv", [("1", "a", "yes", ""), ("1", "b", "yes", "")], "Task,WORKER,label,note"
    )
    table(tmp_path / "one class" / "truth.csv", [("1", "no")], "task,label")
    table(tmp_path / "shapes" / "labels.csv", [("1", "a", json.dumps([BOX]))])
    table(tmp_path / "shapes" / "truth.csv", [("1", json.dumps([BOX]))], "task,label")
    table(tmp_path / "broken" / "labels.csv", [("1", "a")], "task,worker")
    table(tmp_path / "texts" / "labels.csv", [("1", "a", "the cat sat"), ("1", "b", "the cat sat down")])
    table(tmp_path / "no truth" / "labels.csv", [(str(t), w, "xy"[t % 2]) for t in range(9) for w in "abc"])
    pairs = [("1", "a", "x>y"), ("1", "b", "y>x"), ("1", "c", "x>y"), ("2", "a", "y>z")]
    table(tmp_path / "pairs" / "labels.csv", pairs)
    table(tmp_path / "pairs" / "truth.csv", [("1", "x>y"), ("2", "y>z")], "task,label")
    bench = Path(__file__).resolve().parents[2] / "benchmarks" / "consensus.py"
    monkeypatch.setattr(sys, "argv", [str(bench), "--data", str(tmp_path), "--json"])
    runpy.run_path(str(bench), run_name="__main__")
    sets = json.loads(capsys.readouterr().out)["sets"]
    assert "no column 'label'" in sets["broken"]["error"]
    assert sets["one class"]["methods"]["auto"]["accuracy"] == 0
    assert sets["shapes"]["methods"]["fusion"]["mean_iou"] == 1
    assert set(sets["texts"]["methods"]) == {"medoid", "rover"}
    assert {name: row["accuracy"] for name, row in sets["pairs"]["methods"].items()} == {
        "bradley_terry_noise": 1, "bradley_terry": 1,
    }  # fmt: skip
    row = sets["no truth"]["methods"]["auto"]
    assert row["accuracy"] is None
    assert row["seconds"] > 0
    assert row["peak_mb"] > 0


def test_the_benchmark_says_which_option_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Path(__file__).resolve().parents[2] / "benchmarks" / "consensus.py"
    monkeypatch.setattr(sys, "argv", [str(bench), "--only", "scale", "--answers", "1e3,few"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(bench), run_name="__main__")
    assert "--answers: is '1e3,few'; numbers of answers such as" in capsys.readouterr().err


def test_comparisons_score_all_items_together(tmp_path: Path) -> None:
    """Who tosses coins counts little, items that never met are ordered by those between, and gold stands."""
    items = "abcde"
    rows = [
        (f"{one}{two}", who, f"{one}>{two}" if who != "coin" or (i + j) % 2 else f"{two}>{one}")
        for i, one in enumerate(items)
        for j, two in enumerate(items[i + 1 :], start=i + 1)
        for who in ("ann", "bob", "coin")
        if (one, two) != ("a", "e")
    ]
    labels = table(tmp_path / "l.csv", [*rows, ("last", "coin", "e>a")])
    truth = table(tmp_path / "t.csv", [("ab", "a>b"), ("last", "a>e")], "task,label")
    result = run(labels, truth=truth, kind="pairwise")
    assert result["order"] == list(items)
    assert (result["accuracy"], result["labels"]["last"]) == (1, ["a", "e"])
    assert 0.5 < result["confidences"]["last"] < 1
    assert result["worker_skills"]["coin"] < result["worker_skills"]["ann"]
    known = table(tmp_path / "g.csv", [("ab", "b>a"), ("elsewhere", "x>y")], "task,label")
    told = run(labels, gold=known, kind="pairwise", method="bradley-terry")
    assert (told["labels"]["ab"], told["confidences"]["ab"], told["order"][0]) == (["b", "a"], 1, "b")


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([("1", "x", "a>b>c")], {}, "labels: gives task '1' the label 'a>b>c'"),
        ([("1", "x", "a>a")], {}, "labels: gives task '1'"),
        ([("1", "x", "a>b"), ("1", "y", "a>c")], {}, "labels: compares a with c in task '1'"),
        ([("1", "x", "a>b")], {"gold": "b>c"}, "gold: compares b with c in task '1'"),
        ([("1", "x", "a>b")], {"truth": "a>c"}, "ranks other items"),
        ([("1", "x", "a>b")], {"method": "auto_noise"}, "method: is 'auto_noise'"),
    ],
)
def test_bad_comparisons_are_refused(tmp_path: Path, rows: Any, options: dict[str, str], message: str) -> None:
    given: dict[str, Any] = {
        name: value if name == "method" else table(tmp_path / name, [("1", value)], "task,label")
        for name, value in options.items()
    }
    with pytest.raises(FieldError, match=message):
        run(table(tmp_path / "l.csv", rows), kind="pairwise", **given)
