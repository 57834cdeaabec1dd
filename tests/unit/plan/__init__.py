"""Unit tests of cvstate_operator.plan."""
