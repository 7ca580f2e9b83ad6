"""Runs commands of the demo as a user would and reads what they print."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from typing import Any


def assay(*arguments: str, seconds: int = 200) -> dict[str, Any]:
    """`./assay ARGUMENTS --json`; fails the test with what it said on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "assay", *arguments, "--json"],
        capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def check_books(result: dict[str, Any]) -> None:
    """Every token locked is paid, a fee, or the buyer's again; and what people say they got is what was paid."""
    names = ("locked", "paid_contributors", "paid_validators", "fees", "refundable")
    money = {name: Decimal(result[name]) for name in names}
    assert money["locked"] == sum(value for name, value in money.items() if name != "locked")
    assert result["conserved"] is True
    assert sum(Decimal(one["earned"]) for one in result["labelers"]) == money["paid_contributors"]
    assert sum(Decimal(one["earned"]) for one in result["validators"]) == money["paid_validators"]
