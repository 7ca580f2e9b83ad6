"""Imports point inward: api, cli and worker → services → domain and consensus; adapters know no service."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BACKEND = ROOT / "backend"

PURE = {"domain", "consensus"}
FORBIDDEN = {
    "domain": {"services", "api", "cli", "chain", "db", "storage", "demo", "server", "simulate", "asyncpg", "aiohttp"},
    "consensus": {"services", "api", "cli", "chain", "db", "storage", "demo", "server", "asyncpg", "aiohttp", "pandas"},
    "chain": {"services", "api", "cli", "db", "storage", "demo", "server"},
    "db": {"services", "api", "cli", "demo", "server"},
    "storage": {"services", "api", "cli", "db", "chain", "demo", "server"},
    "media": {"services", "api", "cli", "db", "chain", "demo", "server"},
    "services": {"api", "cli", "demo", "server"},
    "simulate": {"services", "api", "cli", "db", "chain", "demo", "server"},
}
PURE_FORBIDDEN = {"time", "datetime", "random", "secrets", "socket", "asyncio", "os"}


def imported(path: Path) -> set[str]:
    """What a module imports: `services` for `assay.services.x`, else the top-level name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            full = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in full:
            parts = name.split(".")
            names.add(parts[1] if parts[0] == "assay" and len(parts) > 1 else parts[0])
    return names


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_imports_point_inward(package: str) -> None:
    for path in (BACKEND / "assay" / package).rglob("*.py"):
        wrong = imported(path) & (FORBIDDEN[package] | (PURE_FORBIDDEN if package in PURE else set()))
        assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


def test_the_worker_never_touches_the_database() -> None:
    for path in (ROOT / "validators" / "assay_validator").rglob("*.py"):
        wrong = imported(path) & {"db", "services", "api", "server", "asyncpg", "demo"}
        assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


def test_nothing_of_this_project_is_a_secret_of_one_machine() -> None:
    """No absolute path of a developer's machine in what is shipped."""
    for folder in ("backend", "validators", "docs", "scripts"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".sql"}:
                assert "/root/" not in path.read_text(), path
