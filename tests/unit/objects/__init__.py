"""Unit tests of cvstate_operator.objects."""
