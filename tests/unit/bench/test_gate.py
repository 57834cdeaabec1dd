"""When a run counts: each way in which it may not.

Aspects: missing, different, undeclared fields · objects that should be gone · bystanders touched or gone · marks of others lost · how much is told.
"""

import copy
from typing import Any

import pytest

from bench import gate, objects
from bench.gate import FOREIGN_ANNOTATION, MOST_FAULTS, Bystanders

DECLARED = objects.parse(objects.files(60, seed=7).values())
MAP = next(path for path, body in DECLARED.items() if body["kind"] == "ConfigMap")
OTHER = "/api/v1/namespaces/team-0/configmaps/bystander-0"


def bystanders() -> Bystanders:
    return Bystanders(versions={OTHER: "5"}, marked={MAP: "keep"})


@pytest.fixture
def live() -> dict[str, Any]:
    """A cluster that is as it should be."""
    found = copy.deepcopy(DECLARED)
    for body in found.values():
        body["metadata"]["managedFields"] = [{"manager": "tool", "fieldsV1": {"f:metadata": {"f:labels": {"f:owner": {}}}}}]
    found[MAP]["metadata"]["annotations"] = {FOREIGN_ANNOTATION: "keep"}
    found[OTHER] = {"metadata": {"name": "bystander-0", "namespace": "team-0", "resourceVersion": "5"}, "data": {}}
    return found


def test_a_cluster_as_declared_counts(live: dict[str, Any]):
    assert gate.faults(live, DECLARED, bystanders()) == ()


def test_an_object_that_is_not_there_is_a_fault(live: dict[str, Any]):
    del live[list(DECLARED)[-1]]
    assert gate.faults(live, DECLARED, bystanders()) == (f"{list(DECLARED)[-1]}: is not there",)


def test_one_value_that_differs_is_a_fault(live: dict[str, Any]):
    live[MAP]["data"]["setting-00"] = "other"
    assert gate.faults(live, DECLARED, bystanders()) == (f"{MAP}: differs",)


def test_a_field_that_nobody_declared_is_a_fault(live: dict[str, Any]):
    live[MAP]["metadata"]["managedFields"][0]["fieldsV1"]["f:data"] = {"f:more": {}}
    assert gate.faults(live, DECLARED, bystanders()) == (f"{MAP}: f:data/f:more was set and is not declared",)


@pytest.mark.parametrize("manager", ["stranger", "kube-controller-manager"])
def test_fields_of_others_are_no_fault(live: dict[str, Any], manager: str):
    live[MAP]["metadata"]["managedFields"].append({"manager": manager, "fieldsV1": {"f:data": {"f:more": {}}}})
    assert gate.faults(live, DECLARED, bystanders()) == ()


def test_an_object_that_was_to_go_is_a_fault(live: dict[str, Any]):
    declared = {path: body for path, body in DECLARED.items() if path != list(DECLARED)[-1]}
    assert gate.faults(live, declared, bystanders()) == (f"{list(DECLARED)[-1]}: is there, but not declared",)


@pytest.mark.parametrize("touch", [lambda live: live.pop(OTHER), lambda live: live[OTHER]["metadata"].update(resourceVersion="6")])
def test_a_bystander_that_is_touched_or_gone_is_a_fault(live: dict[str, Any], touch: Any):
    touch(live)
    assert gate.faults(live, DECLARED, bystanders()) == (f"{OTHER}: was not declared, and somebody touched it",)


def test_a_mark_of_somebody_else_that_is_lost_is_a_fault(live: dict[str, Any]):
    live[MAP]["metadata"]["annotations"] = {}
    [fault] = gate.faults(live, DECLARED, bystanders())
    assert FOREIGN_ANNOTATION in fault


def test_of_many_faults_a_few_are_named_and_the_rest_counted():
    found = gate.faults({}, DECLARED, Bystanders())
    assert len(found) == MOST_FAULTS + 1
    assert found[-1] == f"and {len(DECLARED) - MOST_FAULTS} more"
