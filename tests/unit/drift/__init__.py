"""Unit tests of cvstate_operator.drift."""
