"""Unit tests of cvstate_operator.render."""
