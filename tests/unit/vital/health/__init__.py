"""Unit tests of cvstate_operator.vital.health."""
