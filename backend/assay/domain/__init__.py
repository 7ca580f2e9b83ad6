"""The market's rules as pure functions: no I/O, no clock, no unseeded randomness.

Settler, validators and auditors run this same code, so a batch that one of them assembles is recomputed bit by bit by
the others.
"""
