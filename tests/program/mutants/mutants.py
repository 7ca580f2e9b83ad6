"""Ways to break the program, one missing check each. Every one must be found by the stateful test.

    python tests/program/mutants/mutants.py [--steps 6000] [--folder DIR] [name ...]

For each mutant: a copy of the sources with one text replaced is built, and `test_stateful.py` is run against that
build; it must fail. Needs the toolchain of `programs/toolchain` and about a minute each.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ROOT / "programs" / "assay" / "src"


@dataclass(frozen=True)
class Mutant:
    """`old` stands exactly once in `file`; `new` takes its place."""

    name: str
    file: str
    old: str
    new: str
    breaks: str


MUTANTS = (
    Mutant(
        "replay",
        "instructions/settle_batch.rs",
        "require!(batch.number == request.next_batch, AssayError::WrongBatch);",
        "",
        "a batch can be settled twice",
    ),
    Mutant(
        "quorum",
        "instructions/settle_batch.rs",
        "require!(signers.len() as u32 >= request.quorum(), AssayError::NoQuorum);",
        "",
        "one signature settles",
    ),
    Mutant(
        "outsider",
        "instructions/settle_batch.rs",
        "require!(panel.contains(key), AssayError::NotOnPanel);",
        "",
        "anybody co-signs",
    ),
    Mutant(
        "twice",
        "instructions/settle_batch.rs",
        "require!(!signers.contains(key), AssayError::DuplicateSigner);",
        "",
        "one member signs as two",
    ),
    Mutant(
        "unpaid",
        "instructions/settle_batch.rs",
        "tally.good as u64 - tally.units as u64",
        "tally.good as u64",
        "right answers that are not to be paid are paid",
    ),
    Mutant(
        "review_unpaid",
        "instructions/settle_batch.rs",
        "let most = if request.mode == AGREEMENT { tally.good as u32 } else { 0 };",
        "let most = tally.good as u32;",
        "by review, too, right answers stay unpaid",
    ),
    Mutant(
        "lapse",
        "instructions/end_dispute.rs",
        "require!(last || now.market >= dispute.lapses_at(params.dispute_round()), AssayError::DisputeInOffice);",
        "let _ = last;",
        "a dispute can be ended before its panel has decided",
    ),
    Mutant(
        "window",
        "state/participant.rs",
        "require!(wall >= self.unstake_at, AssayError::StillUnstaking);",
        "",
        "stake leaves at once",
    ),
    Mutant(
        "minimum",
        "instructions/request_unstake.rs",
        "require!(participant.stake == 0 || participant.stake >= minimum, AssayError::BelowMinimumStake);",
        "",
        "a validator keeps less than the minimum",
    ),
    Mutant(
        "owed",
        "instructions/claim_owed.rs",
        "accounts.participant.owed[index] = 0;",
        "",
        "owed money can be claimed again",
    ),
    Mutant(
        "reserve",
        "state/request.rs",
        ".checked_add(self.reserved_total())",
        ".checked_add(0)",
        "a close pays out what a dispute may need",
    ),
    Mutant(
        "outlier",
        "instructions/slash_outlier.rs",
        "require!(outlier, AssayError::NotAnOutlier);",
        "",
        "anybody can be slashed",
    ),
    Mutant(
        "strikes",
        "state/participant.rs",
        "        self.judgements = 0;\n        self.strikes = 0;\n",
        "",
        "one conviction is paid for again and again",
    ),
    Mutant(
        "open",
        "instructions/close_request.rs",
        "require!(done || over || request.state == CLOSED, AssayError::StillOpen);",
        "",
        "a buyer takes the escrow back from under the workers",
    ),
    Mutant(
        "deadline",
        "instructions/expire_request.rs",
        "require!(now.market >= request.deadline, AssayError::NotExpired);",
        "",
        "a stranger ends a request",
    ),
    Mutant(
        "late",
        "instructions/open_dispute.rs",
        "require!(!late, AssayError::DisputeWindowOver);",
        "",
        "disputes without end, whose reserve is gone",
    ),
    Mutant(
        "pause",
        "instructions/post_request.rs",
        "market.require_running()?;",
        "",
        "a paused market takes new work",
    ),
)


def source(mutant: Mutant) -> str:
    """The file with the mutant's change. Raises ValueError when its text is not there exactly once."""
    text = (SOURCES / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.name}: {mutant.old!r} stands {text.count(mutant.old)} times in {mutant.file}, not once"
        )
    return text.replace(mutant.old, mutant.new)


def build(mutant: Mutant, folder: Path) -> Path:
    """Builds the mutant and returns its ``.so``."""
    shutil.rmtree(folder / "programs", ignore_errors=True)
    shutil.copytree(ROOT / "programs", folder / "programs")
    for name in ("Cargo.toml", "Cargo.lock"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "programs" / "assay" / "src" / mutant.file).write_text(source(mutant))
    so = folder / f"{mutant.name}.so"
    environment = {**os.environ, "ASSAY_SO": str(so), "CARGO_TARGET_DIR": str(folder / "target")}
    script = folder / "programs" / "toolchain" / "build.sh"
    run = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"{mutant.name} does not build:\n{run.stderr[-4000:]}")
    return so


def find(so: Path, steps: int) -> str | None:
    """What the stateful test says of a build; None when it finds nothing."""
    environment = {**os.environ, "ASSAY_TEST_SO": str(so), "ASSAY_STATEFUL_STEPS": str(steps)}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "tests/program/test_stateful.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode == 0:
        return None
    found = re.findall(r"^E\s+(?:AssertionError: )?(\S.*)$", run.stdout, re.MULTILINE)
    return found[0][:90] if found else run.stdout[-300:]


def main() -> int:
    """Builds and tests the mutants named, or all; 1 when one was not found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help="mutants to try (default: all)")
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--folder", type=Path, help="where to build; kept, so that the next run builds faster")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not arguments.names or mutant.name in arguments.names]
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for mutant in chosen:
            begun = time.monotonic()
            found = find(build(mutant, folder), arguments.steps)
            missed += found is None
            verdict = f"found: {found}" if found else "NOT FOUND"
            print(f"{mutant.name:10} {mutant.breaks:55} {verdict} ({time.monotonic() - begun:.0f} s)", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} mutants found")
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
