"""Unit tests of cvstate_operator.kube."""
