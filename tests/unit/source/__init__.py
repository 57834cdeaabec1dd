"""Unit tests of cvstate_operator.source."""
