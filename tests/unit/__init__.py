"""Unit tests: pure code and in-process parts; no cluster, no network but loopback, no waiting."""
