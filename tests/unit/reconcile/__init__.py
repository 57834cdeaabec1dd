"""Unit tests of cvstate_operator.reconcile."""
