"""The consensus-check worker: votes on answers, recomputes every verdict, co-signs only what it finds right."""

from __future__ import annotations
