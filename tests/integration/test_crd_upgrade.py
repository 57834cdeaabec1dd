"""CRDs of another version than the operator: the middle of an upgrade, whichever half comes first.

`previous_crds/` holds the CRDs of the version before (2026-11-22, commit b63883f), as they were installed by people.

Aspects: the CRDs come first, under a running operator · the operator comes first: fields that the CRD does not know are dropped, and nothing runs in circles ·
what was written under the old CRD is still taken under the new one · the operator's memory outlives both.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import install_crd
from tests.integration.test_rollback import healthy, image, web
from tests.support.api import CLUSTER_STATES, Api
from tests.support.objects import config_map, text
from tests.support.waiting import never, until
from tests.support.world import World

pytestmark = pytest.mark.integration

PREVIOUS = sorted((Path(__file__).parent / "previous_crds").glob("*.yaml"))
NEW_FIELD = "progressedAt"
"""A field of the status that the version before had not."""
QUIET_WRITES = 3
"""Status writes of a ClusterState at rest in a few seconds: its first pass after the start, and what it finds out by that."""


def install_previous(api: Api) -> None:
    """Apply the older CRDs, and wait until they are what the API server works with."""
    for file in PREVIOUS:
        crd = yaml.safe_load(file.read_text())
        code, answer = api.apply(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}", crd)
        assert code < 300, answer
    wait_known(api, False)


def wait_known(api: Api, expected: bool) -> None:
    """Wait until the served schema has the new field, or has it not."""

    def is_so() -> bool:
        code, schema = api.request("GET", "/openapi/v3/apis/cvstate.io/v1alpha1")
        return code == 200 and (NEW_FIELD in str(schema)) is expected

    until(f"the new field is {'' if expected else 'not '}served", is_so, seconds=30)


@pytest.fixture
def old(own: World) -> Iterator[World]:
    """A corner of a cluster with the CRDs of the version before."""
    install_previous(own.api)
    yield own
    install_crd(own.api)
    wait_known(own.api, True)


def test_the_previous_version_is_another_one():
    assert not any(NEW_FIELD in file.read_text() for file in PREVIOUS)


def test_crds_that_come_first_change_nothing_for_the_operator_that_runs(old: World):
    old.operator.start()
    good = healthy(old, rollback={"onUnhealthyFor": "2s"})
    bad = old.commit({"a.yaml": web("bad:1")})
    old.wait_failed("RolledBack", mentions=bad)
    before = old.state()
    mark = old.cluster.audit.mark()
    install_crd(old.api)
    wait_known(old.api, True)
    old.request()
    after = old.state()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"] == {**before["spec"], **{key: after["spec"][key] for key in after["spec"].keys() - before["spec"].keys()}}
    assert [entry["outcome"] for entry in after["status"]["history"]] == [entry["outcome"] for entry in before["status"]["history"]]
    assert good in after["status"]["lastGoodRevision"]
    assert bad in after["status"]["quarantined"][0]["revision"]
    assert old.writes(mark) == []
    assert old.operator.is_running
    old.commit({"a.yaml": web("better:1")})
    until("it goes on", lambda: image(old) == "better:1")


def test_what_was_written_under_the_old_crd_is_taken_under_the_new_one(old: World):
    """Also by a person who applies the same file again, and by an operator that was not there meanwhile."""
    old.operator.start()
    commit = old.commit({"a.yaml": text(config_map("a", k="v"))})
    old.declare()
    old.wait_applied(commit)
    old.operator.end(signal.SIGTERM)
    status = old.state()["status"]
    install_crd(old.api)
    wait_known(old.api, True)
    assert old.state()["status"] == status, "nothing of it is lost"
    mark = old.cluster.audit.mark()
    old.operator.start()
    old.declare()
    old.request()
    old.wait_applied(commit)
    assert old.writes(mark) == []
    assert old.state()["status"]["history"][0]["startedAt"] == status["history"][0]["startedAt"]


def test_an_operator_that_comes_first_does_without_what_the_old_crd_does_not_know(old: World):
    old.operator.start()
    commit = old.commit({"a.yaml": web("slow:1")})
    old.declare()
    until("it is applied", lambda: commit in old.state().get("status", {}).get("lastAppliedRevision", ""))
    unready = until("it is not ready", lambda: old.state()["status"].get("vital", {}).get("unready"))
    assert NEW_FIELD not in unready[0], "the API server drops it"
    old.request()
    mark = old.cluster.audit.mark()
    never("the operator ends", lambda: not old.operator.is_running, seconds=4)
    told = [r for r in old.cluster.audit.requests(mark, user="cvstate-operator") if r.resource == "clusterstates" and r.is_write]
    assert len(told) <= QUIET_WRITES, "what is dropped is not written again and again"
    old.operator.end(signal.SIGKILL)
    old.operator.start()
    old.commit({"a.yaml": web("slow:1"), "b.yaml": text(config_map("b", k="v"))})
    until("it goes on after a restart", lambda: old.api.get(old.path("configmaps", "b")))


def test_an_unknown_field_of_a_spec_is_refused_by_strict_clients_and_dropped_for_others(old: World):
    """As `kubectl apply` asks for it: a ClusterState of the next version is not half understood by the API server of this one."""
    body = {
        "apiVersion": "cvstate.io/v1alpha1",
        "kind": "ClusterState",
        "metadata": {"name": "next", "namespace": old.name},
        "spec": {"source": {"git": {"url": old.git.url(old.name)}}, "fieldOfTheFuture": True},
    }
    folder = CLUSTER_STATES.format(old.name)
    code, answer = old.api.request("POST", f"{folder}?fieldValidation=Strict", body)
    assert code == 400
    assert "fieldOfTheFuture" in answer["message"]
    code, answer = old.api.request("POST", f"{folder}?fieldValidation=Ignore", body)
    assert code == 201
    assert "fieldOfTheFuture" not in answer["spec"]
