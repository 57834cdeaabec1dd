"""Changes to parsed objects.

Aspects: values in place of templates · types and quotes · keys · the opt-out · sizes, also through aliases · common labels · namespaces of subjects.
"""

import copy
from typing import Any

import pytest

from cvstate_operator.errors import InvalidSpecError
from cvstate_operator.render import transform, yaml_reader
from cvstate_operator.render.documents import DocumentError
from cvstate_operator.render.substitute import MAX_VALUE_CHARACTERS, Variables

VALUES = {
    "n": "3",
    "on": "true",
    "null": "null",
    "empty": "",
    "text": "a",
    "quote": '"',
    "spaces": "  x ",
    "octal": "0777",
    "merge": "<<",
    "lines": "a\nb: c",
    "big": "x" * MAX_VALUE_CHARACTERS,
    "infinite": ".inf",
}


def filled(text: str, *, strict: bool = True) -> Any:
    (document,), faults = yaml_reader.read(text.encode(), templates=True)
    assert faults == ()
    return transform.Substitution(Variables(VALUES, strict)).filled(document.value)


def refused(text: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        filled(text)
    return caught.value


# -- substitution ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("${n}", 3),
        ("${n}${n}", 33),
        ("${n}.5", 3.5),
        ("1${n}", 13),
        ("${n:=4}", 3),
        ("${unset:=4}", 4),
        ("${octal}", 511),
        ("${on}", True),
        ("${null}", None),
        ("${empty}", None),
        ("${empty}${empty}", None),
        ("${text}${n}", "a3"),
        ("v${n}", "v3"),
        ("'${n}'", "3"),
        ('"${n}"', "3"),
        ("'${empty}'", ""),
        ("|-\n  ${n}", "3"),
        (">-\n  ${on}", "true"),
        ("!!str ${n}", "3"),
        ("! ${n}", "3"),
        ("!!int '${n}'", 3),
        ("!!float ${n}", 3),
        ("${quote}${n}${quote}", "3"),
        ("${spaces}", "x"),
        ("'${spaces}'", "  x "),
        ("${n} ${spaces}", "3   x"),
        ("${lines}", "a\nb: c"),
        ("${merge}", "<<"),
        ("$${n}", "${n}"),
        ("x$${n}${n}", "x${n}3"),
    ],
)
def test_a_scalar_has_the_type_that_its_text_would_have_there(scalar: str, value: Any) -> None:
    found = filled(f"a: {scalar}\nb: ${{n}}")
    assert found == {"a": value, "b": 3}
    assert type(found["a"]) is type(value)


@pytest.mark.parametrize(
    ("key", "name"), [("${text}", "a"), ("${n}", "3"), ("'${n}'", "3"), ("${on}", "true"), ("x/${text}", "x/a"), ("!!str ${on}", "true")]
)
def test_keys_are_filled_as_keys_are_read(key: str, name: str) -> None:
    assert filled(f"{key}: 1") == {name: 1}


def test_a_value_is_no_merge_key() -> None:
    assert filled("x: &x {z: 1}\n${merge}: *x") == {"x": {"z": 1}, "<<": {"z": 1}}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("${text}: 1\nb: 2\n${unset:=a}: 3", 3, id="two-templates"),
        pytest.param("${text}: 1\na: 2", 1, id="a-template-and-a-text"),
        pytest.param("x:\n- {b: 1, ${text}: 2, '${text}${empty}': 3}", 2, id="in-flow"),
    ],
)
def test_keys_that_become_the_same_are_refused(text: str, line: int) -> None:
    found = refused(text)
    assert found.reason == "DuplicateKey"
    assert str(found).startswith(f"line {line}: ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\nb: ${unset}", "VariableMissing"),
        ("a: 1\nb: ${n+1}", "BuildFailed"),
        ("a: 1\nb: ${infinite}", "YAMLInvalid"),
        ("a: 1\nb: !!int ${text}", "YAMLInvalid"),
        ("a: 1\n${null}: 1", "YAMLInvalid"),
        ("a: 1\n${n}.12345678: 1", "YAMLInvalid"),
        ("a: 1\nb: [" + "'${big}'," * 21 + "]", "RenderTooLarge"),
    ],
)
def test_what_cannot_be_filled_is_told_with_its_line_and_without_values(text: str, reason: str) -> None:
    found = refused(text)
    assert found.reason == reason
    assert reason == "RenderTooLarge" or str(found).startswith("line 2: ")
    assert ".inf" not in str(found)


@pytest.mark.parametrize("mark", transform.SUBSTITUTE_MARKS)
@pytest.mark.parametrize("group", ["labels", "annotations"])
@pytest.mark.parametrize("value", ["disabled", "Disabled", "DISABLED"])
def test_an_object_may_ask_to_be_left_as_it_is(mark: str, group: str, value: str) -> None:
    text = f"metadata: {{{group}: {{{mark}: {value}}}}}\na: ${{n}}\n${{unset}}: '$${{n}}'\nb: ${{a${{b}}"
    found = filled(text)
    assert {key: found[key] for key in found if key != "metadata"} == {"a": "${n}", "${unset}": "$${n}", "b": "${a${b}"}
    assert {type(key) for key in found} | {type(found["a"])} == {str}


@pytest.mark.parametrize(
    "metadata", ["{labels: {cvstate.io/substitute: enabled}}", "{labels: [x]}", "x", "{annotations: {other/substitute: disabled}}", ""]
)
def test_no_other_mark_does_that(metadata: str) -> None:
    assert filled(f"metadata: {metadata}\na: ${{n}}")["a"] == 3


def test_aliases_stay_shared_and_count_as_often_as_they_are_written_out() -> None:
    found = filled("a: &x {b: '${text}', c: [1]}\nd: *x\ne: *x")
    assert found == {key: {"b": "a", "c": [1]} for key in "ade"}
    assert found["a"] is found["d"] is found["e"]
    assert refused("a: &x ['${big}']\nb: [" + "*x," * 20 + "]").reason == "RenderTooLarge"
    assert refused("a: &x '${big}'\nb: [" + "*x," * 20 + "]").reason == "RenderTooLarge"


def test_the_limit_is_of_all_objects_of_a_file_together() -> None:
    substitution = transform.Substitution(Variables(VALUES))
    (document,), _ = yaml_reader.read(b"a: ${big}", templates=True)
    for _ in range(20):
        substitution.filled(document.value)
    with pytest.raises(DocumentError, match="20 MiB"):
        substitution.filled(document.value)


def test_what_was_read_is_not_changed() -> None:
    (document,), _ = yaml_reader.read(b"a: [{b: '${n}'}]", templates=True)
    transform.Substitution(Variables(VALUES)).filled(document.value)
    assert document.value == {"a": [{"b": "${n}"}]}


# -- common labels -----------------------------------------------------------------------------------------------------


def deployment(**metadata: Any) -> dict[str, Any]:
    spec = {"selector": {"matchLabels": {"app": "a"}}, "template": {"metadata": {"labels": {"app": "a"}}}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", **metadata}, "spec": spec}


@pytest.mark.parametrize("own", [{}, {"labels": None}, {"labels": {}}])
def test_common_labels_are_put_on_the_object_alone(own: dict[str, Any]) -> None:
    assert transform.labelled(deployment(**own), {"team": "a"}) == deployment(labels={"team": "a"})


def test_common_labels_win_over_the_object_s_own() -> None:
    body = deployment(labels={"team": "b", "app": "a"})
    before = copy.deepcopy(body)
    assert transform.labelled(body, {"team": "a"}) == deployment(labels={"team": "a", "app": "a"})
    assert body == before


def test_without_common_labels_nothing_changes() -> None:
    body = deployment(labels=None)
    assert transform.labelled(body, {}) is body


@pytest.mark.parametrize(
    "key", ["applyset.kubernetes.io/part-of", "applyset.kubernetes.io/x", "cvstate.io/digest", "reconcile.cvstate.io/x"]
)
def test_labels_that_say_whose_an_object_is_are_refused(key: str) -> None:
    with pytest.raises(InvalidSpecError, match=key):
        transform.check_labels({"team": "a", key: "b"})


def test_other_labels_are_allowed() -> None:
    transform.check_labels({"team": "a", "cvstate.io": "b", "notcvstate.io/x": "c", "app.kubernetes.io/part-of": "d"})


# -- target namespace --------------------------------------------------------------------------------------------------


def binding(*subjects: Any, kind: str = "RoleBinding", group: str = "rbac.authorization.k8s.io") -> dict[str, Any]:
    return {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "a"}, "subjects": list(subjects)}


ACCOUNT = {"kind": "ServiceAccount", "name": "a"}


@pytest.mark.parametrize("kind", ["RoleBinding", "ClusterRoleBinding"])
def test_a_service_account_without_namespace_gets_one(kind: str) -> None:
    others = [{"kind": "User", "name": "u"}, {**ACCOUNT, "namespace": "mine"}, "x", None]
    body = binding(ACCOUNT, {**ACCOUNT, "namespace": ""}, *others, kind=kind)
    before = copy.deepcopy(body)
    wanted = binding({**ACCOUNT, "namespace": "team"}, {**ACCOUNT, "namespace": "team"}, *others, kind=kind)
    assert transform.with_subject_namespace(body, "team") == wanted
    assert body == before


@pytest.mark.parametrize(
    ("body", "namespace"),
    [
        pytest.param(binding(ACCOUNT), "", id="no-target-namespace"),
        pytest.param(binding(ACCOUNT, kind="Role"), "team", id="another-kind"),
        pytest.param(binding(ACCOUNT, group="example.io"), "team", id="another-group"),
        pytest.param({**binding(), "subjects": {"kind": "ServiceAccount"}}, "team", id="subjects-as-a-map"),
        pytest.param(deployment(), "team", id="no-binding"),
    ],
)
def test_any_other_object_is_left_alone(body: dict[str, Any], namespace: str) -> None:
    assert transform.with_subject_namespace(body, namespace) is body
