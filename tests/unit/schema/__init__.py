"""Unit tests of cvstate_operator.schema."""
