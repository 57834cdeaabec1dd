"""Documentation that must not be out of step with the code.

Aspects: every reason has its explanation · every metric its row · the example in the README is the file in examples.
"""

import inspect
import re
from pathlib import Path

import pytest
import yaml

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import parse_spec
from cvstate_operator.api.conditions import Reason
from cvstate_operator.telemetry import reference

ROOT = Path(__file__).parents[2]
REASONS = {
    *(
        kind.reason
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.CvstateError) and not kind.__subclasses__()
    ),
    *(reason.value for reason in Reason if reason is not Reason.APPLY_FAILED),
    *re.findall(
        r'"((?:YAML|Duplicate|RenderToo|EmptyRender|SourceInvalid)\w*)"', "".join(p.read_text() for p in (ROOT / "src").rglob("*.py"))
    ),
}


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_is_explained(reason: str) -> None:
    assert f"`{reason}`" in (ROOT / "docs" / "reasons.md").read_text()


def test_the_metrics_page_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == reference.page()


def test_the_example_of_the_readme_is_the_file_and_a_valid_spec() -> None:
    example = (ROOT / "examples" / "clusterstate.yaml").read_text()
    assert example in (ROOT / "README.md").read_text()
    parse_spec(yaml.safe_load(example)["spec"])
