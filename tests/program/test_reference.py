"""docs/program.md says what the IDL says."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from world import ROOT, program

CODEC = program().codec


def test_the_tables_are_up_to_date() -> None:
    script = ROOT / "programs" / "toolchain" / "reference.py"
    run = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("name", sorted(CODEC.accounts))
def test_sizes_are_the_codecs(name: str) -> None:
    """A struct with padding would make the table's offsets wrong."""
    found = re.search(rf"### {name} \(([\d,]+) bytes\)", (ROOT / "docs" / "program.md").read_text())
    assert found is not None
    assert int(found[1].replace(",", "")) == CODEC.account_size(name)
