from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.consensus_cli import consensus, kind_of, run
from assay.errors import FieldError

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


def test_real_numbers() -> None:
    if not (DATA / "n_emotion").exists():
        pytest.skip("the real answers are not beside the checkout")
    result = run(DATA / "n_emotion" / "labels.csv", truth=DATA / "n_emotion" / "truth.csv")
    assert result["kind"] == "number"
    assert result["mae"] <= 12.05
