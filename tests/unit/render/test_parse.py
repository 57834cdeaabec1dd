"""Parsing of whole files, as the child process does it.

Aspects: the index cuts out the bodies · digests · problems with their place · LFS pointers · directives · options and their key · values never
change the structure · variables from end to end.
"""

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cvstate_operator.errors import InvalidSpecError
from cvstate_operator.render.parse import Options, parse

TWO = b"""\
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: web}
data: {gruen: "gr\xc3\xbcn"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: b}
"""


def cut(index: dict[str, Any], bodies: bytes) -> list[Any]:
    """The bodies, by what the index says."""
    return [orjson.loads(bodies[offset : offset + length]) for *_, offset, length in index["objects"]]


def digest(text: bytes) -> str:
    index, _ = parse(text)
    ((_, _, _, _, found, *_),) = index["objects"]
    return str(found)


def test_the_index_names_each_object_and_where_its_body_is() -> None:
    index, bodies = parse(TWO)
    assert [row[:4] + row[5:7] for row in index["objects"]] == [
        ["v1", "ConfigMap", "web", "a", 1, 1],
        ["apps/v1", "Deployment", "", "b", 2, 6],
    ]
    assert [item["metadata"]["name"] for item in cut(index, bodies)] == ["a", "b"]
    assert cut(index, bodies)[0]["data"] == {"gruen": "grün"}
    assert index["problems"] == []


@given(st.lists(st.text(st.characters(categories=("L", "N", "Zs")), min_size=1), min_size=1, max_size=8))
def test_bodies_of_any_length_are_cut_where_the_index_says(texts: list[str]) -> None:
    documents = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": text}} for text in texts]
    index, bodies = parse(b"\n---\n".join(orjson.dumps(document) for document in documents))
    assert cut(index, bodies) == documents
    assert sum(row[-1] for row in index["objects"]) == len(bodies)


def test_the_same_object_spelled_otherwise_has_the_same_digest() -> None:
    block = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  x: '1'\n  z: '2'\n"
    other = b'# a comment\n{"data": {"z": "2", "x": "1"}, "metadata": {"name": "a"}, "kind": "ConfigMap", "apiVersion": "v1"}\n'
    assert digest(block) == digest(other)


@pytest.mark.parametrize("change", [(b"'1'", b"'2'"), (b"x: '1'", b"z: '1'"), (b"ConfigMap", b"Secret"), (b"v1", b"v2")])
def test_any_other_content_has_another_digest(change: tuple[bytes, bytes]) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  x: '1'\n"
    assert digest(text.replace(*change)) != digest(text)


def test_an_lfs_pointer_is_not_taken_for_a_manifest() -> None:
    index, bodies = parse(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    assert (index["objects"], bodies) == ([], b"")
    assert [row[2] for row in index["problems"]] == ["BuildFailed"]


def test_a_fault_of_yaml_is_told_by_line_and_document() -> None:
    index, bodies = parse(b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\na: 1\na: 2\n")
    ((document, name, reason, message, field),) = index["problems"]
    assert (document, name, reason, field) == (2, "", "DuplicateKey", "")
    assert message.startswith("line 6: ")
    assert len(cut(index, bodies)) == 1


def test_a_document_that_is_no_object_is_told_by_name_and_field() -> None:
    index, _ = parse(b'kind: Deployment\nmetadata: {name: "we\\eb"}\n')
    ((document, name, reason, _, field),) = index["problems"]
    assert (document, name, reason, field) == (1, r"Deployment/we\x1bb", "BuildFailed", "apiVersion")


@given(st.binary(max_size=200))
def test_no_bytes_make_parsing_raise(text: bytes) -> None:
    parse(text)


json_value = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["", "v1", "apps/v1", "Secret", "List", "a", "x y"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["apiVersion", "kind", "metadata", "name", "namespace", "labels", "items", "data", "stringData"]),
            inner,
            max_size=6,
        ),
    ),
    max_leaves=20,
)


@given(json_value)
def test_no_shape_of_document_makes_parsing_raise(value: Any) -> None:
    index, bodies = parse(orjson.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "x": value}))
    assert len(cut(index, bodies)) == 1
    parse(orjson.dumps(value))
    parse(orjson.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": value, "stringData": {"a": "b"}}))
    parse(orjson.dumps({"apiVersion": "v1", "kind": "X", "metadata": value}))


# -- directives --------------------------------------------------------------------------------------------------------


def annotated(name: str, annotations: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "annotations": annotations}}


def stream(*documents: Any) -> bytes:
    return b"\n---\n".join(map(orjson.dumps, documents))


def test_only_objects_that_ask_for_something_have_directives_in_the_index() -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": [annotated("b", {"cvstate.io/wave": "2"}), annotated("c", {"x": "y"})]}
    index, _ = parse(stream(annotated("a", {"cvstate.io/prune": "Enabled"}), items, annotated("d", {"cvstate.io/apply": "ignore"})))
    assert [row[3] for row in index["objects"]] == ["a", "b", "c", "d"]
    assert index["directives"] == [[1, {"wave": 2}], [3, {"apply": "Ignore"}]]


def test_labels_that_the_options_add_are_directives_of_flux_too() -> None:
    index, _ = parse(stream(annotated("a", {})), Options(common_labels={"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"}))
    assert index["directives"] == [[0, {"apply": "IfNotPresent"}]]


def test_a_directive_that_is_not_known_is_a_problem_of_its_object_alone() -> None:
    index, _ = parse(stream(annotated("a", {}), annotated("b", {"cvstate.io/prune": "maybe"}), annotated("c", {})))
    assert [row[3] for row in index["objects"]] == ["a", "c"]
    message = "annotation cvstate.io/prune: 'maybe' is not one of Enabled, Disabled, Confirm"
    assert index["problems"] == [[2, "ConfigMap/b", "Invalid", message, "metadata.annotations[cvstate.io/prune]"]]


def test_a_directive_may_come_from_a_variable_which_a_problem_does_not_show() -> None:
    text = stream(annotated("a", {"cvstate.io/wave": "${wave}"}))
    index, _ = parse(text, Options({"wave": "7"}))
    assert index["directives"] == [[0, {"wave": 7}]]
    index, _ = parse(text, Options({"wave": "s3cret"}))
    ((*_, message, field),) = index["problems"]
    assert "s3cret" not in message
    assert field == "metadata.annotations[cvstate.io/wave]"


def test_what_may_hold_secrets_is_told_without_values() -> None:
    index, _ = parse(stream(annotated("a", {"cvstate.io/wave": "s3cret"})), may_be_secret=True)
    assert len(index["problems"]) == 1
    assert b"s3cret" not in orjson.dumps(index)


# -- options -----------------------------------------------------------------------------------------------------------

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n"

DIFFERENT = [
    Options(),
    Options({}),
    Options({}, strict=False),
    Options({"a": "b"}),
    Options({"a": "c"}),
    Options({"ab": ""}),
    Options(common_labels={"a": "b"}),
    Options({"a": "b"}, common_labels={"a": "b"}),
    Options(target_namespace="a"),
]


def test_each_difference_has_another_key_and_none_has_none() -> None:
    assert Options().key == Options(strict=False).key == ""
    assert len({options.key for options in DIFFERENT}) == len(DIFFERENT)


def test_keys_do_not_depend_on_order_and_do_not_show_values() -> None:
    assert Options({"a": "1", "b": "2"}).key == Options({"b": "2", "a": "1"}).key
    assert len(Options({"a": "1"}).key) == 32
    assert "s3cret" not in repr(Options({"a": "s3cret"}))


@pytest.mark.parametrize("options", DIFFERENT)
def test_options_travel_as_json(options: Options) -> None:
    again = Options.from_request(orjson.loads(orjson.dumps(options.to_request())))
    assert (again, again.key) == (options, options.key)
    assert Options.from_request({}) == Options()


def test_a_reserved_common_label_is_refused() -> None:
    with pytest.raises(InvalidSpecError, match="commonLabels"):
        Options(common_labels={"applyset.kubernetes.io/part-of": "x"})


def test_digests_are_of_the_final_object() -> None:
    written = parse((HEAD + "data: {a: '3', b: x}").encode())[0]["objects"][0][4]
    made = parse((HEAD + "data: {a: '${n}', b: '${unset:=x}'}").encode(), Options({"n": "3"}))[0]["objects"][0][4]
    labelled = parse((HEAD + "data: {a: '3', b: x}").encode(), Options(common_labels={"a": "b"}))[0]["objects"][0][4]
    assert made == written != labelled


def test_labels_and_namespaces_are_set() -> None:
    text = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: a}\nsubjects: [{kind: ServiceAccount, name: s}]\n"
    (body,) = cut(*parse(text.encode(), Options(common_labels={"team": "x"}, target_namespace="n")))
    assert body["metadata"] == {"name": "a", "labels": {"team": "x"}}
    assert body["subjects"] == [{"kind": "ServiceAccount", "name": "s", "namespace": "n"}]


@given(st.binary(max_size=200) | st.text("ab:-[]{},'\" \n#&*", max_size=60).map(lambda text: (HEAD + text).encode()))
@example(TWO)
def test_a_file_without_variables_is_parsed_the_same_with_options(text: bytes) -> None:
    if b"${" not in text:
        assert parse(text, Options({"a": "b"})) == parse(text)


# -- structure ---------------------------------------------------------------------------------------------------------

HOSTILE = "x\nkind: ClusterRoleBinding\n---\n- a: b #'\"{}[]&*!|>%@`,"

PLACES = {
    "plain": "a: ${v}\nb: x",
    "after-text": "a: y ${v}\nb: x",
    "double-quoted": 'a: "${v}"\nb: x',
    "single-quoted": "a: '${v}'\nb: x",
    "literal": "a: |\n  ${v}\nb: x",
    "folded": "a: >-\n  y\n  ${v}\nb: x",
    "several-lines": "a: y\n  ${v}\n  z\nb: x",
    "flow": "{a: ${v}, b: x}",
    "flow-quoted": '{a: "${v}", b: x}',
    "flow-default": "{a: ${unset:=${v}}, b: x}",
    "list": "a: [${v}, w]\nb: x",
    "block-list": "a:\n- ${v}\n- w\nb: x",
    "anchored": "a: &n ${v}\nb: x",
    "tagged": "a: !!str ${v}\nb: x",
    "json": '{"a": "${v}", "b": "x"}',
}


def spec(text: str, value: str) -> tuple[Any, list[Any]]:
    """The field `spec` that holds `text`, and the problems."""
    body = "spec:\n" + "".join(f"  {line}\n" for line in text.split("\n"))
    index, bodies = parse((HEAD + body).encode(), Options({"v": value}))
    found = cut(index, bodies)
    assert len(found) + len(index["problems"]) == 1
    return found[0]["spec"] if found else None, index["problems"]


@pytest.mark.parametrize("place", PLACES)
@given(value=st.text(max_size=30) | st.text("\n:-# '\"{}[]&*!|>%@`,?$<a0.", max_size=20))
@example(value=HOSTILE)
@example(value="<<")
@example(value="${b}")
def test_no_value_changes_the_structure(place: str, value: str) -> None:
    found, problems = spec(PLACES[place], value)
    if problems:
        assert [row[2] for row in problems] == ["YAMLInvalid"]  # a number of more than 64 bits, and the like
        return
    assert set(found) == {"a", "b"}
    assert found["b"] == "x"
    assert not isinstance(found["a"], dict)
    if isinstance(found["a"], list):
        assert len(found["a"]) == 2
        assert found["a"][1] == "w"


@given(value=st.text(max_size=30) | st.text("\n:-# '\"{}[]&*!|>%@`,?$<a0.", max_size=20))
@example(value=HOSTILE)
def test_in_quotes_a_value_is_kept_as_it_is(value: str) -> None:
    text = "a: \"${v}\"\nb: '${v}'\nc: {d: ['${v}']}\n'${v}': x"
    found, problems = spec(text, value)
    kept = value.rstrip("\n")
    if problems:
        assert kept in ("a", "b", "c")
        return
    assert found == {"a": kept, "b": kept, "c": {"d": [kept]}, kept: "x"}


@given(value=st.text(max_size=30) | st.text("\n:-# '\"{}[]&*!|>%@`,?$<a0.", max_size=20))
@example(value=HOSTILE)
@example(value="<<")
@example(value="b")
def test_a_value_as_a_key_is_one_key(value: str) -> None:
    for text in ("b: x\n${v}: {c: d}", "{b: x, ${v}: {c: d}}", "b: x\n? ${v}\n: {c: d}"):
        found, problems = spec(text, value)
        if problems:
            assert problems[0][2] in ("DuplicateKey", "YAMLInvalid")
        else:
            assert len(found) == 2
            assert found.pop("b") == "x"
            assert list(found.values()) == [{"c": "d"}]


# -- variables, end to end ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("data:\n  a: ${region}", "VariableMissing", "line 5: variable region has no value; give it in render.substitute"),
        ("data: {a: ${A:-$(id)}}", "BuildFailed", "line 4: ${A:-…} is not understood: no command is run"),
        ("data: {a: ${a${b}}}", "BuildFailed", "line 4: ${a${…} is not understood"),
        ("data: {a: '${big}'}", "RenderTooLarge", "line 4: variable big has more than 1 MiB"),
        ("data: {a: x, ${a}: y}", "DuplicateKey", "line 4: key '${a}' becomes the same as 'a'"),
    ],
)
def test_a_bad_variable_is_a_problem_of_its_document_alone(text: str, reason: str, message: str) -> None:
    good = "---\n" + HEAD.replace("m}", "good}") + "data: {a: ${a}}\n"
    index, bodies = parse((HEAD + text + "\n" + good).encode(), Options({"a": "a", "big": "x" * 10_000_000}))
    ((document, name, found, told, _),) = index["problems"]
    assert (document, name, found) == (1, "ConfigMap/m", reason)
    assert told.startswith(message)
    assert [body["metadata"]["name"] for body in cut(index, bodies)] == ["good"]


def test_a_value_that_looks_like_manifests_is_one_text() -> None:
    (body,) = cut(*parse((HEAD + "data: {a: ${v}, b: x}").encode(), Options({"v": HOSTILE})))
    assert body["data"] == {"a": HOSTILE, "b": "x"}
    assert body["kind"] == "ConfigMap"


def test_values_are_not_looked_at_again() -> None:
    (body,) = cut(*parse((HEAD + "data: {a: '${x}', b: '$${x}'}").encode(), Options({"x": "${y} ${x}", "y": "z"})))
    assert body["data"] == {"a": "${y} ${x}", "b": "${x}"}


def test_what_names_the_object_may_be_a_variable() -> None:
    text = "apiVersion: ${api}/v1\nkind: ${kind}\nmetadata: {name: web-${n}, namespace: ${ns}}\n"
    index, _ = parse(text.encode(), Options({"api": "apps", "kind": "Deployment", "n": "1", "ns": "team"}))
    assert index["objects"][0][:4] == ["apps/v1", "Deployment", "team", "web-1"]
    index, _ = parse(text.encode(), Options({"api": "apps", "kind": "Deployment", "n": "../x", "ns": "team"}))
    assert index["problems"][0][2] == "BuildFailed"


def test_texts_of_a_secret_are_filled_before_they_are_encoded() -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {token: '${token}'}\n"
    (body,) = cut(*parse(text.encode(), Options({"token": "abc"})))
    assert body["data"] == {"token": "YWJj"}


def test_without_variables_a_dollar_is_a_letter() -> None:
    text = (HEAD + "data:\n  a: ${v}\n  b: $${v}\n  c: '${'\n").encode()
    assert cut(*parse(text))[0]["data"] == {"a": "${v}", "b": "$${v}", "c": "${"}


def test_an_object_that_opts_out_is_parsed_as_without_variables() -> None:
    opted = HEAD.replace("name: m", "name: m, annotations: {kustomize.toolkit.fluxcd.io/substitute: Disabled}")
    text = (opted + "data:\n  run.sh: |\n    echo ${a:?} $${b} ${c\n").encode()
    assert parse(text, Options({"a": "x"})) == parse(text)


def test_each_object_of_a_list_is_filled_for_itself() -> None:
    items = [
        HEAD + "data: {a: ${v}}",
        HEAD + "data: {a: ${unset}}",
        HEAD.replace("m}", "o, labels: {cvstate.io/substitute: disabled}}") + "data: {a: '${v}'}",
    ]
    text = "apiVersion: v1\nkind: List\nitems:\n" + "".join("- " + item.strip().replace("\n", "\n  ") + "\n" for item in items)
    index, bodies = parse(text.encode(), Options({"v": "x"}))
    assert [body["data"]["a"] for body in cut(index, bodies)] == ["x", "${v}"]
    assert [row[2] for row in index["problems"]] == ["VariableMissing"]


def test_the_deepest_document_is_filled() -> None:
    text = HEAD + "a: &a " + "[" * 98 + "'${v}'" + "]" * 98 + "\nb: " + "{c: " * 98 + "'${v} ENC[AES256_GCM,'" + "}" * 98
    (body,) = cut(*parse(text.encode(), Options({"v": "x"})))
    assert orjson.dumps(body["a"]) == b"[" * 98 + b'"x"' + b"]" * 98


def test_a_bomb_of_aliases_is_no_bomb_for_variables() -> None:
    levels = "".join(f"l{n}: &l{n} [" + ", ".join([f"*l{n - 1}"] * 10) + "]\n" for n in range(1, 5))
    index, _ = parse((HEAD + "l0: &l0 ['${v}']\n" + levels).encode(), Options({"v": "x" * 100_000}))
    assert [row[2] for row in index["problems"]] == ["RenderTooLarge"]


def test_an_encrypted_document_is_told_without_its_value() -> None:
    cipher = "ENC[AES256_GCM,data:c2VjcmV0,iv:aXY=,tag:dGFn,type:str]"
    text = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData:\n  password: {cipher}\n"
    index, _ = parse(text.encode())
    ((_, name, reason, message, field),) = index["problems"]
    assert (name, reason, field) == ("Secret/s", "PolicyViolation", "stringData.password")
    assert "ENC" not in message


def test_an_ownership_mark_is_told_as_invalid() -> None:
    index, _ = parse(HEAD.replace("name: m", "name: m, labels: {applyset.kubernetes.io/part-of: x}").encode())
    assert [row[2] for row in index["problems"]] == ["Invalid"]


@given(st.text("${}ab:=-, []'\"\\#\n&*!|>?", max_size=60), st.booleans())
def test_no_expressions_make_parsing_raise(text: str, strict: bool) -> None:
    index, _ = parse((HEAD + "data: " + text).encode(), Options({"a": "1", "b": text}, strict))
    for _, _, _, message, _ in index["problems"]:
        assert message.isprintable()
