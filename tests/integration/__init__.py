"""Tests against the real API server of tests/cluster, and a real Git server."""
