"""Unit tests of cvstate_operator.telemetry."""
