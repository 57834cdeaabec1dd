"""Stub clusters answer as an API server does in what a tool relies on: who may create, what an apply leaves in managedFields, what a list and a watch tell."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from bench.stub_clusters import digest
from bench.stubs import Stubs
from bench.witness import NotReachedError

ONE: Final = "/api/v1/namespaces/shop/configmaps/one"
BODY: Final = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "one", "namespace": "shop", "labels": {"of": "us"}},
    "data": {"k": "v"},
}
ABSENT: Final = "1"
"""A resourceVersion that no object has: create, or nothing."""


class Stub:
    """A stub cluster, and how it is asked."""

    def __init__(self, stubs: Stubs, port: int) -> None:
        config = yaml.safe_load(stubs.kubeconfig(port))
        self._tls = ssl.create_default_context(cafile=str(stubs.authority))
        self._server = config["clusters"][0]["cluster"]["server"]

    def ask(self, method: str, path: str, body: Any = None, *, seconds: float = 10) -> tuple[int, Any]:
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self._server}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=seconds, context=self._tls) as answer:
                return answer.status, json.loads(answer.readline())
        except urllib.error.HTTPError as exc:
            return exc.code, json.loads(exc.read())

    def apply(self, *, data: dict[str, str], **precondition: str) -> tuple[int, Any]:
        body = {**BODY, "metadata": {**BODY["metadata"], **precondition}, "data": data}  # type: ignore[dict-item]
        return self.ask("PATCH", f"{ONE}?fieldManager=us", body)


@pytest.fixture
def stubs(tmp_path: Path) -> Iterator[Stubs]:
    with Stubs(1, 1, tmp_path / "stubs") as found:
        yield found


@pytest.fixture
def stub(stubs: Stubs) -> Stub:
    return Stub(stubs, stubs.alive[0])


def test_only_who_means_an_absent_object_may_create_it_and_only_who_knows_it_may_change_it(stub: Stub):
    code, made = stub.apply(data={"k": "v"}, resourceVersion=ABSENT)
    assert code == 201
    assert stub.apply(data={"k": "w"}, resourceVersion=ABSENT)[0] == 409
    assert stub.apply(data={"k": "w"}, uid="another")[0] == 409
    code, changed = stub.apply(data={"k": "w"}, uid=made["metadata"]["uid"])
    assert (code, changed["data"]) == (200, {"k": "w"})
    assert changed["metadata"]["resourceVersion"] > made["metadata"]["resourceVersion"]


def test_an_apply_that_changes_nothing_makes_no_new_version(stub: Stub):
    _, made = stub.apply(data={"k": "v"}, resourceVersion=ABSENT)
    _, again = stub.apply(data={"k": "v"}, uid=made["metadata"]["uid"])
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_managed_fields_name_the_leaves_that_were_sent_and_who_sent_them(stub: Stub):
    _, made = stub.apply(data={"k": "v"}, resourceVersion=ABSENT)
    (entry,) = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("us", "Apply")
    assert entry["fieldsV1"] == {"f:data": {"f:k": {}}, "f:metadata": {"f:labels": {"f:of": {}}}}


def test_a_watch_tells_what_happened_since_the_version_of_the_list(stub: Stub):
    _, before = stub.ask("GET", "/api/v1/configmaps?labelSelector=of")
    assert before["items"] == []
    stub.apply(data={"k": "v"}, resourceVersion=ABSENT)
    _, event = stub.ask("GET", f"/api/v1/configmaps?watch=true&resourceVersion={before['metadata']['resourceVersion']}")
    assert (event["type"], event["object"]["data"]) == ("ADDED", {"k": "v"})


def test_a_list_has_only_what_has_the_label(stub: Stub):
    stub.apply(data={"k": "v"}, resourceVersion=ABSENT)
    assert [item["metadata"]["name"] for item in stub.ask("GET", "/api/v1/configmaps?labelSelector=of")[1]["items"]] == ["one"]
    assert stub.ask("GET", "/api/v1/configmaps?labelSelector=other")[1]["items"] == []


def test_what_is_waited_for_is_all_of_it_and_nothing_else(stubs: Stubs, stub: Stub):
    files = {"a.yaml": yaml.safe_dump(BODY)}
    with pytest.raises(NotReachedError, match="0 of 1 clusters"):
        stubs.wait(files, seconds=0)
    stub.apply(data={"k": "v"}, resourceVersion=ABSENT)
    (changed,) = stubs.wait(files, seconds=0)
    assert changed == stubs.seen()[0].changed > 0
    assert stubs.seen()[0].digest == digest({"shop/one": {"k": "v"}})


def test_a_dead_cluster_takes_a_connection_and_says_nothing(stubs: Stubs):
    with pytest.raises(TimeoutError):
        Stub(stubs, stubs.dead[0]).ask("GET", "/version", seconds=0.5)
