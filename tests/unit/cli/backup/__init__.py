"""Unit tests of cvstate_operator.cli.backup."""
