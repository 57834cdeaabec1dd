"""The score and its confidence.

Aspects: the golden table (score_golden.yaml) · the examples of docs/score.md are rows of it, and their sums are right · nothing that gets worse raises the
score or the confidence · 100 means all · what pulls, how much, and in which order · what is hostile · the same in any order.
"""

import ast
import math
import operator
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.drift import Severity
from cvstate_operator.vital.health.lapse import HealthCounts
from cvstate_operator.vital.item import Item, ItemKind
from cvstate_operator.vital.verdicts import score
from cvstate_operator.vital.verdicts.compliance import Configuration
from cvstate_operator.vital.verdicts.score import MOST_PULLS
from cvstate_operator.vital.verdicts.vetoes import CAPS, VetoReason

GOLDEN = yaml.safe_load((Path(__file__).parent / "score_golden.yaml").read_text())
PAGE = (Path(__file__).parents[4] / "docs" / "score.md").read_text()
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)

TEN = Configuration(10)
READY = HealthCounts(ready=10)


def item(name: str = "error-rate", value: float | None = 1.0, **more: Any) -> Item:
    """A signal in its range, of weight 1."""
    given = {
        "kind": ItemKind.SIGNAL,
        "weight": 1,
        "is_known": value is not None,
        "is_critical": False,
        "is_breached": False,
        "message": "is fine",
    }
    return Item(name=name, value=value, **{**given, **more})


def configuration(told: Mapping[str, Any]) -> Configuration:
    drift = {Severity(name): count for name, count in told.get("drift", {}).items()}
    counts = {name: told[name] for name in ("failed", "held", "unjudged", "unseen", "leaving", "absent") if name in told}
    return Configuration(
        told.get("desired", 10), drift, is_evaluated=told.get("evaluated", True), is_source_fresh=told.get("fresh", True), **counts
    )


def golden_item(told: Mapping[str, Any]) -> Item:
    is_slo = "slo" in told
    return item(
        told["slo" if is_slo else "signal"],
        told["value"],
        kind=ItemKind.SLO if is_slo else ItemKind.SIGNAL,
        weight=told.get("weight", 3 if is_slo else 1),
        is_known=told.get("known", told["value"] is not None),
        is_critical=told.get("critical", False),
        is_breached=told.get("breached", False),
    )


def state(row: Mapping[str, Any]) -> tuple[Configuration, HealthCounts, list[Item]]:
    items = [golden_item(told) for told in row.get("items", ()) for _ in range(told.get("times", 1))]
    return configuration(row.get("configuration", {})), HealthCounts(**row.get("health", {})), items


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"].replace(" ", "-")) for row in GOLDEN])
def test_the_golden_table_holds(row: Mapping[str, Any]) -> None:
    found = score.evaluate(*state(row))
    told = {name: getattr(found, name) for name in ("score", "confidence", "configuration", "vital", "worst")}
    assert told == row["then"]
    assert {veto.reason for veto in found.vetoes} == set(row.get("vetoes", ()))


def test_the_golden_table_is_long_enough_and_says_nothing_twice() -> None:
    assert len(GOLDEN) >= 50
    assert len({row["name"] for row in GOLDEN}) == len({repr(state(row)) for row in GOLDEN}) == len(GOLDEN)
    assert {reason for row in GOLDEN for reason in row.get("vetoes", ())} == {reason.value for reason in VetoReason}


# -- the page ------------------------------------------------------------------------------------------------------


def examples() -> list[tuple[Mapping[str, Any], str]]:
    """Rows on the page, and the sums below each."""
    found = re.findall(r"^```yaml\n(- name: a shop.*?)^```\n+^```text\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    return [(yaml.safe_load(row)[0], sums) for row, sums in found]


def value_of(sum_told: str) -> float:
    """The value of a sum of numbers, as people write it."""
    operators = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}

    def of(node: ast.expr) -> float:
        match node:
            case ast.BinOp(left=left, op=sign, right=right):
                return float(operators[type(sign)](of(left), of(right)))
            case ast.Constant(value=int() | float() as number):
                return float(number)
        raise ValueError(sum_told)

    return of(ast.parse(sum_told.replace("×", "*"), mode="eval").body)


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"].replace(" ", "-")) for row, _ in examples()])
def test_an_example_of_the_page_is_a_row_of_the_golden_table(row: Mapping[str, Any]) -> None:
    assert row in GOLDEN


def test_the_page_has_every_row_that_is_called_an_example() -> None:
    named = [row["name"] for row in GOLDEN if row["name"].startswith("a shop")]
    assert [row["name"] for row, _ in examples()] == named
    assert len(named) >= 4


@pytest.mark.parametrize(("row", "sums"), [pytest.param(*each, id=each[0]["name"].replace(" ", "-")) for each in examples()])
def test_the_sums_on_the_page_are_right(row: Mapping[str, Any], sums: str) -> None:
    told = re.findall(r"^(\w+) += (.+) = ([\d.]+)(?:, at most (\d+))? → (\d+)$", sums, flags=re.MULTILINE)
    assert len(told) == len(sums.splitlines()) == 4
    for name, left, right, cap, result in told:
        assert value_of(left) == pytest.approx(float(right), abs=0.005)
        assert int(result) == min(int(float(right)), int(cap or 100)) == row["then"][name]


def test_the_page_has_every_veto_with_its_cap() -> None:
    table = re.findall(r"^\| (\d+) \| ((?:`\w+`(?:, )?)+) \|", PAGE, flags=re.MULTILINE)
    told = {VetoReason(name): int(cap) for cap, names in table for name in re.findall(r"`(\w+)`", names)}
    assert told == CAPS


# -- worse is never better -----------------------------------------------------------------------------------------

SEVERITIES = st.fixed_dictionaries({}, optional={severity: st.integers(0, 3) for severity in Severity})
CONFIGURATIONS = st.builds(
    lambda as_declared, drift, failed, held, unjudged, seen, leaving, flags: Configuration(
        as_declared + sum(drift.values()) + failed + held + unjudged,
        drift,
        failed,
        held,
        unjudged,
        min(seen, as_declared + sum(drift.values()) + failed + held),
        leaving,
        is_evaluated=flags[0],
        is_source_fresh=flags[1],
    ),
    st.integers(0, 40),
    SEVERITIES,
    *(st.integers(0, 3),) * 5,
    st.tuples(st.booleans(), st.booleans()),
)


@st.composite
def healths(draw: st.DrawFn) -> HealthCounts:
    few = st.integers(0, 3)
    degraded, failed, missing = draw(few), draw(few), draw(few)
    outdated = min(draw(few), degraded + failed + missing)
    return HealthCounts(draw(st.integers(0, 40)), draw(few), degraded, failed, missing, draw(few), outdated)


HEALTHS = healths()
VALUES = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])
ITEMS = st.lists(
    st.builds(
        lambda value, name, **more: item(name, value, **{**more, "is_known": more["is_known"] and value is not None}),
        st.none() | VALUES,
        st.sampled_from("abcdef"),
        kind=st.sampled_from([ItemKind.SIGNAL, ItemKind.SLO]),
        weight=st.integers(1, 100),
        is_known=st.booleans(),
        is_critical=st.booleans(),
        is_breached=st.booleans(),
    ),
    max_size=8,
)

WORSE_OBJECTS = ["ready", "progressing", "degraded", "failed"]
"""Levels that are known, from good to bad; Missing is as bad as Failed."""
WORSE_DRIFT: list[Severity | None] = [None, *Severity]


@st.composite
def worse_items(draw: st.DrawFn, items: list[Item]) -> list[Item]:
    """The same, one of them worse in one way."""
    position = draw(st.integers(0, len(items) - 1))
    one = items[position]
    changed = [replace(one, is_known=False), replace(one, is_breached=True)]
    if one.value is not None:
        changed.append(replace(one, value=draw(st.floats(0, one.value))))
    if one.is_breached or not one.is_known:
        changed.append(replace(one, is_critical=True))
    return [*items[:position], draw(st.sampled_from(changed)), *items[position + 1 :]]


@st.composite
def worse_health(draw: st.DrawFn, health: HealthCounts) -> HealthCounts:
    """The same, with one object worse, or not known any more."""
    moves = [pair for index, level in enumerate(WORSE_OBJECTS) for pair in ((level, to) for to in WORSE_OBJECTS[index + 1 :])]
    moves += [("ready", "unknown"), ("progressing", "unknown"), ("degraded", "missing"), ("progressing", "missing"), ("ready", "missing")]
    possible = [move for move in moves if getattr(health, move[0])]
    found = [replace(health, **{a: getattr(health, a) - 1, b: getattr(health, b) + 1}) for a, b in possible]
    if health.outdated < health.degraded + health.failed + health.missing:
        found.append(replace(health, outdated=health.outdated + 1))
    return draw(st.sampled_from(found)) if found else health


@st.composite
def worse_configuration(draw: st.DrawFn, before: Configuration) -> Configuration:
    """The same, with one object further from what is declared, or less known."""
    found = [replace(before, is_source_fresh=False), replace(before, is_evaluated=False), replace(before, leaving=before.leaving + 1)]
    as_declared = before.desired - sum(before.drift.values()) - before.failed - before.held - before.unjudged
    counts: dict[Severity | None, int] = {None: as_declared, **dict(before.drift.items())}
    for index, severity in enumerate(WORSE_DRIFT):
        if not counts.get(severity):
            continue
        fewer = before if severity is None else replace(before, drift={**before.drift, severity: before.drift[severity] - 1})
        for worse in WORSE_DRIFT[index + 1 :]:
            assert worse is not None
            found.append(replace(fewer, drift={**fewer.drift, worse: fewer.drift.get(worse, 0) + 1}))
        found.append(replace(fewer, failed=fewer.failed + 1))
        if severity is None:
            found.append(replace(fewer, held=fewer.held + 1))
    if as_declared > before.unseen:
        found.append(replace(before, unjudged=before.unjudged + 1))
    if before.unseen < before.desired - before.unjudged:
        found.append(replace(before, unseen=before.unseen + 1))
    return draw(st.sampled_from(found))


def assert_no_better(before: score.Score, after: score.Score) -> None:
    assert after.score is None or (before.score is not None and after.score <= before.score)
    assert after.confidence <= before.confidence


@given(st.data(), CONFIGURATIONS, HEALTHS, ITEMS.filter(bool))
def test_an_item_that_gets_worse_never_raises_score_or_confidence(
    data: st.DataObject, declared: Configuration, health: HealthCounts, items: list[Item]
) -> None:
    after = data.draw(worse_items(items))
    assert_no_better(score.evaluate(declared, health, items), score.evaluate(declared, health, after))


@given(st.data(), CONFIGURATIONS, HEALTHS, ITEMS)
def test_an_object_that_gets_less_healthy_never_raises_score_or_confidence(
    data: st.DataObject, declared: Configuration, health: HealthCounts, items: list[Item]
) -> None:
    after = data.draw(worse_health(health))
    assert_no_better(score.evaluate(declared, health, items), score.evaluate(declared, after, items))


@given(st.data(), CONFIGURATIONS, HEALTHS, ITEMS)
def test_a_configuration_that_gets_worse_never_raises_score_or_confidence(
    data: st.DataObject, declared: Configuration, health: HealthCounts, items: list[Item]
) -> None:
    after = data.draw(worse_configuration(declared))
    assert_no_better(score.evaluate(declared, health, items), score.evaluate(after, health, items))


# -- what the numbers promise --------------------------------------------------------------------------------------


@given(CONFIGURATIONS, HEALTHS, ITEMS)
def test_every_number_is_in_its_range_and_below_every_veto(declared: Configuration, health: HealthCounts, items: list[Item]) -> None:
    found = score.evaluate(declared, health, items)
    for number in (found.score, found.confidence, found.configuration, found.vital, found.potential):
        assert number is None or 0 <= number <= 100
    assert (found.score is None) == (found.configuration is None) == (not declared.is_evaluated)
    assert found.score is None or all(found.score <= veto.cap for veto in found.vetoes)
    assert found.score is None or found.potential is None or found.score <= found.potential


@given(CONFIGURATIONS, HEALTHS, ITEMS)
def test_a_hundred_is_all_right_and_all_known(declared: Configuration, health: HealthCounts, items: list[Item]) -> None:
    found = score.evaluate(declared, health, items)
    faults = sum(declared.drift.values()) + declared.failed + declared.held + declared.leaving + declared.unjudged
    is_well = health.ready + health.progressing == health.total and all(each.value == 1 and not each.is_breached for each in items)
    assert (found.score == 100) == (declared.is_evaluated and not faults and is_well)
    is_seen = declared.is_evaluated and declared.is_source_fresh and not declared.unseen and not declared.unjudged
    is_known = not health.unknown and not health.outdated and all(each.is_known for each in items)
    assert (found.confidence == 100) == (is_seen and is_known)


def test_what_is_hardly_wrong_is_wrong() -> None:
    """The mean of this rounds to 1, as the nearest number that a computer has."""
    found = score.evaluate(TEN, READY, [item(value=math.nextafter(1.0, 0.0))])
    assert (found.vital, found.score) == (99, 99)


@given(CONFIGURATIONS, HEALTHS, ITEMS, st.randoms())
def test_the_order_of_items_does_not_matter(declared: Configuration, health: HealthCounts, items: list[Item], random: Any) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)
    one, other = score.evaluate(declared, health, items), score.evaluate(declared, health, shuffled)
    assert replace(one, pulls=()) == replace(other, pulls=())
    assert [pull.points for pull in one.pulls] == [pull.points for pull in other.pulls]


@given(CONFIGURATIONS, HEALTHS, ITEMS)
def test_nothing_pulls_exactly_if_all_is_right_and_known(declared: Configuration, health: HealthCounts, items: list[Item]) -> None:
    found = score.evaluate(declared, health, items)
    if declared.is_evaluated:
        assert bool(found.pulls) == (found.score != 100 or found.confidence < 100 or any(each.is_breached for each in items))
    assert all(pull.points >= 0 and pull.confidence_points >= 0 for pull in found.pulls)
    assert [pull.points for pull in found.pulls] == sorted((pull.points for pull in found.pulls), reverse=True)


# -- what pulls ----------------------------------------------------------------------------------------------------


def test_a_pull_costs_what_the_score_would_rise_by() -> None:
    bad = item(value=0.0, weight=10, is_breached=True, message="should be <= 0.01 and is not", since=NOW)
    found = score.evaluate(TEN, READY, [bad, item("quota")])
    mended = score.evaluate(TEN, READY, [item(weight=10), item("quota")])
    (pull,) = found.pulls
    assert (pull.name, pull.message, pull.since) == ("error-rate", bad.message, NOW)
    assert found.score is not None
    assert found.score + pull.points == mended.score == 100
    assert pull.confidence_points == 0


def test_of_two_vetoes_both_are_told_even_if_neither_alone_would_help() -> None:
    found = score.evaluate(Configuration(1000, {Severity.HIGH: 1}), HealthCounts(ready=999, failed=1), [])
    assert [(pull.name, pull.points) for pull in found.pulls] == [("Failed", 10), ("HighDrift", 0)]
    found = score.evaluate(Configuration(1000, {Severity.HIGH: 1}), HealthCounts(ready=999, degraded=1), [])
    assert [(pull.name, pull.points) for pull in found.pulls] == [("Degraded", 0), ("HighDrift", 0)]


def test_what_is_not_known_pulls_the_confidence() -> None:
    found = score.evaluate(TEN, READY, [item(is_known=False, is_critical=True)])
    assert [(pull.name, pull.points, pull.confidence_points) for pull in found.pulls] == [("error-rate", 0, 51)]


def test_an_object_made_right_is_known_too() -> None:
    found = score.evaluate(TEN, HealthCounts(ready=9, degraded=1, outdated=1), [])
    assert [(pull.name, pull.confidence_points) for pull in found.pulls] == [("Degraded", 5)]


def test_at_most_a_few_pulls_are_told_the_worst_of_them() -> None:
    items = [item(f"s{weight:03}", 0.0, weight=weight, is_breached=True) for weight in range(1, 101)]
    found = score.evaluate(TEN, READY, items)
    assert len(found.pulls) == MOST_PULLS
    assert found.worst == "s100"


def test_parts_tell_since_when_if_that_is_remembered() -> None:
    found = score.evaluate(Configuration(10, held=2), HealthCounts(ready=9, degraded=1), [], since={"Degraded": NOW})
    assert {pull.name: pull.since for pull in found.pulls} == {"Degraded": NOW, "Held": None}
    assert {pull.message for pull in found.pulls} == {"1 of 10 objects Degraded", "2 of 10 objects held back"}


def test_a_veto_names_the_items_it_is_about() -> None:
    items = [item(name, 0.0, is_breached=True, is_critical=True) for name in ("b", "a")]
    found = score.evaluate(TEN, HealthCounts(ready=9, degraded=1), items)
    assert [(veto.reason, veto.names) for veto in found.vetoes] == [
        (VetoReason.CRITICAL_BREACHED, ("a", "b")),
        (VetoReason.OBJECT_DEGRADED, ()),
    ]
    assert found.breached == ("a", "b")


def test_doubt_about_objects_is_told_from_what_is_wrong() -> None:
    blind = score.evaluate(TEN, HealthCounts(unknown=10), [])
    wrong = score.evaluate(TEN, HealthCounts(unknown=9, failed=1), [])
    assert (blind.score, blind.potential) == (75, 100)
    assert wrong.potential == 70


# -- hostile input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -3.0, 7.0])
@pytest.mark.parametrize("weight", [-5, 0, 1])
def test_a_value_that_is_none_is_bounded(value: float, weight: int) -> None:
    found = score.evaluate(Configuration(0), HealthCounts(), [item(value=value, weight=weight)])
    assert found.score is not None
    assert 0 <= found.score <= 100
    if value != value:
        assert (found.confidence < 100, found.vital) == (True, None)


def test_counts_that_cannot_be_are_bounded() -> None:
    found = score.evaluate(Configuration(-1, {Severity.LOW: -4}, failed=-2, unseen=9), HealthCounts(ready=1, outdated=7), [])
    assert (found.score, found.confidence) == (100, 0)
