from __future__ import annotations

from pathlib import Path

import pytest

from assay.demo.crowdfile import read_answers, read_truth
from assay.demo.run import _safe
from assay.errors import FieldError


def test_reads_answers_once_a_worker(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("task,worker,label\na,w1,yes\na,w2,no\na,w1,no\nb,w1,yes\n")
    crowd = read_answers(path)
    assert crowd.tasks == ("a", "b")
    assert crowd.workers == ("w1", "w2")
    assert crowd.classes == ("no", "yes")
    assert crowd.labels["a", "w1"] == "yes"
    assert crowd.repeated == 1
    assert crowd.overlaps() == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("task,worker\na,w\n", "no column 'label'"),
        ("task,worker,label\n", "holds no rows"),
        ("task,worker,label\na,w,x\nb,,x\n", "line 3 gives no worker"),
        ("task,worker,label\n" + "".join(f"a,w{i},x\n" for i in range(65)), "has 65 answers"),
    ],
)
def test_refuses_by_name(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(FieldError, match=says):
        read_answers(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match=r"none\.csv"):
        read_truth(tmp_path / "none.csv")


def test_distinct_workers_have_distinct_files() -> None:
    names = ["ann", "ann ", "Änn", "a/b", "a%2fb", "x" * 150, "x" * 150 + "y", "ü" * 300, "ü" * 301]
    files = [_safe(name) for name in names]
    assert len(set(files)) == len(names)
    assert all(len(f"{file}.json".encode()) <= 255 and "/" not in file for file in files)
