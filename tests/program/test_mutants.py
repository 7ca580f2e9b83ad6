"""The mutants still fit the sources (always), and are all found (ASSAY_MUTANTS=1: builds each, about a minute each)."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants", Path(__file__).parent / "mutants" / "mutants.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


MUTANTS = load()


@pytest.mark.parametrize("mutant", MUTANTS.MUTANTS, ids=lambda mutant: mutant.name)
def test_fits_the_sources(mutant: object) -> None:
    assert MUTANTS.source(mutant)


@pytest.mark.skipif(os.environ.get("ASSAY_MUTANTS") != "1", reason="builds the program many times: set ASSAY_MUTANTS=1")
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("mutant", MUTANTS.MUTANTS, ids=lambda mutant: mutant.name)
def test_is_found(mutant: object, tmp_path: Path) -> None:
    assert MUTANTS.find(MUTANTS.build(mutant, tmp_path), 6_000) is not None
