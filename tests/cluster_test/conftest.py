"""Programs are built once before any cluster starts, outside of any test's time limit."""

from __future__ import annotations

import pytest

from tests.cluster import builds, programs


@pytest.fixture(scope="session")
def _programs() -> None:
    """Build what the clusters of these tests run; minutes on a machine that never did, nothing afterwards."""
    builds.ensure((*programs.FULL, "kubectl"))
