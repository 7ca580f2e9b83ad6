from __future__ import annotations

from pathlib import Path

import pytest

from assay.csvfile import read_csv, read_pairs
from assay.errors import FieldError

COLUMNS = ("task", "worker", "label")


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_columns_in_any_order_and_case(tmp_path: Path) -> None:
    text = '\ufeffLabel, extra ,TASK,worker\r\n"a, b",1, t ,w\r\n\r\n   \r\nc,,"two\nlines",w\r\n'
    rows = read_csv(write(tmp_path / "l.csv", text), COLUMNS, field="labels")
    assert rows == [("t", "w", "a, b"), ("two\nlines", "w", "c")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no column 'task'"),
        ("task,worker\n1,2\n", "has no column 'label'"),
        ("task,worker,label,task\n1,2,3,4\n", "more than one column 'task'"),
        ("task,worker,label\n", "holds no rows"),
        ("task,worker,label\n1,2\n", "line 2 has 2 columns .3"),
        ("task,worker,label\n1,2,x\n1,2,hello, world\n", "line 3 has 4 columns .*in quotes"),
        ("task,worker,label\n1,2,x\n , w,y\n", "line 3 gives no task"),
        ("task,worker,label\n1,w,\n", "line 2 gives no label"),
        ('task,worker,label\n1,w,"x\n', "is no CSV file"),
        (b"task,worker,label\n1,w,\xff\n", "is no CSV file"),
    ],
)
def test_a_bad_file_is_named_with_line(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(FieldError, match=says) as caught:
        read_csv(write(tmp_path / "l.csv", text), COLUMNS, field="labels")
    assert caught.value.field == "labels"
    assert "l.csv" in caught.value.detail


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(FieldError, match=f"{path} cannot be read: (Is a|No such)"):
            read_csv(path, COLUMNS, field="labels")


def test_pairs_agree_with_themselves(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "task,label\na,x\nb,\na,x\n")
    assert read_pairs(path, field="truth", may_be_empty=("label",)) == {"a": "x", "b": ""}
    with pytest.raises(FieldError, match="two labels"):
        read_pairs(write(tmp_path / "t.csv", "task,label\na,x\na,y\n"), field="truth")
