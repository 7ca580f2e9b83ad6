"""What a batch of a long request costs by what was learned before it, beside learning anew with every batch.

`python benchmarks/batches.py [--records N] [--batch N] [--json]`: seconds to judge one batch of single choices.
"""

from __future__ import annotations

import argparse
import json
import random
import time

from assay.domain import spec, verdict
from assay.domain.history import History
from assay.domain.work import Answer, Task

METHODS = ("majority", "weighted", "one_coin", "dawid_skene", "correlated", "auto")
ITEM = {"cid": "bafkrei" + "a" * 52, "media_type": "image/png"}
WORKERS, OVERLAP, CLASSES = 100, 5, ("a", "b", "c")


def request(method: str, *, tasks: int) -> tuple[spec.Spec, list[Task]]:
    """Labelers who are right in 50 to 95 of 100 cases."""
    chance = random.Random(tasks)
    asked = spec.parse(
        {
            "title": "batches", "instructions": "", "kind": "choice", "schema": {"classes": list(CLASSES)},
            "mode": "agreement", "overlap": OVERLAP, "items": [ITEM] * tasks, "consensus": {"method": method},
        }
    )  # fmt: skip
    skill = [chance.uniform(0.5, 0.95) for _ in range(WORKERS)]
    made = []
    for index in range(tasks):
        truth = chance.choice(CLASSES)
        answers = []
        for worker in chance.sample(range(WORKERS), OVERLAP):
            value = truth if chance.random() < skill[worker] else chance.choice(CLASSES)
            counters = (0, 0) if asked.weighs else None
            answers.append(Answer(worker.to_bytes(32, "big"), {"value": value}, b"", counters=counters))
        made.append(Task(index, tuple(answers)))
    return asked, made


def measure(method: str, *, records: int, batch: int) -> dict[str, float | str | int]:
    """Best of three batches each way, and the fit that is made beforehand."""
    asked, tasks = request(method, tasks=records + 3 * batch)
    history = History(asked)
    history.add(tasks[:records])
    start = time.perf_counter()
    model = history.model
    fit = time.perf_counter() - start
    ours, anew = [], []
    for number in range(3):
        now = tasks[records + number * batch : records + (number + 1) * batch]
        start = time.perf_counter()
        verdict.consensus(asked, now, history=history, model=model)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        verdict.consensus(asked, now, history=list(history))
        anew.append(time.perf_counter() - start)
    return {
        "method": method, "learned_from": history.point, "fit_seconds": round(fit, 4),
        "batch_seconds": round(min(ours), 5), "batch_seconds_learning_anew": round(min(anew), 5),
    }  # fmt: skip


def main() -> None:
    """Print the rows as a table, or with --json as an object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measure(method, records=options.records, batch=options.batch) for method in METHODS]
    if options.json:
        print(json.dumps({"records": options.records, "batch": options.batch, "methods": rows}))
        return
    print(f"A batch of {options.batch} tasks after {options.records:,} records, {OVERLAP} answers each; seconds")
    print(f"{'method':<12} {'learned from':>12} {'fit before':>10} {'batch':>9} {'learning anew':>13}")
    for row in rows:
        print(
            f"{row['method']:<12} {row['learned_from']:>12} {row['fit_seconds']:>10} {row['batch_seconds']:>9} "
            f"{row['batch_seconds_learning_anew']:>13}"
        )


if __name__ == "__main__":
    main()
