"""Catalogue: objects against the built-in schemas and those of CRDs. Parity with an API server is in tests/integration/test_check.py.

Aspects: what is said of a wrong type, an unknown field, a missing one, a duplicate · no value of a Secret is shown · how much is told · which kinds are
known, and whose groups they are · CRDs: their rules, versions, hostile and broken schemas · paths as people write them.
"""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.crd import cluster_state_crd
from cvstate_operator.objects.identity import Gvk
from cvstate_operator.schema import builtin, catalogue, faults
from cvstate_operator.schema.catalogue import Catalogue
from tests.support.objects import definition, deployment, manifest

KEYWORDS = [
    *(
        "type",
        "format",
        "pattern",
        "enum",
        "minimum",
        "exclusiveMinimum",
        "maximum",
        "multipleOf",
        "required",
        "properties",
        "items",
        "nullable",
    ),
    *(
        "additionalProperties",
        "anyOf",
        "oneOf",
        "not",
        "default",
        "$ref",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "maxItems",
    ),
    *(
        "x-kubernetes-int-or-string",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-preserve-unknown-fields",
        "name",
        "string",
        "object",
        "array",
    ),
]
DEPLOYMENT = Gvk("apps", "v1", "Deployment")
SECRET = Gvk("", "v1", "Secret")
WIDGET = Gvk("example.io", "v1", "Widget")


@pytest.fixture(scope="module")
def known() -> Catalogue:
    return Catalogue(builtin.load())


def said(known: Catalogue, gvk: Gvk, body: dict) -> list[str]:
    return [f"{fault.field}: {fault.message}" for fault in known.faults(gvk, body)]


def changed(**spec: object) -> dict:
    body = deployment("web")
    body["spec"] |= spec
    return body


def with_container(**fields: object) -> dict:
    body = deployment("web")
    body["spec"]["template"]["spec"]["containers"][0] |= fields
    return body


def test_a_good_object_has_no_fault(known: Catalogue):
    assert known.faults(DEPLOYMENT, deployment("web")) == []


MESSAGES = {
    "quoted number": (changed(replicas="3"), 'spec.replicas: "3" is not an integer; remove the quotes'),
    "word for a number": (changed(replicas="three"), 'spec.replicas: "three" is not an integer; correct it'),
    "fraction": (changed(replicas=1.5), "spec.replicas: 1.5 is not an integer; correct it"),
    "number for a text": (with_container(image=1), "spec.template.spec.containers[0].image: 1 is not a string; put it in quotes"),
    "boolean for a text": (with_container(image=True), "spec.template.spec.containers[0].image: true is not a string; put it in quotes"),
    "number for a boolean": (with_container(stdin=1), "spec.template.spec.containers[0].stdin: 1 is not a boolean; write true or false"),
    "text for a list": (
        with_container(args="x"),
        "spec.template.spec.containers[0].args: \"x\" is not a list; write a list, each item on a line with '- '",
    ),
    "list for a mapping": (
        changed(strategy=[]),
        "spec.strategy: a list is not a mapping; write a mapping, one 'name: value' to a line",
    ),
    "typing error": (with_container(imagePulPolicy="Always"), "spec.template.spec.containers[0].imagePulPolicy: is an unknown field; did you mean imagePullPolicy?"),
    "nonsense": (changed(zzz=1), "spec.zzz: is an unknown field; remove it, or correct its name or place"),
    "missing": (with_container(ports=[{"name": "http"}]), "spec.template.spec.containers[0].ports[0].containerPort: is missing; add it"),
    "enum": (
        with_container(imagePullPolicy="Sometimes"),
        'spec.template.spec.containers[0].imagePullPolicy: "Sometimes" is not one of the allowed values; use one of: Always, IfNotPresent, Never',
    ),
    "quantity": (
        with_container(resources={"limits": {"memory": "1GB"}}),
        'spec.template.spec.containers[0].resources.limits.memory: "1GB" is no quantity; write it as in 500m, 1.5 or 128Mi',
    ),
    "overflow": (changed(replicas=2**31), "spec.replicas: 2147483648 is greater than the greatest allowed value, 2147483647; use a smaller one"),
    "same key": (
        with_container(env=[{"name": "A"}, {"name": "B"}, {"name": "A"}]),
        "spec.template.spec.containers[0].env: items 0 and 2 have the same name; keep one of them",
    ),
    "same port and protocol": (
        with_container(ports=[{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]),
        "spec.template.spec.containers[0].ports: items 0 and 1 have the same containerPort and protocol; keep one of them",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "message"), MESSAGES.values(), ids=MESSAGES.keys())
def test_a_fault_says_where_what_and_what_to_do(known: Catalogue, body: dict, message: str):
    assert said(known, DEPLOYMENT, body) == [message]


@pytest.mark.parametrize("data", [{"a": "hunter2!"}, {"a": 20251234}, "hunter2", ["hunter2"]], ids=["no-base64", "number", "text", "list"])
def test_no_value_of_a_secret_is_shown(known: Catalogue, data: object):
    (message,) = said(known, SECRET, manifest("Secret", "s", data=data))
    assert "hunter2" not in message
    assert "2025" not in message
    assert "***" in message


def test_terminal_escapes_in_names_and_values_are_shown_as_text(known: Catalogue):
    text = "".join(said(known, DEPLOYMENT, changed(**{"\x1b[31mred\n": 1, "replicas": "\x1b[2J"})))
    assert text.isprintable()


def test_of_an_object_with_many_faults_the_first_are_told(known: Catalogue):
    body = manifest("ConfigMap", "a", data={f"k{i}": i for i in range(1000)})
    assert len(known.faults(Gvk("", "v1", "ConfigMap"), body)) == catalogue.FAULTS_PER_OBJECT


def test_a_null_field_is_as_good_as_none(known: Catalogue):
    assert known.faults(DEPLOYMENT, changed(replicas=None, strategy=None)) == []


def test_a_path_is_written_as_people_write_it():
    assert faults.spell(("metadata", "labels", "a.b/c")) == 'metadata.labels["a.b/c"]'
    assert faults.spell(("spec", "ports", 0, "port")) == "spec.ports[0].port"
    assert faults.spell(()) == ""


# -- kinds ---------------------------------------------------------------------------------------------------------


def test_kubernetes_own_kinds_are_known_with_their_scope(known: Catalogue):
    resource = known.resource(DEPLOYMENT)
    assert resource is not None
    assert (resource.plural, resource.namespaced) == ("deployments", True)
    namespace = known.resource(Gvk("", "v1", "Namespace"))
    assert namespace is not None
    assert not namespace.namespaced


def test_a_removed_version_is_known_to_be_wrong_and_which_one_is_right(known: Catalogue):
    old = Gvk("extensions", "v1beta1", "Ingress")
    assert not known.has_schema(old)
    assert known.owns_group("extensions")
    assert known.remedy(old) == "use networking.k8s.io/v1"
    assert known.remedy(Gvk("batch", "v1beta1", "CronJob")) == "use batch/v1"
    assert known.remedy(Gvk("apps", "v1", "Deploymnt")) == "did you mean Deployment?"
    assert known.remedy(Gvk("apps", "v1", "Nonsense")) == "correct apiVersion and kind"


def test_a_group_of_somebody_else_may_have_any_kind(known: Catalogue):
    assert not known.owns_group("example.io")
    assert not known.owns_group("gateway.networking.k8s.io")


def test_the_built_in_schemas_are_small_and_quick_to_load():
    started = time.perf_counter()
    builtin.load()
    assert time.perf_counter() - started < 0.5
    assert len(builtin.packed()) < 100_000


# -- CRDs ----------------------------------------------------------------------------------------------------------


def with_definition(schema: dict | None) -> Catalogue:
    known = Catalogue(builtin.load())
    known.add(definition("example.io", "Widget", schema))
    return known


def widget(**fields: object) -> dict:
    return manifest("Widget", "w", api_version="example.io/v1", **fields)


SPEC = {"type": "object", "properties": {"spec": {"type": "object", "required": ["size"], "properties": {"size": {"type": "integer"}}}}}


def test_a_custom_resource_is_judged_by_its_definition():
    known = with_definition(SPEC)
    assert said(known, WIDGET, widget(spec={"size": 1})) == []
    assert said(known, WIDGET, widget(spec={"size": "1", "sise": 2})) == [
        "spec.sise: is an unknown field; did you mean size?",
        'spec.size: "1" is not an integer; remove the quotes',
    ]
    assert said(known, WIDGET, widget(spec={})) == ["spec.size: is missing; add it"]


def test_the_metadata_of_a_custom_resource_is_known_without_its_definition():
    (fault,) = said(with_definition(SPEC), WIDGET, {**widget(spec={"size": 1}), "metadata": {"name": "w", "lables": {}}})
    assert fault == "metadata.lables: is an unknown field; did you mean labels?"


def test_a_definition_without_a_schema_takes_no_part():
    known = Catalogue(builtin.load())
    body = definition("example.io", "Widget")
    del body["spec"]["versions"][0]["schema"]
    known.add(body)
    assert not known.has_schema(WIDGET)


def test_a_version_that_is_not_served_is_not_known():
    known = Catalogue(builtin.load())
    body = definition("example.io", "Widget", SPEC)
    body["spec"]["versions"][0]["served"] = False
    known.add(body)
    assert not known.has_schema(WIDGET)


@pytest.mark.parametrize("spec", [{}, {"group": 1}, {"group": "a", "names": [], "versions": []}, {"group": "a", "names": {"kind": "B"}, "versions": [1]}, None])  # fmt: skip
def test_a_definition_that_is_not_well_formed_brings_nothing(spec: object):
    known = Catalogue(builtin.load())
    known.add({"spec": spec})
    assert not known.has_schema(Gvk("a", "v1", "B"))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)("}}},
        {"type": "object", "properties": {"a": {"type": "no such type"}}},
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": "x"}}},
    ],
    ids=["pattern", "type", "limit"],
)
def test_a_schema_that_is_of_no_use_is_said_so_and_nothing_else_fails(schema: dict):
    known = with_definition(schema)
    with pytest.raises(catalogue.SchemaError):
        known.faults(WIDGET, widget(a="x"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS) | st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(schema=st.dictionaries(st.sampled_from(KEYWORDS), JSON, max_size=6), value=JSON)
def test_whatever_stands_in_a_definition_or_an_object_is_judged_or_refused(schema: dict, value: object):
    known = with_definition({"type": "object", "properties": {"a": schema}})
    if known.has_schema(WIDGET):
        with suppress(catalogue.SchemaError):
            assert all(fault.message.isprintable() for fault in known.faults(WIDGET, widget(a=value)))


@given(value=JSON)
def test_whatever_stands_in_a_pod_is_judged(known: Catalogue, value: object):
    assert all(fault.message.isprintable() for fault in known.faults(DEPLOYMENT, with_container(args=value, env=value, resources=value)))


def test_a_definition_cannot_change_what_kubernetes_own_kinds_are():
    known = Catalogue(builtin.load())
    known.add(definition("apps", "Deployment"))
    assert known.faults(DEPLOYMENT, changed(replicas="3"))


def test_a_hostile_pattern_costs_no_time():
    known = with_definition({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}})
    started = time.perf_counter()
    assert known.faults(WIDGET, widget(a="a" * 50_000 + "!"))
    assert time.perf_counter() - started < 2


def test_a_field_named_like_a_keyword_is_a_field():
    known = with_definition({"type": "object", "properties": {"$ref": {"type": "string"}, "properties": {"type": "integer"}}})
    assert said(known, WIDGET, widget(**{"$ref": "x", "properties": 1})) == []
    assert [fault.path for fault in known.faults(WIDGET, widget(**{"$ref": 1}))] == [("$ref",)]


def test_our_own_kind_is_judged_like_any_other():
    known = Catalogue(builtin.load())
    known.add(cluster_state_crd())
    gvk = Gvk("cvstate.io", "v1alpha1", "ClusterState")
    body = manifest("ClusterState", "x", api_version="cvstate.io/v1alpha1", spec={"source": {"git": {"url": "https://a/b", "pth": "x"}}})
    assert said(known, gvk, body) == ["spec.source.git.pth: is an unknown field; did you mean path?"]
