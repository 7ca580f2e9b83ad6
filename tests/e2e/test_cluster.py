"""The demo on a real validator, started as the docs say: the program in its genesis, default slots."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.demo import assay, check_books
from support.validator import solana_validator

from assay.chain.program import ROOT, load_program

pytest.importorskip("sklearn", reason="the demo needs scikit-learn")


@pytest.fixture
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A validator without the program."""
    with solana_validator(tmp_path_factory.mktemp("bare"), []) as url:
        yield url


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A validator with the program, as `docs/deploy.md` starts it."""
    program = ["--bpf-program", str(load_program().id), str(ROOT / "programs" / "assay.so")]
    with solana_validator(tmp_path_factory.mktemp("cluster"), program) as url:
        yield url


@pytest.mark.timeout(400)
def test_the_market_on_a_real_validator(cluster: str, tmp_path: Path) -> None:
    home = ["--home", str(tmp_path / "home"), "--rpc", cluster]
    result = assay("demo", *home, "--records", "24", "--overlap", "3", "--labelers", "6", seconds=300)
    assert result["records"] == 24
    assert result["answers_accepted"] + result["answers_rejected"] == 72
    check_books(result)
    audit = assay("replay", *home)
    assert audit["ok"] is True, audit["finding"]
    assert audit["records"] == 24

    stranger = [sys.executable, "-m", "assay", "demo", "--home", str(tmp_path / "other"), "--rpc", cluster]
    refused = subprocess.run(stranger, capture_output=True, text=True, timeout=100, check=False)
    assert refused.returncode == 1
    assert "--home" in refused.stderr


def test_a_cluster_without_the_program_is_told_what_is_missing(bare: str, tmp_path: Path) -> None:
    for name in ("demo", "up", "serve"):
        command = [sys.executable, "-m", "assay", name, "--home", str(tmp_path / name), "--rpc", bare]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 1
        said = done.stderr.strip().splitlines()[-1]
        assert said.startswith("assay: --rpc: the program ")
        assert "is not deployed" in said
        assert "--bpf-program" in said
        assert "Traceback" not in done.stderr
