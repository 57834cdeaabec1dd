"""The library of rules for custom resources.

Aspects: objects as their controllers write them, in each state · every rule has such objects · expressions can be read, and are cheap · nothing that
may stand in a status makes one fail or look well · nothing is loaded for kinds without a rule · the page in docs/ is what the code says.
"""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cvstate_operator.objects.identity import GroupKind, Gvk
from cvstate_operator.vital.health import custom_health
from cvstate_operator.vital.health.library.catalog import ENTRIES, LIBRARY, table
from cvstate_operator.vital.health.library.entry import Entry
from cvstate_operator.vital.health.readiness import RULES, readiness
from cvstate_operator.vital.health.state import Reason, Status
from cvstate_operator.vital.language import expression_cost

HERE = Path(__file__).parent
PAGE = Path(__file__).parents[4] / "docs" / "health.md"
SPARE = 20
"""How many times an object may grow over a large one (20,000 characters, lists of 50) before an expression is refused for its cost."""


def load() -> list[dict[str, Any]]:
    return [case for path in sorted((HERE / "library").glob("*.yaml")) for case in yaml.safe_load(path.read_text())]


CASES = load()


def kind_of(obj: dict[str, Any]) -> GroupKind:
    return Gvk.parse(obj["apiVersion"], obj["kind"]).group_kind


STATES: dict[GroupKind, set[str]] = defaultdict(set)
REASONS: dict[GroupKind, set[str]] = defaultdict(set)
for each in CASES:
    STATES[kind_of(each["object"])].add(each["status"])
    REASONS[kind_of(each["object"])].add(each.get("reason", ""))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"].replace(" ", "-"))
def test_an_object_is_judged_as_its_controller_means_it(case: dict[str, Any]) -> None:
    found = readiness(case["object"])
    assert found.status == case["status"], found.message
    assert found.reason == case.get("reason", found.reason)
    assert str(case.get("told", "")) in found.message
    assert found.message
    assert found.message.isprintable()


def test_objects_have_names_of_their_own_and_nothing_that_is_not_read() -> None:
    names = [case["name"] for case in CASES]
    assert sorted(set(names)) == sorted(names)
    assert all(case.keys() <= {"name", "status", "reason", "told", "object"} for case in CASES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry.rule.group_kind))
def test_every_kind_has_objects_in_each_of_its_states(entry: Entry) -> None:
    found = STATES[entry.rule.group_kind]
    assert Status.CURRENT in found
    assert found & {Status.IN_PROGRESS, Status.FAILED}
    assert (Status.FAILED in found) >= bool(entry.rule.failed)
    assert bool(entry.rule.failed) == bool(entry.failed_when)
    assert (Reason.WAITS in REASONS[entry.rule.group_kind]) == bool(entry.rule.waits)


def test_the_page_names_every_kind_that_waits_on_purpose() -> None:
    told = PAGE.read_text().partition("## What waits on purpose")[2].partition("\n## ")[0]
    for entry in ENTRIES:
        assert (f"| `{entry.rule.group_kind.kind}` · {entry.rule.group_kind.group} |" in told) == bool(entry.rule.waits)


def test_every_object_is_of_a_kind_of_the_library() -> None:
    assert STATES.keys() <= LIBRARY.keys()
    assert len(LIBRARY) == len(ENTRIES) >= 55
    assert not LIBRARY.keys() & RULES.keys()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry.rule.group_kind))
def test_every_expression_can_be_read_and_is_far_from_the_bound_in_cost(entry: Entry) -> None:
    custom_health.check(entry.rule)
    for text in (entry.rule.current, entry.rule.failed, entry.rule.suspended, entry.rule.waits):
        shape = expression_cost.shape(text)
        assert expression_cost.work(shape, expression_cost.Size(20_000 * SPARE, 50)) <= expression_cost.MOST_WORK


SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3) | st.sampled_from(["True", "False", "Ready", "Healthy", "failed"])
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["phase", "state", "conditions", "type", "status", "health"]), inner, max_size=3), max_leaves=6)  # fmt: skip


@settings(max_examples=300)
@given(st.sampled_from(CASES), st.data())
def test_a_field_of_any_other_type_is_never_an_error(case: dict[str, Any], data: st.DataObject) -> None:
    status = dict(case["object"].get("status") or {})
    if status:
        status[data.draw(st.sampled_from(sorted(status)))] = data.draw(JSON)
    found = readiness({**case["object"], "status": status, "spec": data.draw(JSON)})
    assert found.status in set(Status)
    assert found.message.isprintable()


CURRENT_WITHOUT_STATUS = {
    GroupKind("argoproj.io", "CronWorkflow"),  # has none until it first runs
    *(
        GroupKind("networking.istio.io", kind) for kind in ("VirtualService", "Gateway", "DestinationRule", "ServiceEntry")
    ),  # off by default
}


@pytest.mark.parametrize("status", [None, {}, {"conditions": []}], ids=str)
@pytest.mark.parametrize("kind", LIBRARY, ids=str)
def test_an_object_that_says_nothing_is_not_ready(kind: GroupKind, status: Any) -> None:
    obj = {"apiVersion": f"{kind.group}/v1", "kind": kind.kind, "metadata": {"name": "a", "generation": 1}, "spec": {}, "status": status}
    found = readiness(obj)
    assert found.status is (Status.CURRENT if kind in CURRENT_WITHOUT_STATUS else Status.IN_PROGRESS), found.message


@pytest.mark.parametrize("kind", LIBRARY, ids=str)
def test_a_status_full_of_numbers_is_not_ready(kind: GroupKind) -> None:
    status = dict.fromkeys(("phase", "state", "health", "conditions", "parents", "ingress", "instances", "byPod", "validationMessages"), 7)
    found = readiness({"apiVersion": f"{kind.group}/v1", "kind": kind.kind, "metadata": {"name": "a", "generation": 1}, "status": status})
    assert found.status is Status.UNKNOWN
    assert found.reason is Reason.MALFORMED


def test_the_evaluator_is_loaded_with_the_first_object_that_needs_it() -> None:
    program = """
import sys
from cvstate_operator.vital.health.readiness import readiness
readiness({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
readiness({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}})
readiness({"apiVersion": "example.io/v1", "kind": "Widget", "metadata": {"name": "a"}, "status": {"phase": "x"}})
assert "cel_expr_python" not in sys.modules
readiness({"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "a"}})
assert "cel_expr_python" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_page_has_the_table_of_the_library() -> None:
    assert table() in PAGE.read_text(), "write what catalog.table() gives into docs/health.md"
    assert f"Rules for {len(ENTRIES)} kinds" in PAGE.read_text()


@pytest.mark.parametrize("word", [*Reason, *Status], ids=str)
def test_the_page_explains_every_word(word: Reason | Status) -> None:
    assert f"| `{word}` |" in PAGE.read_text()
