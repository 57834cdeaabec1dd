"""Unit tests of cvstate_operator.api."""
