"""Consensus of a crowd's answers: pure, numpy only, one method a module.

answers, codes = encode([("t1", "ann", "cat"), ("t1", "bob", "dog"), ("t1", "cid", "cat")])
result = resolve("majority", answers, seed=0)
codes.classes[result.labels[0]]     # 'cat'
"""

from __future__ import annotations

from .answers import Answers, Choice, Codes, InvalidAnswers, encode
from .majority import Majority
from .registry import METHODS, Method, fitted, resolve
from .weighted import WeightedMajority

__all__ = [
    "METHODS",
    "Answers",
    "Choice",
    "Codes",
    "InvalidAnswers",
    "Majority",
    "Method",
    "WeightedMajority",
    "encode",
    "fitted",
    "resolve",
]
