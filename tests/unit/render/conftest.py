"""Children that render, each test with its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cvstate_operator.isolation.child import Children
from cvstate_operator.render.renderer import TASK


@pytest.fixture
async def children(tmp_path: Path) -> AsyncIterator[Children]:
    running = Children(tmp_path / "scratch", preload=(TASK,))
    yield running
    await running.close()
