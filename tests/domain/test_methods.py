"""Every method of every kind, from answers to labels that the schema allows."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from assay.domain import methods, schema, spec, verdict, work
from assay.domain.canonical import dumps
from assay.domain.similarity import agrees
from assay.domain.work import Answer, Task

CID = "bafkrei" + "a" * 52
BOX = {"class": "cat", "x": 10, "y": 10, "width": 20, "height": 20}
# Schema, the truth, a careless answer to the same.
CASES: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "choice": ({"classes": ["cat", "dog"]}, "dog", "cat"),
    "multi-choice": ({"classes": ["cat", "dog", "owl"], "min": 1}, ["cat", "owl"], ["dog"]),
    "number": ({"min": "0", "max": "10", "tolerance": "0.5", "decimals": 2}, "7.25", "1"),
    "ranking": ({"items": ["a", "b", "c"]}, ["b", "c", "a"], ["a", "c", "b"]),
    "text": ({"max_length": 50}, "the quick brown fox", "a slow red dog"),
    "boxes": ({"classes": ["cat", "dog"], "width": 100, "height": 100}, [BOX], [{**BOX, "x": 70, "class": "dog"}]),
    "mask": ({"width": 4, "height": 2}, {"width": 4, "height": 2, "runs": [0, 4, 4]},
             {"width": 4, "height": 2, "runs": [6, 2]}),
    "keypoints": ({"points": ["nose", "tail"], "radius": 3}, {"nose": {"x": 5, "y": 5}, "tail": None},
                  {"nose": {"x": 90, "y": 90}, "tail": {"x": 1, "y": 1}}),
}  # fmt: skip
DRAWN = {
    ("number", "mean"),
    ("number", "precision_bias"),
    ("keypoints", "mean"),
}  # one careless answer in five moves them
EVERY = [(kind, method) for kind in CASES for method in methods.names(kind)]


def request(kind: str, method: str) -> tuple[spec.Spec, list[Task]]:
    """Twelve tasks; five labelers answer all, the last of them carelessly."""
    form, truth, careless = CASES[kind]
    asked = spec.parse(
        {
            "title": kind, "instructions": "", "kind": kind, "schema": form, "mode": "agreement", "overlap": 5,
            "items": [{"cid": CID, "media_type": "image/png"}] * 12, "consensus": {"method": method},
        }
    )  # fmt: skip
    tasks = []
    for index in range(12):
        values = [truth] * 4 + [careless]
        counters = (0, 0) if asked.weighs else None
        answers = tuple(
            Answer(bytes([i]) * 32, asked.answer({"value": value}), b"", counters=counters)
            for i, value in enumerate(values)
        )
        tasks.append(Task(index, answers))
    return asked, tasks


@pytest.mark.parametrize(("kind", "method"), EVERY)
def test_finds_what_most_agree_on(kind: str, method: str) -> None:
    asked, tasks = request(kind, method)
    found = verdict.consensus(asked, tasks)
    truth = CASES[kind][1]
    for index in range(12):
        label = found[index].label
        assert asked.answer(label) == label, "a label is in the normal form of its schema"
        if (kind, method) not in DRAWN:
            assert agrees(kind, asked.schema, label["value"], truth)
        assert 0 <= found[index].confidence <= 10_000


@pytest.mark.parametrize(("kind", "method"), EVERY)
def test_order_and_history(kind: str, method: str) -> None:
    """In any order the same bytes; earlier batches count, and a task that is in history too counts once."""
    asked, tasks = request(kind, method)
    chance = random.Random(1)
    once = verdict.consensus(asked, tasks[6:], history=tasks[:6])
    shuffled = [replace(task, answers=tuple(chance.sample(task.answers, 5))) for task in chance.sample(tasks, 12)]
    again = verdict.consensus(
        asked,
        [task for task in shuffled if task.index >= 6],
        history=[task for task in shuffled if task.index < 9],
    )
    assert {i: (dumps(one.label), one.confidence) for i, one in once.items()} == {
        i: (dumps(one.label), one.confidence) for i, one in again.items()
    }


@pytest.mark.parametrize(("kind", "method"), EVERY)
def test_gold_is_the_label(kind: str, method: str) -> None:
    asked, tasks = request(kind, method)
    known = asked.answer({"value": CASES[kind][2]})
    _, opened = work.commit_gold([(0, known, bytes(32))])
    tasks[0] = replace(tasks[0], gold=opened[0])
    found = verdict.consensus(asked, tasks)
    assert found[0] == verdict.Consensus(known, 10_000)
    assert set(found) == set(range(12))


def test_names() -> None:
    assert all(methods.names(kind)[0] == "majority" for kind in schema.KINDS)
    assert "dawid_skene" in methods.names("choice")
    assert methods.names("file") == ("majority",)
