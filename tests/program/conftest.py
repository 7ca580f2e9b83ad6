"""The program's tests share a market in a real SVM: `world.py` (clock, tokens), `flows.py` (what people do)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
