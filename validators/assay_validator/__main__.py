"""`python -m assay_validator`."""

from __future__ import annotations

from assay_validator.cli import main

main()
