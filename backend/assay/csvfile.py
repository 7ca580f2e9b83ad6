"""Tables in CSV files, as crowds' answers come: named columns in any order, every fault with its file and line."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from pathlib import Path

from assay.errors import FieldError

LARGEST_VALUE = 16 << 20
"""Characters of one value, such as a mask of a large picture. Python's own limit is 128 KiB."""


def read_csv(
    path: Path, columns: Sequence[str], *, field: str, may_be_empty: Collection[str] = ()
) -> list[tuple[str, ...]]:
    """The named columns of each row, without white space around the values.

    The first line names the columns, in any order and case; other columns and blank lines are passed over. Raises
    `FieldError` for `field` that names file and line: a column or value that is missing (values of the columns
    `may_be_empty` may be), a row of another length, a file without rows or that is no CSV in UTF-8.
    """
    try:
        csv.field_size_limit(LARGEST_VALUE)
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            for name in columns:
                if header.count(name) != 1:
                    fault = "has no column" if name not in header else "has more than one column"
                    raise FieldError(field, f"{path} {fault} {name!r}", hint=f"a first line {','.join(columns)}")
            places = [(name, header.index(name)) for name in columns]
            rows = []
            for row in reader:
                if not row or (len(row) == 1 and not row[0].strip()):
                    continue
                at = f"{path} line {reader.line_num}"
                if len(row) != len(header):
                    hint = f"{len(header)}, as in the first line; a value that holds a comma goes in quotes"
                    raise FieldError(field, f"{at} has {len(row)} columns", hint=hint)
                rows.append(tuple(row[place].strip() for _, place in places))
                for (name, _), value in zip(places, rows[-1], strict=True):
                    if not value and name not in may_be_empty:
                        raise FieldError(
                            field, f"{at} gives no {name}", hint=f"a value for each of {', '.join(columns)}"
                        )
    except OSError as error:
        raise FieldError(field, f"{path} cannot be read: {error.strerror}", hint="a UTF-8 CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FieldError(field, f"{path} is no CSV file: {error}", hint="a UTF-8 CSV file") from error
    if not rows:
        raise FieldError(field, f"{path} holds no rows", hint="at least one row below the first line")
    return rows


def read_pairs(path: Path, *, field: str, may_be_empty: Collection[str] = ()) -> dict[str, str]:
    """task → label; a task given twice with different labels is an error."""
    pairs: dict[str, str] = {}
    for task, label in read_csv(path, ("task", "label"), field=field, may_be_empty=may_be_empty):
        if pairs.setdefault(task, label) != label:
            raise FieldError(field, f"{path} gives task {task!r} two labels", hint="one label a task")
    return pairs
