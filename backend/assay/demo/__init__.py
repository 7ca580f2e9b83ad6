"""The demonstration: the whole market in real processes on real input."""
