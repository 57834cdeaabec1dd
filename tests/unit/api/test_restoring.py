"""The mark of a ClusterState that is being restored.

Aspects: by its presence, whatever its value · bodies that say little.
"""

from typing import Any

import pytest

from cvstate_operator.api import restoring


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"metadata": {"annotations": {restoring.MARK: "true"}}}, True, id="marked"),
        pytest.param({"metadata": {"annotations": {restoring.MARK: ""}}}, True, id="marked without a value"),
        pytest.param({"metadata": {"annotations": {"other": "x"}}}, False, id="other annotations"),
        pytest.param({"metadata": {"annotations": None}}, False, id="no annotations"),
        pytest.param({}, False, id="no metadata"),
    ],
)
def test_the_mark_counts_by_its_presence(body: Any, expected: bool) -> None:
    assert restoring.is_marked(body) is expected
