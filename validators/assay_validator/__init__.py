"""The consensus-check worker."""
