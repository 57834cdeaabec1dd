"""Reading the audit log: one record per complete line, marks, users, and what counts as a write."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import audit
from tests.cluster.audit import Audit


def event(**changes: Any) -> dict[str, Any]:
    """Return an audit event as kube-apiserver 1.36 writes it, with some fields changed."""
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "stage": "ResponseComplete",
        "requestURI": "/apis/apps/v1/namespaces/shop/deployments/web/status?fieldManager=cvstate",
        "verb": "patch",
        "user": {"username": "cvstate-operator", "groups": ["system:authenticated"]},
        "userAgent": "cvstate/0.1",
        "objectRef": {"resource": "deployments", "namespace": "shop", "name": "web", "apiGroup": "apps", "subresource": "status"},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": "2026-11-21T05:00:54.131355Z",
        "stageTimestamp": "2026-11-21T05:00:54.136355Z",
        **changes,
    }


def line(**changes: Any) -> bytes:
    return json.dumps(event(**changes)).encode() + b"\n"


def test_a_line_becomes_a_request() -> None:
    request = audit.parse(line())
    assert (request.verb, request.resource, request.subresource) == ("patch", "deployments", "status")
    assert (request.namespace, request.name) == ("shop", "web")
    assert (request.user, request.user_agent, request.code) == ("cvstate-operator", "cvstate/0.1", 200)
    assert request.timestamp == datetime.datetime(2026, 11, 21, 5, 0, 54, 131355, tzinfo=datetime.UTC)
    assert request.duration_seconds == pytest.approx(0.005)
    assert request.is_write


def test_a_path_without_resources_has_empty_names() -> None:
    request = audit.parse(line(objectRef=None, requestURI="/readyz", verb="get"))
    assert (request.resource, request.namespace, request.name, request.uri) == ("", "", "", "/readyz")


def test_a_request_without_an_answer_has_code_0() -> None:
    assert audit.parse(line(responseStatus=None)).code == 0


@pytest.mark.parametrize(
    ("changes", "writes"),
    [
        pytest.param({"verb": "create"}, 1, id="create"),
        pytest.param({"verb": "deletecollection"}, 1, id="deletecollection"),
        pytest.param({"verb": "patch", "responseStatus": {"code": 409}}, 1, id="refused-write-was-still-sent"),
        pytest.param({"verb": "patch", "requestURI": "/api/v1/nodes/a?dryRun=All&fieldManager=x"}, 0, id="dry-run"),
        pytest.param({"verb": "watch"}, 0, id="watch"),
        pytest.param({"verb": "create", "objectRef": {"resource": "selfsubjectaccessreviews"}}, 0, id="access-review"),
    ],
)
def test_what_counts_as_a_write(changes: dict[str, Any], writes: int) -> None:
    assert audit.count_writes([audit.parse(line(**changes))]) == writes


def test_only_complete_lines_are_read(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(line(verb="get") + line(verb="list")[:-10])
    assert [request.verb for request in Audit(log).requests()] == ["get"]


def test_only_requests_after_the_mark_and_of_the_user_are_read(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(line(verb="get"))
    mark = Audit(log).mark()
    with log.open("ab") as writer:
        writer.write(line(verb="list") + line(verb="watch", user={"username": "admin"}))
    assert [request.verb for request in Audit(log).requests(mark)] == ["list", "watch"]
    assert [request.verb for request in Audit(log).requests(mark, user="admin")] == ["watch"]


def test_a_log_that_does_not_exist_yet_is_empty(tmp_path: Path) -> None:
    log = Audit(tmp_path / "audit.log")
    assert log.mark() == 0
    assert log.requests() == []
