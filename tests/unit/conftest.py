"""Hypothesis for unit tests: the same examples in every run, and no files left behind."""

from hypothesis import settings

settings.register_profile("unit", deadline=None, derandomize=True, database=None, max_examples=100)
settings.load_profile("unit")
