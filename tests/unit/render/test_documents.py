"""Documents to objects.

Aspects: what an object must have · Lists · what is left out · Secrets · names that would lead elsewhere · marks of ownership ·
what is encrypted · preparation.
"""

import base64
import copy
from typing import Any

import pytest

from cvstate_operator.api.names import DIGEST
from cvstate_operator.objects.ownership import ID_LABEL, PART_OF_LABEL
from cvstate_operator.render.documents import DocumentError, objects, refuse_encrypted


def only(value: Any) -> Any:
    (found,) = objects(value)
    return found


def config_map(name: str = "a", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}


def secret(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **fields}


def test_an_object_is_passed_on_as_it_is() -> None:
    value = {**config_map(), "spec": {"x": [1, None]}, "data": {"a": "b"}}
    assert only(value) == value


def test_an_empty_document_holds_no_object() -> None:
    assert list(objects(None)) == []


def test_a_list_is_taken_apart_however_deep() -> None:
    inner = {"apiVersion": "v1", "kind": "List", "items": [config_map("b"), None]}
    value = {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": [config_map("a"), inner, config_map("c")]}
    assert [found["metadata"]["name"] for found in objects(value)] == ["a", "b", "c"]  # type: ignore[index]


def test_a_bad_item_of_a_list_does_not_stop_the_others() -> None:
    found = list(objects({"apiVersion": "v1", "kind": "List", "items": [config_map("a"), "text", {"kind": "X"}, config_map("b")]}))
    assert [isinstance(item, DocumentError) for item in found] == [False, True, True, False]


def test_an_empty_list_holds_no_object() -> None:
    assert list(objects({"apiVersion": "v1", "kind": "List", "items": []})) == []


@pytest.mark.parametrize(
    ("value", "field", "words"),
    [
        pytest.param("text", "", "is a string", id="text"),
        pytest.param(5, "", "is a number", id="number"),
        pytest.param(True, "", "is a boolean", id="boolean"),
        pytest.param([config_map()], "", "is a list", id="list-at-the-top"),
        pytest.param({}, "apiVersion", "has no apiVersion", id="empty-map"),
        pytest.param({"kind": "ConfigMap"}, "apiVersion", "has no apiVersion", id="no-api-version"),
        pytest.param({"apiVersion": 1, "kind": "X"}, "apiVersion", "has no apiVersion", id="api-version-as-a-number"),
        pytest.param({"apiVersion": "a/b/c", "kind": "X"}, "apiVersion", "GROUP/VERSION", id="malformed-api-version"),
        pytest.param({"apiVersion": "v1"}, "kind", "has no kind", id="no-kind"),
        pytest.param({"apiVersion": "v1", "kind": ["X"]}, "kind", "has no kind", id="kind-as-a-list"),
        pytest.param({"apiVersion": "v1", "kind": "X"}, "metadata", "has no metadata", id="no-metadata"),
        pytest.param({"apiVersion": "v1", "kind": "X", "metadata": "a"}, "metadata", "has no metadata", id="metadata-as-text"),
        pytest.param({"apiVersion": "v1", "kind": "X", "metadata": {}}, "metadata.name", "has no name", id="no-name"),
        pytest.param(config_map(""), "metadata.name", "has no name", id="empty-name"),
        pytest.param({"apiVersion": "v1", "kind": "X", "metadata": {"name": 123}}, "metadata.name", "is a number", id="name-as-a-number"),
        pytest.param(
            {"apiVersion": "v1", "kind": "Job", "metadata": {"generateName": "a-"}}, "metadata.name", "generateName", id="generated-name"
        ),
        pytest.param(config_map(namespace=5), "metadata.namespace", "no string", id="namespace-as-a-number"),
        pytest.param(config_map(labels=["a"]), "metadata.labels", "is a list", id="labels-as-a-list"),
        pytest.param(config_map(labels={"a": 1}), "metadata.labels.a", "is a number", id="label-as-a-number"),
        pytest.param(config_map(annotations={"a": True}), "metadata.annotations.a", "is a boolean", id="annotation-as-a-boolean"),
        pytest.param(config_map(annotations={"a": None}), "metadata.annotations.a", "is a null", id="annotation-as-null"),
        pytest.param(secret(stringData={"a": 1}), "stringData.a", "is a number", id="secret-text-as-a-number"),
        pytest.param(secret(stringData={"a": "b"}, data=[1]), "data", "is a list", id="secret-data-as-a-list"),
        pytest.param({"apiVersion": "v1", "kind": "List", "items": 5}, "metadata", "has no metadata", id="list-without-items"),
    ],
)
def test_what_is_no_usable_object_is_told_by_field(value: Any, field: str, words: str) -> None:
    found = only(value)
    assert isinstance(found, DocumentError)
    assert found.field == field
    assert words in str(found)


def test_a_bad_object_is_named_as_far_as_it_is_known() -> None:
    assert only({"kind": "Deployment", "metadata": {"name": "web"}}).name == "Deployment/web"
    assert only({"apiVersion": "v1", "kind": "Pod"}).name == "Pod"
    assert only("text").name == ""


@pytest.mark.parametrize("name", [".", "..", "a/b", "../../secrets/x", "a%2fb", "a?force=true", "a#b", "a\nb", "a\x00", "a\u202eb"])
@pytest.mark.parametrize("field", ["name", "namespace"])
def test_a_name_that_would_lead_to_another_path_is_refused(field: str, name: str) -> None:
    found = only({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", field: name}})
    assert isinstance(found, DocumentError)
    assert found.field == f"metadata.{field}"


@pytest.mark.parametrize("name", ["system:controller:x", "a.b-c", "UPPER", "größe", "x@y", "..."])
def test_other_names_are_for_the_api_server_to_judge(name: str) -> None:
    assert only(config_map(name))["metadata"]["name"] == name


def test_what_only_the_server_writes_is_left_out() -> None:
    value = config_map(
        uid="u",
        resourceVersion="1",
        generation=2,
        creationTimestamp=None,
        selfLink="/x",
        managedFields=[{}],
        deletionTimestamp="t",
        labels={"a": "b"},
    )
    assert only({**value, "status": {"phase": "x"}, "data": {"a": "b"}}) == {**config_map(labels={"a": "b"}), "data": {"a": "b"}}


def test_nothing_that_was_read_is_changed() -> None:
    value = secret(stringData={"a": "b"}, status={}, data={"c": "ZA=="})
    before = copy.deepcopy(value)
    only(value)
    assert value == before


@pytest.mark.parametrize(
    ("fields", "data"),
    [
        pytest.param({"stringData": {"a": "grün"}}, {"a": base64.b64encode("grün".encode()).decode()}, id="encoded"),
        pytest.param({"stringData": {"a": "x"}, "data": {"a": "b2xk", "b": "Yg=="}}, {"a": "eA==", "b": "Yg=="}, id="it-wins-over-data"),
        pytest.param({"stringData": {"a": "x"}, "data": None}, {"a": "eA=="}, id="beside-a-null"),
        pytest.param({"stringData": {}}, {}, id="empty"),
    ],
)
def test_texts_of_a_secret_become_data(fields: dict[str, Any], data: dict[str, str]) -> None:
    assert only(secret(**fields)) == secret(data=data)


def test_a_secret_of_another_group_is_left_alone() -> None:
    value = {**secret(stringData={"a": "b"}), "apiVersion": "example.io/v1"}
    assert only(value) == value


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        pytest.param({"labels": {PART_OF_LABEL: "applyset-x-v1"}}, f"metadata.labels.{PART_OF_LABEL}", id="member-of-an-applyset"),
        pytest.param({"labels": {ID_LABEL: "applyset-x-v1"}}, f"metadata.labels.{ID_LABEL}", id="an-applyset"),
        pytest.param({"annotations": {DIGEST: "x"}}, f"metadata.annotations.{DIGEST}", id="our-digest"),
        pytest.param(
            {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "b", "uid": "u"}]},
            "metadata.ownerReferences",
            id="an-owner",
        ),
        pytest.param({"ownerReferences": "x"}, "metadata.ownerReferences", id="an-owner-as-a-text"),
    ],
)
def test_whose_an_object_is_is_not_said_in_git(metadata: dict[str, Any], field: str) -> None:
    found = only(config_map(**metadata))
    assert isinstance(found, DocumentError)
    assert (found.reason, found.field, found.name) == ("Invalid", field, "ConfigMap/a")
    assert "remove it" in str(found)


def test_no_owners_are_no_claim() -> None:
    assert only(config_map(ownerReferences=[]))["metadata"]["name"] == "a"


CIPHER = "ENC[AES256_GCM,data:c2VjcmV0,iv:aXY=,tag:dGFn,type:str]"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(secret(data={"a": "b"}, sops={"mac": CIPHER, "version": "3.9"}), id="manifest"),
        pytest.param({"password": CIPHER, "sops": {"mac": CIPHER}}, id="file-of-values"),
    ],
)
def test_a_document_that_sops_signed_is_refused(value: Any) -> None:
    found = only(value)
    assert (found.reason, found.field) == ("PolicyViolation", "sops")
    assert "SOPS" in str(found)


def test_a_field_of_that_name_alone_is_no_encryption() -> None:
    assert only({**config_map(), "sops": {"enabled": True}})["sops"] == {"enabled": True}


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (secret(data={"a": "b", "password": CIPHER}), "data.password"),
        (secret(stringData={"password": CIPHER}), "stringData.password"),
        ({"spec": [{"x": 1}, {"env": [CIPHER]}]}, "spec.1.env.0"),
    ],
)
def test_an_encrypted_value_is_told_by_field_and_not_shown(value: Any, field: str) -> None:
    with pytest.raises(DocumentError) as caught:
        refuse_encrypted(value)
    assert (caught.value.reason, caught.value.field) == ("PolicyViolation", field)
    assert "ENC" not in str(caught.value)


def test_a_text_about_encryption_is_no_encrypted_value() -> None:
    refuse_encrypted(secret(stringData={"help": f"values look like {CIPHER}", "n": 1}))


def test_an_encrypted_name_is_not_shown_as_the_object_s_name() -> None:
    assert only({"kind": "Secret", "metadata": {"name": CIPHER}, "sops": {"mac": "x"}}).name == "Secret"


def test_each_object_of_a_list_is_prepared_for_itself() -> None:
    def prepare(item: Any) -> Any:
        if item["metadata"]["name"] == "b":
            raise DocumentError("no", reason="VariableMissing")
        return {**item, "data": {}}

    found = list(objects({"apiVersion": "v1", "kind": "List", "items": [config_map("a"), config_map("b"), config_map("c")]}, prepare))
    assert found[::2] == [{**config_map(name), "data": {}} for name in ("a", "c")]
    assert isinstance(found[1], DocumentError)
    assert (found[1].reason, found[1].name) == ("VariableMissing", "ConfigMap/b")


def test_an_object_that_becomes_a_list_is_not_taken_apart() -> None:
    value = {"apiVersion": "v1", "kind": "${kind}", "items": [config_map()]}
    assert isinstance(next(objects(value, lambda item: {**item, "kind": "List"})), DocumentError)
