"""Reading `spec.drift`, its path patterns and its label selectors.

Aspects: defaults · what is accepted · what is refused, and why · the schema is structural and bounded · path patterns · label selectors.
"""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cvstate_operator.api.crd import structural_schema
from cvstate_operator.api.drift import Drift, DriftAction, ExtraFields, Severity
from cvstate_operator.api.label_selector import parse_selector
from cvstate_operator.api.path_pattern import PATTERN, AnyDepth, Keyed, Named, exact, parse_pattern

SCHEMA = structural_schema(Drift)


def test_everything_has_a_default() -> None:
    found = Drift()
    assert (found.transient_for, found.extra_fields, found.ignore, found.rules) == ("0s", ExtraFields.IGNORE, [], [])
    assert (found.breaker.reversals, found.breaker.within, found.breaker.half_open_after) == (3, "10m", "30m")


def test_the_example_of_the_documentation_is_read() -> None:
    found = Drift.model_validate(
        {
            "transientFor": "0s",
            "extraFields": "Report",
            "ignore": [
                {"paths": ["/spec/replicas"], "target": {"kind": "Deployment", "labelSelector": "autoscale=true"}},
                {"managers": ["vpa"]},
            ],
            "rules": [
                {"match": {"kinds": ["RoleBinding"]}, "severity": "Critical", "action": "Auto"},
                {"match": {"kinds": ["StatefulSet"]}, "severity": "High", "action": "Approve"},
            ],
            "breaker": {"reversals": 3, "within": "10m", "halfOpenAfter": "30m"},
        }
    )
    assert [rule.action for rule in found.rules] == [DriftAction.AUTO, DriftAction.APPROVE]
    assert found.ignore[0].target.label_selector == "autoscale=true"


def test_a_rule_without_match_and_severity_is_about_everything_and_leaves_the_severity_to_kind_and_field() -> None:
    (rule,) = Drift.model_validate({"rules": [{"action": "Alert"}]}).rules
    assert (rule.match.kinds, rule.match.paths, rule.severity) == ([], [], None)


def test_severities_have_an_order() -> None:
    assert sorted([Severity.HIGH, Severity.LOW, Severity.CRITICAL, Severity.MEDIUM], key=lambda severity: severity.rank) == list(Severity)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        pytest.param({"transientFor": "5"}, "transientFor", id="no-unit"),
        pytest.param({"transientFor": "9000h"}, "transientFor", id="longer-than-a-year"),
        pytest.param({"extraFields": "Keep"}, "extraFields", id="unknown-choice"),
        pytest.param({"ignore": [{}]}, "ignore", id="ignore-nothing"),
        pytest.param({"ignore": [{"paths": ["/a"], "managers": ["b"]}]}, "ignore", id="ignore-by-both"),
        pytest.param({"ignore": [{"paths": ["spec.replicas"]}]}, "ignore", id="path-with-dots"),
        pytest.param({"ignore": [{"paths": [""]}]}, "ignore", id="empty-path"),
        pytest.param({"ignore": [{"managers": [""]}]}, "ignore", id="empty-manager"),
        pytest.param({"ignore": [{"managers": ["a*b"]}]}, "ignore", id="star-inside-a-name"),
        pytest.param({"ignore": [{"paths": ["/a"], "target": {"kind": "deployment"}}]}, "ignore", id="kind-in-lower-case"),
        pytest.param({"ignore": [{"paths": ["/a"], "target": {"labelSelector": "a b"}}]}, "ignore", id="no-selector"),
        pytest.param({"ignore": [{"paths": ["/a"]}] * 65}, "ignore", id="too-many-ignores"),
        pytest.param({"rules": [{"match": {"kinds": ["apps/Deployment"]}}]}, "rules", id="kind-with-a-slash"),
        pytest.param({"rules": [{"match": {"paths": ["/a//b"]}}]}, "rules", id="empty-step"),
        pytest.param({"rules": [{"severity": "Medium", "action": "Repair"}]}, "rules", id="unknown-action"),
        pytest.param({"rules": [{"severity": "critical"}]}, "rules", id="severity-in-lower-case"),
        pytest.param({"breaker": {"reversals": 0}}, "breaker", id="no-repair-at-all"),
        pytest.param({"breaker": {"reversals": 21}}, "breaker", id="a-fight-without-end"),
        pytest.param({"breaker": {"within": "9s"}}, "breaker", id="window-too-short"),
        pytest.param({"breaker": {"halfOpenAfter": "0s"}}, "breaker", id="probes-without-pause"),
    ],
)
def test_nonsense_is_refused_and_its_place_is_told(raw: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Drift.model_validate(raw)
    assert {error["loc"][0] for error in caught.value.errors()} == {field}


def nodes(schema: dict[str, Any]) -> list[dict[str, Any]]:
    below = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return [schema, *(node for child in below for node in nodes(child))]


def test_the_schema_is_structural_bounded_and_explains_every_field() -> None:
    found = nodes(SCHEMA)
    assert {node["type"] for node in found} == {"object", "array", "string", "integer"}
    assert not any(word in node for node in found for word in ("$ref", "anyOf", "title"))
    assert all("maxItems" in node for node in found if node["type"] == "array")
    assert all("maxLength" in node or "enum" in node for node in found if node["type"] == "string")
    assert all(child.get("description") for node in found for child in node.get("properties", {}).values())


# -- path patterns ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        pytest.param("/spec/replicas", (Named("spec"), Named("replicas")), id="names"),
        pytest.param("/metadata/annotations/a.io~1b~0c", (Named("metadata"), Named("annotations"), Named("a.io/b~c")), id="escapes"),
        pytest.param("/a/~01", (Named("a"), Named("~1")), id="escaped-tilde-before-1"),
        pytest.param("/*/x", (Named("", is_prefix=True), Named("x")), id="any-step"),
        pytest.param("/a.io~1*", (Named("a.io/", is_prefix=True),), id="names-that-start-so"),
        pytest.param("/**/image", (AnyDepth(), Named("image")), id="any-depth"),
        pytest.param("/c/[name=app]", (Named("c"), Keyed((("name", "app"),))), id="item-by-key"),
        pytest.param("/[containerPort=80,protocol=TCP]", (Keyed((("containerPort", "80"), ("protocol", "TCP"))),), id="item-by-two-keys"),
        pytest.param("/[mountPath=~1data,a b]", (Keyed((("mountPath", "/data,a b"),)),), id="comma-and-slash-in-a-value"),
        pytest.param("/[=example.io~1hold]", (Keyed((("", "example.io/hold"),)),), id="element-by-value"),
        pytest.param("/[name=]", (Keyed((("name", ""),)),), id="empty-value"),
        pytest.param("/args/0", (Named("args"), Named("0")), id="position"),
    ],
)
def test_a_pattern_is_read_step_by_step(text: str, steps: Any) -> None:
    assert parse_pattern(text) == steps
    assert re.search(PATTERN, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "must start with '/'", id="empty"),
        pytest.param("spec", "must start with '/'", id="relative"),
        pytest.param("/", "step 1 is empty", id="root"),
        pytest.param("/a//b", "step 2 is empty", id="empty-step"),
        pytest.param("/a/", "step 2 is empty", id="slash-at-the-end"),
        pytest.param("/a/b~2", "step 2 holds a bare '~'", id="unknown-escape"),
        pytest.param("/a/***", "step 2 holds '*' before its end", id="three-stars"),
        pytest.param("/a*b", "step 1 holds '*' before its end", id="star-inside"),
        pytest.param("/a/[name]", "step 2 is no list item", id="key-without-value"),
        pytest.param("/a/[name=app", "step 2 is no list item", id="open-bracket"),
        pytest.param("/a/[]", "step 2 is no list item", id="empty-brackets"),
        pytest.param("/a/[=x,name=y]", "step 2 is no list item", id="value-beside-key"),
        pytest.param("/" + "a" * 512, "longer than 512", id="too-long"),
        pytest.param("/a" * 33, "more than 32 steps", id="too-deep"),
    ],
)
def test_a_pattern_that_is_none_is_refused_with_the_step_that_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_pattern(text)


@given(st.lists(st.text(), max_size=6))
def test_an_exact_pattern_takes_every_name_literally(names: list[str]) -> None:
    pointer = "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
    assert exact(pointer) == tuple(Named(name) for name in names)


@given(st.text(alphabet="/*[]=,~01ab", max_size=30))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    try:
        steps = parse_pattern(text)
    except ValueError:
        return
    assert len(steps) == text.count("/")


# -- label selectors ------------------------------------------------------------------------------------------------------

WEB = {"app": "web", "example.io/tier": "front"}


@pytest.mark.parametrize(
    ("selector", "met"),
    [
        pytest.param("", True, id="empty"),
        pytest.param("app=web", True, id="equal"),
        pytest.param("app==web", True, id="equal-twice"),
        pytest.param("app=api", False, id="another-value"),
        pytest.param("x=", False, id="no-label-is-no-empty-value"),
        pytest.param("app!=api", True, id="unequal"),
        pytest.param("app!=web", False, id="unequal-but-equal"),
        pytest.param("x!=1", True, id="unequal-to-nothing"),
        pytest.param("app in (api, web)", True, id="in"),
        pytest.param("app in (api)", False, id="not-in-it"),
        pytest.param("app notin (api,db)", True, id="notin"),
        pytest.param("x notin (a)", True, id="notin-without-label"),
        pytest.param("app", True, id="has"),
        pytest.param("!app", False, id="has-not"),
        pytest.param("! x", True, id="has-not-with-a-blank"),
        pytest.param("in", False, id="a-key-that-is-a-word"),
        pytest.param(" app = web , example.io/tier in (front,back),!x ", True, id="all-of-several"),
        pytest.param("app=web,x", False, id="not-all-of-several"),
    ],
)
def test_a_selector_is_met_by_labels(selector: str, met: bool) -> None:
    assert all(part.holds(WEB) for part in parse_selector(selector)) is met


@pytest.mark.parametrize(
    "selector", ["a b", "a=b c", ",", "a,", "a in b", "a in (b", "a in (b c)", "=b", "a>1", "!", "-a", "a=b)", "a" * 1025]
)
def test_a_selector_that_is_none_is_refused(selector: str) -> None:
    with pytest.raises(ValueError, match=r"part \d|longer"):
        parse_selector(selector)
