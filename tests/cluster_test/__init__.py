"""Tests of `tests.cluster`: decisions in milliseconds (unmarked), real clusters under the mark `integration`."""
