"""The demo as its user runs it: real processes, one JSON object."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from support.demo import assay, check_books

pytest.importorskip("sklearn", reason="the demo needs scikit-learn")

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def test_digits_then_replay_then_a_second_run_on_the_same_home(tmp_path: Path) -> None:
    home = ["--home", str(tmp_path / "home")]
    result = assay("demo", *home, "--records", "40")
    assert result["records"] == 40
    assert result["answers_accepted"] + result["answers_rejected"] == 200
    assert result["answers_rejected"] > 0, "a crowd that makes real mistakes"
    assert result["accuracy"] > result["accuracy_average_labeler"]
    agreement = result["agreement"]
    assert (agreement["raters"], agreement["level"], agreement["ratings"]) == ("labelers", "nominal", 200)
    assert 0 < agreement["krippendorff_alpha"] < agreement["observed_agreement"] < 1
    assert agreement["fleiss_kappa"] == pytest.approx(agreement["krippendorff_alpha"], abs=0.02)
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p95"] <= result["latency_ms"]["p99"]
    assert result["transactions"] >= 1
    assert result["compute_units_per_record"] > 0
    check_books(result)

    audit = assay("replay", *home)
    assert audit["ok"] is True
    assert audit["records"] == 40

    again = assay("demo", *home, "--records", "10")
    assert again["records"] == 10
    check_books(again)
    assert assay("replay", *home)["records"] == 50


def test_the_reference_example_comes_out_exactly(tmp_path: Path) -> None:
    result = assay("demo", "--example", "--home", str(tmp_path / "home"))
    assert (result["locked"], result["paid_contributors"], result["paid_validators"]) == ("500", "50", "2")
    assert result["refundable"] == "448"
    assert result["records"] == 50
    assert (result["agreement"]["raters"], result["agreement"]["ratings"]) == ("validators", 150)
    assert result["agreement"]["observed_agreement"] > 0.9
    check_books(result)
    assert assay("replay", "--home", str(tmp_path / "home"))["votes"] == 150


def test_a_crowds_answers_are_replayed_each_by_its_worker(tmp_path: Path) -> None:
    """Overlaps that differ, repeated rows, a truth that covers a part."""
    answers, truth = tmp_path / "labels.csv", tmp_path / "truth.csv"
    rows = [("t1", "ann", "yes"), ("t1", "bob", "yes"), ("t1", "cy", "no"), ("t2", "ann", "no"), ("t2", "bob", "no")]
    rows += [("t3", "cy", "yes"), ("t1", "ann", "no")]
    with answers.open("w", newline="") as handle:
        csv.writer(handle).writerows([("task", "worker", "label"), *rows])
    truth.write_text("task,label\nt1,yes\nt3,no\n")
    home = ["--home", str(tmp_path / "home")]
    result = assay("demo", "--answers", str(answers), "--truth", str(truth), *home)
    assert result["records"] == 3
    assert (result["answers_accepted"], result["answers_rejected"]) == (5, 1)
    assert result["accuracy"] == 0.5
    assert {one["name"]: (one["answers"], one["accepted"]) for one in result["labelers"]} == {
        "ann": (2, 2), "bob": (2, 2), "cy": (2, 1),
    }  # fmt: skip
    check_books(result)


def test_a_crowds_answers_are_asked_for_where_they_help(tmp_path: Path) -> None:
    """Two answers to what is sure, all to what stays in doubt; what then has too few is settled at the close."""
    answers = tmp_path / "labels.csv"
    said = {"sure": "aaaaa", "split": "abcde", "short": "ab"}
    rows = [(task, f"w{i}", label) for task, labels in said.items() for i, label in enumerate(labels)]
    with answers.open("w", newline="") as handle:
        csv.writer(handle).writerows([("task", "worker", "label"), *rows])
    home = ["--home", str(tmp_path / "home")]
    result = assay("demo", "--answers", str(answers), "--overlap", "2", "--more", "5:10000", *home)
    assert result["records"] == 3
    assert (result["answers_accepted"], result["answers_rejected"]) == (2 + 1 + 1, 0 + 4 + 1)
    check_books(result)
    audit = assay("replay", *home)
    assert audit["ok"] is True
    assert audit["answers"] == 9


def test_a_worker_who_is_always_wrong_is_slashed_and_every_unit_is_accounted_for(tmp_path: Path) -> None:
    answers = tmp_path / "labels.csv"
    rows = [(f"t{task}", f"w{i}", "right" if i else "wrong") for task in range(40) for i in range(4)]
    with answers.open("w", newline="") as handle:
        csv.writer(handle).writerows([("task", "worker", "label"), *rows])
    home = ["--home", str(tmp_path / "home")]
    result = assay("demo", "--answers", str(answers), *home)
    assert (result["answers_accepted"], result["answers_rejected"]) == (120, 40)
    check_books(result)
    audit = assay("replay", *home)
    assert audit["ok"] is True
    assert audit["slashes"] <= 2  # the keeper may have been stopped before it came to it
    again = assay("demo", "--answers", str(answers), *home)
    check_books(again)
    assert assay("replay", *home)["slashes"] >= 1


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data beside the checkout")
def test_a_real_crowd(tmp_path: Path) -> None:
    """108 tasks, each answered by all of 39 workers: the largest overlap of the real sets."""
    folder = DATA / "bluebird"
    files = ["--answers", str(folder / "labels.csv"), "--truth", str(folder / "truth.csv")]
    result = assay("demo", *files, "--home", str(tmp_path / "home"))
    assert result["records"] == 108
    assert result["answers_accepted"] + result["answers_rejected"] == 4212
    assert result["accuracy"] == pytest.approx(0.759, abs=0.01)
    check_books(result)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--truth", "x.csv"], "--truth"),
        (["--overlap", "7", "--labelers", "5"], "--overlap"),
        (["--answers", "none.csv"], "none.csv"),
        (["--more", "9"], "--more"),
        (["--more", "5:9000"], "--more"),
        (["--more", "9:10001"], "--more"),
        (["--more", "9:9000", "--labelers", "8"], "--more"),
        (["--more", "9:9000", "--example"], "--example"),
    ],
)
def test_bad_options_are_named(arguments: list[str], says: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "assay", "demo", "--home", str(tmp_path / "home"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home" / "pg").exists(), "nothing was begun"


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "assay", "demo", "--home", str(tmp_path / "file" / "home")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1
    assert f"assay: --home: {tmp_path / 'file'}" in done.stderr
    assert "Traceback" not in done.stderr
