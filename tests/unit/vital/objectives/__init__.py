"""Unit tests of cvstate_operator.vital.objectives."""
