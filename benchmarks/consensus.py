"""Consensus on real answers, at scale and under attack: `./assay bench consensus [--data DIR] [--peers PYTHON]
[--json]`.

`--data`: a folder of folders with labels.csv (task,worker,label) and, for accuracy, truth.csv (task,label). Default:
../shared/data beside the checkout. `--peers`: the Python of an environment with crowd-kit 1.4.2, which then runs on
the same files in the same run; "make" makes one. `--only real,robust,scale,attacks,overlap,online` picks parts;
`--seeds` for the attacks and the draws of `robust` (made-up crowds, and parts of the real ones); `--answers` for the
scale.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from assay.consensus import Answers, Choice, InvalidAnswers, encode, resolve
from assay.consensus.calibration import brier, expected_calibration_error
from assay.consensus.numbers import encode_numbers, resolve_numbers
from assay.consensus.online import Online
from assay.consensus.overlap import fixed_overlap, grow_overlap
from assay.consensus_cli import MEASURES, in_row_order, kind_of, measure, resolve_rows
from assay.consensus_kinds import in_order
from assay.consensus_pairs import METHODS as PAIRWISE_METHODS
from assay.csvfile import read_csv, read_pairs
from assay.domain.methods import NAMES
from assay.errors import AssayError, FieldError
from assay.simulate import robust
from assay.simulate.crowd import STRATEGIES, make_crowd
from assay.simulate.families import Case, made_up, parts
from assay.simulate.growth import compare

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("real", "robust", "scale", "attacks", "overlap", "online")
MARKET_OVERLAP, MARKET_MOST = 3, 9
MARKET_TARGETS = {"majority": 7500, "dawid_skene": 9000}
"""Confidences (bps) that tasks ask for more answers below: a share of the votes, and a posterior."""
SCALE_METHODS = ("majority", "wawa", "one_coin", "dawid_skene")
PEER_NAMES = {"MajorityVote": "majority", "Wawa": "wawa", "DawidSkene": "dawid_skene", "OneCoinDawidSkene": "one_coin"}


def timed(call: Callable[[], Any], *, runs: int = 3, memory: bool = True) -> tuple[Any, float, float]:
    """Result, median seconds, and peak extra megabytes (of one more run, since tracing slows)."""
    seconds = []
    result = None
    for _ in range(runs):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
        if seconds[-1] > 5:
            break
    peak = 0.0
    if memory:
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
    return result, statistics.median(seconds), peak


def load(folder: Path) -> tuple[str, Any, Any]:
    """Kind, coded answers, and the truth as codes (-1 unknown, -2 a class nobody answered) or numbers (NaN unknown);
    of other kinds than choice and number the rows and the truth as they stand. Rows are ordered as `./assay consensus`
    orders them.

    Raises FieldError or InvalidAnswers for files that cannot be used.
    """
    blank = ("label",)
    given = read_csv(folder / "labels.csv", ("task", "worker", "label"), field="data", may_be_empty=blank)
    rows: Any = in_row_order([(task, worker, label) for task, worker, label in given])
    there = (folder / "truth.csv").exists()
    truth = read_pairs(folder / "truth.csv", field="data", may_be_empty=blank) if there else {}
    kind = kind_of(rows, truth.values())
    if kind == "number":
        answers, codes = encode_numbers(rows)
        try:
            return kind, answers, np.array([float(truth.get(str(task), "nan")) for task in codes.tasks])
        except ValueError as error:
            raise FieldError("data", f"{folder / 'truth.csv'}: {error}", hint="numbers, as the labels are") from None
    if kind != "choice":
        return kind, rows, truth
    labels, codes = encode(rows, classes=in_order({row[2] for row in rows}))
    place = {name: code for code, name in enumerate(codes.classes)}
    known = [place.get(truth[str(task)], -2) if str(task) in truth else -1 for task in codes.tasks]
    return kind, labels, np.array(known)


def usable(folder: Path) -> tuple[str | None, Any, Any]:
    """`load`, or no kind for files that cannot be used (`real` says why)."""
    try:
        return load(folder)
    except (AssayError, InvalidAnswers):
        return None, None, None


def accuracy(result: Choice, truth: Any) -> float | None:
    """Share of right labels among tasks with a truth."""
    judged = truth != -1
    return float(np.mean(result.labels[judged] == truth[judged])) if judged.any() else None


def real(folder: Path, peers: Path | None, wanted: list[str], say: Callable[[str], None]) -> dict[str, Any]:
    """Every method on every set; a set or method that fails says why."""
    sets: dict[str, Any] = {}
    for path in sorted(p.parent for p in folder.glob("*/labels.csv")):
        try:
            kind, answers, truth = load(path)
        except (AssayError, InvalidAnswers) as error:
            sets[path.name] = {"kind": None, "error": str(error), "methods": {}}
            say(f"{path.name:<14} {error}")
            continue
        tasks = answers.n_tasks if kind in ("choice", "number") else len({row[0] for row in answers})
        names = PAIRWISE_METHODS if kind == "pairwise" else NAMES[kind]
        rows = {name: method_row(kind, name, answers, truth) for name in names}
        if peers and kind == "choice":
            for row in peer(peers, path, *wanted):
                rows["crowd-kit " + row.pop("method")] = row
        sets[path.name] = {"kind": kind, "tasks": tasks, "answers": len(answers), "methods": rows}
        for name, row in rows.items():
            what, score = next(
                ((key, row[key]) for key in reversed(MEASURES) if row.get(key) is not None), ("accuracy", None)
            )
            shown = row.get("error") or (f"{score:.4f}" if score is not None else "-")
            say(f"{path.name:<14} {name:<28}{shown:>10}{row.get('seconds', 0):>9.3f} s{row.get('peak_mb', 0):>8.1f} MB"
                f"{'' if what == 'accuracy' else '  ' + what}")  # fmt: skip
    return sets


def method_row(kind: str, name: str, answers: Any, truth: Any) -> dict[str, Any]:
    """One method on one set: its measure (None without a truth), seconds and megabytes."""
    try:
        if kind == "number":
            result, seconds, peak = timed(partial(resolve_numbers, name, answers))
            judged = ~np.isnan(truth) & ~np.isnan(result.values)
            mae = float(np.mean(np.abs(result.values[judged] - truth[judged]))) if judged.any() else None
            return {"mae": mae, "seconds": seconds, "peak_mb": peak}
        if kind == "choice":
            result, seconds, peak = timed(partial(resolve, name, answers))
            row: dict[str, Any] = {"accuracy": accuracy(result, truth), "seconds": seconds, "peak_mb": peak}
            if (truth != -1).any():
                row["ece"] = expected_calibration_error(result, truth)
                row["brier"] = brier(result, truth)
            return row
        outcome, _, peak = timed(partial(resolve_rows, kind, answers, {}, name), runs=1)
        judged = {task: label for task, label in truth.items() if outcome.labels.get(task) is not None}
        found = measure(kind, outcome, judged) if judged else {"accuracy": None}
        return {**found, "seconds": outcome.seconds, "peak_mb": peak}
    except (AssayError, InvalidAnswers) as error:
        return {"error": str(error)}


def mean_accuracy(sets: Mapping[str, Any]) -> dict[str, float]:
    """Mean accuracy over the choice sets of each method that has one on all of them."""
    choice = [one["methods"] for one in sets.values() if one["kind"] == "choice"]
    names = set.intersection(*(set(methods) for methods in choice)) if choice else set()
    found = {}
    for name in sorted(names):
        values = [methods[name].get("accuracy") for methods in choice]
        known = [value for value in values if value is not None]
        if known and (len(known) == len(values) or not name.startswith("crowd-kit")):
            found[name] = sum(known) / len(known)
    return found


def peer(python: Path, folder: Path, *methods: str) -> list[dict[str, Any]]:
    """crowd-kit's rows for one folder."""
    runner = ROOT / "benchmarks" / "peers" / "crowdkit_runner.py"
    done = subprocess.run([python, runner, folder, *methods], capture_output=True, text=True, timeout=3600, check=False)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def make_peers(folder: Path) -> Path:
    """An environment with crowd-kit; made once."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "crowd-kit==1.4.2", "scikit-learn<1.6"], check=True)
    return python


def synthetic(n: int, *, classes: int = 4, overlap: int = 5, workers: int = 2000, seed: int = 0) -> tuple[Answers, Any]:
    """n shuffled answers of one-coin workers with Beta(8, 2) skills."""
    draw = np.random.default_rng(seed)
    tasks = max(n // overlap, 1)
    truth = draw.integers(classes, size=tasks, dtype=np.int32)
    task = np.repeat(np.arange(tasks, dtype=np.int32), overlap)
    task = task[draw.permutation(task.size)]
    worker = draw.integers(workers, size=task.size, dtype=np.int32)
    right = draw.random(task.size, dtype=np.float32) < draw.beta(8, 2, workers).astype(np.float32)[worker]
    other = (truth[task] + draw.integers(1, classes, size=task.size, dtype=np.int32)) % classes
    return Answers(task, worker, np.where(right, truth[task], other), tasks, workers, classes), truth


def scale(sizes: list[int], peers: Path | None, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Seconds from integer codes and extra memory."""
    rows = []
    for n in sizes:
        answers, truth = synthetic(n)
        methods = (*SCALE_METHODS, "auto") if n <= 1_000_000 else SCALE_METHODS
        for name in methods:
            runs = 1 if name == "auto" else 3
            result, seconds, peak = timed(partial(resolve, name, answers), runs=runs)
            row = {
                "answers": n,
                "method": name,
                "seconds": seconds,
                "peak_mb": peak,
                "accuracy": accuracy(result, truth),
            }
            rows.append(row)
            say(f"{n:>11,} {name:<28}{seconds:>9.3f} s{peak:>9.1f} MB{row['accuracy']:>9.4f}")
        if peers and n <= 1_000_000:
            with tempfile.TemporaryDirectory() as folder:
                table = np.column_stack([answers.task, answers.worker, answers.label])
                np.savetxt(
                    Path(folder) / "labels.csv", table, "%d", delimiter=",", header="task,worker,label", comments=""
                )
                known = np.column_stack([np.arange(truth.size), truth])
                np.savetxt(Path(folder) / "truth.csv", known, "%d", delimiter=",", header="task,label", comments="")
                for one in peer(peers, Path(folder), "MajorityVote", "Wawa", "DawidSkene"):
                    rows.append({"answers": n, **one, "method": "crowd-kit " + one["method"]})
                    say(f"{n:>11,} {rows[-1]['method']:<28}{one.get('seconds', 0):>9.3f} s")
    return rows


def attacks(seeds: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Accuracy of the worst and the mean seed, colluders flagged (least) and honest flagged (most)."""
    rows = []
    for share in (0.1, 0.2, 0.3, 0.4):
        for strategy in STRATEGIES:
            found: dict[str, list[float]] = {"accuracy": [], "majority": [], "recall": [], "false": []}
            for seed in range(seeds):
                crowd = make_crowd({strategy: share}, seed=seed)
                result = resolve("auto", crowd.answers, seed=seed)
                found["accuracy"].append(float(np.mean(result.labels == crowd.truth)))
                found["majority"].append(float(np.mean(resolve("majority", crowd.answers).labels == crowd.truth)))
                if crowd.colluder.any():
                    found["recall"].append(float(result.flagged[crowd.colluder].mean()))
                found["false"].append(float(result.flagged[~crowd.attacker].mean()))
            row = {
                "strategy": strategy,
                "share": share,
                "accuracy_worst": min(found["accuracy"]),
                "accuracy_mean": statistics.mean(found["accuracy"]),
                "majority_worst": min(found["majority"]),
                "colluders_flagged_least": min(found["recall"], default=None),
                "honest_flagged_most": max(found["false"]),
            }
            rows.append(row)
            say(f"{share:>5.0%} {strategy:<14} worst {row['accuracy_worst']:.4f} mean {row['accuracy_mean']:.4f} "
                f"majority {row['majority_worst']:.4f} flagged {row['colluders_flagged_least']} "
                f"honest flagged {row['honest_flagged_most']:.3f}")  # fmt: skip
    return rows


def crowds(folder: Path, draws: int) -> Iterator[Case]:
    """Made-up crowds of every family, and parts of the real ones."""
    yield from made_up(draws)
    for path in sorted(p.parent for p in folder.glob("*/labels.csv")):
        kind, answers, truth = usable(path)
        if kind == "choice" and (truth != -1).any():
            yield from parts(path.name, answers, truth, max(draws // 3, 1))


def overlap(folder: Path, seeds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Accuracy of fixed against growing overlap at equal cost, on answers that were really given."""
    found: dict[str, Any] = {}
    for path in sorted(p.parent for p in folder.glob("*/labels.csv")):
        kind, answers, truth = usable(path)
        if kind != "choice" or not (truth != -1).any():
            continue
        rows = []
        for cost in (3, 4, 5, 7):
            if cost >= len(answers) / answers.n_tasks:
                continue
            fixed: list[float] = []
            grown: list[float] = []
            spent: list[float] = []
            for seed in range(seeds):
                order = np.random.default_rng(seed).permutation(len(answers))
                fixed.append(accuracy(fixed_overlap(answers, order, per_task=cost), truth) or 0.0)
                result, used = grow_overlap(answers, order, per_task=cost)
                grown.append(accuracy(result, truth) or 0.0)
                spent.append(used / answers.n_tasks)
            row = {"answers_per_task": cost, "spent": statistics.mean(spent),
                   "fixed": statistics.mean(fixed), "growing": statistics.mean(grown)}  # fmt: skip
            rows.append(row)
            text = f"fixed {row['fixed']:.4f} growing {row['growing']:.4f} ({row['spent']:.2f} spent)"
            say(f"{path.name:<14} {cost} a task: {text}")
        found[path.name] = {"engine": rows, "market": market_overlap(path.name, answers, truth, min(seeds, 3), say)}
    return found


def market_overlap(
    name: str, answers: Answers, truth: Any, seeds: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The same of the market's own rule: one answer more at a time, while a task's confidence is below its target."""
    rows = []
    if len(answers) / answers.n_tasks > MARKET_OVERLAP + 1:
        for method, target in MARKET_TARGETS.items():
            one = compare(
                answers, truth, method=method, overlap=MARKET_OVERLAP, more=(MARKET_MOST, target), seeds=seeds
            )
            rows.append({"method": method, "confidence_bps": target, **asdict(one)})
            text = f"fixed {one.fixed:.4f} growing {one.growing:.4f} ({one.answers_per_task:.2f} a task)"
            say(f"{name:<14} market, {method} from {MARKET_OVERLAP} to {MARKET_MOST} below {target / 100:g} %: {text}")
    return rows


def online(say: Callable[[str], None]) -> dict[str, Any]:
    """Time of one new vote in a market of 100,000 answers."""
    answers, truth = synthetic(100_000)
    answers = answers.without_repeats()
    live = Online(answers.n_classes)
    seconds = []
    for task, worker, label in zip(answers.task.tolist(), answers.worker.tolist(), answers.label.tolist(), strict=True):
        start = time.perf_counter()
        live.add(task, worker, label)
        seconds.append(time.perf_counter() - start)
    result = {
        "votes": len(answers),
        "p50_ms": float(np.percentile(seconds, 50)) * 1e3,
        "p99_ms": float(np.percentile(seconds, 99)) * 1e3,
        "accuracy_online": float(np.mean([live.label(task) == truth[task] for task in range(answers.n_tasks)])),
    }
    say(
        f"one vote: p50 {result['p50_ms']:.4f} ms, p99 {result['p99_ms']:.4f} ms; right {result['accuracy_online']:.4f}"
    )
    return result


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(float(one)) for one in text.split(",")]
    except (ValueError, OverflowError):
        sizes = [0]
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"is {text!r}; numbers of answers such as 1000000,10000000")
    return sizes


def main() -> None:
    """Run the parts asked for."""
    parse = argparse.ArgumentParser(
        prog="assay bench consensus", description="Measure consensus on real answers, at scale and under attack."
    )
    data = "a folder of folders with labels.csv (task,worker,label) and, for accuracy, truth.csv (task,label)"
    parse.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help=f"{data}; then `real` alone")
    parse.add_argument("--peers", default=None, help="Python with crowd-kit 1.4.2, or 'make'")
    parse.add_argument("--peer-methods", default=None, help="some of crowd-kit's, such as DawidSkene,Wawa; default six")
    parse.add_argument("--only", default=None, help=f"some of {','.join(PARTS)}")
    parse.add_argument("--seeds", type=int, default=10, help="attacks, draws of `robust`; overlap: 5 at most")
    parse.add_argument("--answers", type=_sizes, default="1000000", help="sizes for `scale`, such as 1000000,10000000")
    parse.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object; progress on stderr")
    options = parse.parse_args()
    chosen = (
        options.only.split(",")
        if options.only
        else (["real"] if options.data != parse.get_default("data") else list(PARTS))
    )
    unknown = set(chosen) - set(PARTS)
    if unknown:
        parse.error(f"--only knows {','.join(PARTS)}, not {','.join(sorted(unknown))}")
    peers = None
    wanted = options.peer_methods.split(",") if options.peer_methods else []
    if options.peers:
        peers = make_peers(ROOT / ".peers") if options.peers == "make" else Path(options.peers)

    def say(line: str) -> None:
        print(line, file=sys.stderr if options.as_json else sys.stdout, flush=True)

    report: dict[str, Any] = {}
    given = options.data != parse.get_default("data")
    if given and not any(options.data.glob("*/labels.csv")):
        parse.error(f"--data: {options.data} holds no folder with labels.csv (columns task,worker,label)")
    if {"real", "overlap"} & set(chosen) and not any(options.data.glob("*/labels.csv")):
        say(f"skipped real answers: {options.data} holds no folder with labels.csv")
        chosen = [part for part in chosen if part not in ("real", "overlap")]
    if "real" in chosen:
        report["sets"] = real(options.data, peers, wanted, say)
        report["mean_accuracy"] = mean_accuracy(report["sets"])
        for name, value in sorted(report["mean_accuracy"].items(), key=lambda item: -item[1]):
            say(f"mean          {name:<28}{value:>10.4f}")
    if "robust" in chosen:
        report["robust"] = robust.run(crowds(options.data, options.seeds), say)
    if "scale" in chosen:
        report["scale"] = scale(options.answers, peers, say)
    if "attacks" in chosen:
        report["attacks"] = attacks(options.seeds, say)
    if "overlap" in chosen:
        report["overlap"] = overlap(options.data, min(options.seeds, 5), say)
    if "online" in chosen:
        report["online"] = online(say)
    if options.as_json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
