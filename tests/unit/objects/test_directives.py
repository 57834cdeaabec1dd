"""Directives.

Aspects: every value of ours and of Flux, Argo CD and Helm · case and space · ours wins, and of the others the one that does less · what follows from what ·
bounds of waves · faults, and what is shown of them · live objects never raise and are left alone in doubt · one object for equal directives · JSON.
"""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cvstate_operator.api.propagation import PropagationPolicy
from cvstate_operator.objects import directives as module
from cvstate_operator.objects.directives import (
    DEFAULT,
    KEPT_APART,
    MAX_WAVE,
    Apply,
    DirectiveError,
    Directives,
    Prune,
    Recreate,
    of_live,
    parse,
)

APPLY, PRUNE, RECREATE, RECONCILE, WAVE = (f"cvstate.io/{name}" for name in ("apply", "prune", "recreate", "reconcile", "wave"))
FLUX = "kustomize.toolkit.fluxcd.io"
OPTIONS = "argocd.argoproj.io/sync-options"
SYNC_WAVE = "argocd.argoproj.io/sync-wave"
HELM = "helm.sh/resource-policy"
KEPT = Directives(prune=Prune.DISABLED, delete_with_parent=False)
CONFIRMED = Directives(prune=Prune.CONFIRM, delete_with_parent=False)
LEFT_ALONE = Directives(reconcile=False, prune=Prune.DISABLED, delete_with_parent=False)
OURS = (APPLY, PRUNE, RECREATE, RECONCILE, WAVE)
FOREIGN = (*(f"{FLUX}/{name}" for name in ("ssa", "prune", "force", "reconcile")), OPTIONS, SYNC_WAVE, HELM)


# -- values ------------------------------------------------------------------------------------------------------------

VALUES: list[tuple[str, str, Directives]] = [
    (APPLY, "Override", DEFAULT),
    (APPLY, "IfNotPresent", Directives(apply=Apply.IF_NOT_PRESENT)),
    (APPLY, "Ignore", Directives(apply=Apply.IGNORE)),
    (PRUNE, "Enabled", DEFAULT),
    (PRUNE, "Disabled", KEPT),
    (PRUNE, "Confirm", CONFIRMED),
    (RECREATE, "Enabled", Directives(recreate=Recreate.ENABLED)),
    (RECREATE, "Disabled", Directives(recreate=Recreate.DISABLED)),
    (RECONCILE, "Enabled", DEFAULT),
    (RECONCILE, "Disabled", LEFT_ALONE),
    (WAVE, "0", DEFAULT),
    (WAVE, "5", Directives(wave=5)),
    (WAVE, "+5", Directives(wave=5)),
    (WAVE, "-5", Directives(wave=-5)),
    (WAVE, "007", Directives(wave=7)),
    (WAVE, "1000000", Directives(wave=MAX_WAVE)),
    (WAVE, "-1000000", Directives(wave=-MAX_WAVE)),
]
FLUX_VALUES: list[tuple[str, str, Directives]] = [
    (f"{FLUX}/ssa", "Override", DEFAULT),
    (f"{FLUX}/ssa", "Merge", DEFAULT),
    (f"{FLUX}/ssa", "IfNotPresent", Directives(apply=Apply.IF_NOT_PRESENT)),
    (f"{FLUX}/ssa", "Ignore", Directives(apply=Apply.IGNORE)),
    (f"{FLUX}/prune", "enabled", DEFAULT),
    (f"{FLUX}/prune", "disabled", KEPT),
    (f"{FLUX}/force", "enabled", Directives(recreate=Recreate.ENABLED)),
    (f"{FLUX}/force", "disabled", Directives(recreate=Recreate.DISABLED)),
    (f"{FLUX}/reconcile", "enabled", DEFAULT),
    (f"{FLUX}/reconcile", "disabled", LEFT_ALONE),
]
OTHER_VALUES: list[tuple[str, str, Directives]] = [
    (OPTIONS, "Prune=false", KEPT),
    (OPTIONS, "Prune=confirm", CONFIRMED),
    (OPTIONS, "Prune=true", DEFAULT),
    (OPTIONS, "Delete=false", Directives(delete_with_parent=False)),
    (OPTIONS, "Delete=confirm", Directives(delete_with_parent=False)),
    (OPTIONS, "Force=true,Replace=true", Directives(recreate=Recreate.ENABLED)),
    (OPTIONS, "Replace=true, ServerSideApply=true , Force=true", Directives(recreate=Recreate.ENABLED)),
    (OPTIONS, "Force=true", DEFAULT),
    (OPTIONS, "Replace=true", DEFAULT),
    (OPTIONS, "ServerSideApply=true,Validate=false,SkipDryRunOnMissingResource=true", DEFAULT),
    (OPTIONS, "Prune=confirm,Prune=false", KEPT),
    (OPTIONS, "PrunePropagationPolicy=foreground", Directives(propagation=PropagationPolicy.FOREGROUND)),
    (OPTIONS, "PruneLast=true, PrunePropagationPolicy=orphan", Directives(propagation=PropagationPolicy.ORPHAN)),
    (OPTIONS, "PrunePropagationPolicy=background", Directives(propagation=PropagationPolicy.BACKGROUND)),
    (OPTIONS, "PrunePropagationPolicy=background,PrunePropagationPolicy=foreground", Directives(propagation=PropagationPolicy.FOREGROUND)),
    (OPTIONS, "PrunePropagationPolicy=sideways", DEFAULT),
    (OPTIONS, "", DEFAULT),
    (SYNC_WAVE, "-3", Directives(wave=-3)),
    (SYNC_WAVE, "1000001", Directives(wave=MAX_WAVE)),
    (SYNC_WAVE, "-9223372036854775808", Directives(wave=-MAX_WAVE)),
    (HELM, "keep", KEPT),
]
TABLE = pytest.mark.parametrize(("annotation", "value", "expected"), [*VALUES, *FLUX_VALUES, *OTHER_VALUES])


@TABLE
def test_each_value_has_its_meaning_in_git_and_on_a_live_object(annotation: str, value: str, expected: Directives) -> None:
    assert parse({annotation: value, "example.io/other": "x"}) == expected
    assert of_live({annotation: value, "example.io/other": "x"}) == expected


@TABLE
def test_neither_case_nor_space_around_matters(annotation: str, value: str, expected: Directives) -> None:
    assert parse({annotation: f" {value.upper()}\n"}) == parse({annotation: f"\t{value.lower()}  "}) == expected


@pytest.mark.parametrize(("label", "value", "expected"), FLUX_VALUES)
def test_what_flux_reads_from_labels_counts(label: str, value: str, expected: Directives) -> None:
    assert parse(None, {label: value}) == of_live(None, {label: value}) == expected
    assert parse({label: "other"}, {label: value}) == expected


@pytest.mark.parametrize(("label", "value", "_"), [*VALUES, *OTHER_VALUES])
def test_labels_of_anybody_else_say_nothing(label: str, value: str, _: Directives) -> None:
    assert parse({}, {label: value}) is DEFAULT


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        ("argocd.argoproj.io/skip-reconcile", "true"),
        ("argocd.argoproj.io/hook", "PreSync"),
        ("argocd.argoproj.io/compare-options", "IgnoreExtraneous"),
        ("helm.sh/hook", "pre-install"),
        ("helm.sh/hook-weight", "5"),
        ("cvstate.io/substitute", "disabled"),
        *((annotation, "maybe") for annotation in FOREIGN),
        *((annotation, "") for annotation in FOREIGN),
    ],
)
def test_what_is_not_our_business_changes_nothing(annotation: str, value: str) -> None:
    assert parse({annotation: value}) is of_live({annotation: value}) is DEFAULT


# -- together ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param({APPLY: "Override", f"{FLUX}/ssa": "Ignore"}, DEFAULT, id="apply"),
        pytest.param({PRUNE: "Enabled", f"{FLUX}/prune": "disabled", OPTIONS: "Prune=false", HELM: "keep"}, DEFAULT, id="prune"),
        pytest.param({PRUNE: "Confirm", OPTIONS: "Prune=false"}, CONFIRMED, id="prune-confirm"),
        pytest.param({RECREATE: "Disabled", f"{FLUX}/force": "enabled"}, Directives(recreate=Recreate.DISABLED), id="recreate"),
        pytest.param({RECONCILE: "Enabled", f"{FLUX}/reconcile": "disabled"}, DEFAULT, id="reconcile"),
        pytest.param({WAVE: "0", SYNC_WAVE: "7"}, DEFAULT, id="wave"),
    ],
)
def test_ours_wins(annotations: Mapping[str, str], expected: Directives) -> None:
    assert parse(annotations) == of_live(annotations) == expected


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param({f"{FLUX}/prune": "enabled", OPTIONS: "Prune=false"}, KEPT, id="argo-keeps"),
        pytest.param({f"{FLUX}/prune": "disabled", OPTIONS: "Prune=confirm"}, KEPT, id="flux-keeps"),
        pytest.param({HELM: "keep", OPTIONS: "Prune=confirm"}, KEPT, id="helm-keeps"),
        pytest.param(
            {f"{FLUX}/force": "disabled", OPTIONS: "Force=true,Replace=true"}, Directives(recreate=Recreate.DISABLED), id="recreate"
        ),
    ],
)
def test_of_two_others_the_one_that_does_less_wins(annotations: Mapping[str, str], expected: Directives) -> None:
    assert parse(annotations) == expected


def test_between_annotation_and_label_of_flux_the_one_that_does_less_wins() -> None:
    assert parse({f"{FLUX}/ssa": "IfNotPresent"}, {f"{FLUX}/ssa": "Ignore"}).apply is Apply.IGNORE
    assert parse({f"{FLUX}/force": "enabled"}, {f"{FLUX}/force": "disabled"}).recreate is Recreate.DISABLED


def test_what_is_pruned_may_still_be_kept_when_its_parent_goes() -> None:
    assert parse({PRUNE: "Enabled", OPTIONS: "Delete=false"}) == Directives(delete_with_parent=False)


def test_what_is_not_reconciled_is_not_pruned_either() -> None:
    assert parse({RECONCILE: "Disabled", PRUNE: "Enabled", APPLY: "Override"}) == LEFT_ALONE


@given(
    st.dictionaries(st.sampled_from([*OURS, *FOREIGN]), st.sampled_from([value for _, value, _ in (*VALUES, *FLUX_VALUES, *OTHER_VALUES)]))
)
def test_nothing_goes_with_its_parent_that_would_not_be_pruned(annotations: dict[str, str]) -> None:
    found = of_live(annotations)
    assert found.prune is Prune.ENABLED or not found.delete_with_parent
    assert found.reconcile or found.prune is Prune.DISABLED


# -- faults ------------------------------------------------------------------------------------------------------------

BAD = [
    (APPLY, "Merge", "one of Override, IfNotPresent, Ignore", Directives(apply=Apply.IGNORE)),
    (PRUNE, "maybe", "one of Enabled, Disabled, Confirm", KEPT),
    (PRUNE, "", "one of Enabled, Disabled, Confirm", KEPT),
    (RECREATE, "true", "one of Enabled, Disabled", Directives(recreate=Recreate.DISABLED)),
    (RECONCILE, "disbled", "one of Enabled, Disabled", LEFT_ALONE),
    *(
        (WAVE, value, "a whole number from -1000000 to 1000000", DEFAULT)
        for value in ("", "first", "1.5", "1e3", "1_000", "٣", "- 5", "--5", "1000001", "-1000001", "9" * 5000)
    ),
]


@pytest.mark.parametrize(("annotation", "value", "expected", "_"), BAD)
def test_a_value_of_ours_that_is_not_known_is_a_fault(annotation: str, value: str, expected: str, _: Directives) -> None:
    with pytest.raises(DirectiveError) as caught:
        parse({annotation: value})
    shown = value if len(value) <= 60 else f"{value[:59]}…"
    assert str(caught.value) == f"annotation {annotation}: {shown!r} is not {expected}"
    assert (caught.value.annotation, caught.value.field) == (annotation, f"metadata.annotations[{annotation}]")


@pytest.mark.parametrize(("annotation", "value", "_", "expected"), BAD)
def test_on_a_live_object_it_means_to_leave_the_object_alone(annotation: str, value: str, _: str, expected: Directives) -> None:
    assert of_live({annotation: value}) == expected


def test_a_fault_is_one_line_and_can_be_told_without_the_value() -> None:
    with pytest.raises(DirectiveError) as caught:
        parse({PRUNE: "hunter2\n\x1b[31m"})
    assert str(caught.value).isprintable()
    assert "hunter2" not in caught.value.discreet
    assert PRUNE in caught.value.discreet


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
marks = st.dictionaries(st.sampled_from([*OURS, *FOREIGN]) | st.text(max_size=5), anything, max_size=8)


@given(marks | anything, marks | anything)
@example({WAVE: "\ud800", PRUNE: 1, OPTIONS: ["Prune=false"], SYNC_WAVE: 3}, {f"{FLUX}/prune": None})
def test_no_live_object_raises_and_its_wave_is_bounded(annotations: Any, labels: Any) -> None:
    assert -MAX_WAVE <= of_live(annotations, labels).wave <= MAX_WAVE


@given(st.dictionaries(st.sampled_from([*OURS, *FOREIGN]), st.text(max_size=8) | st.sampled_from([v for _, v, _ in VALUES])))
def test_what_can_be_parsed_means_the_same_on_a_live_object(annotations: dict[str, str]) -> None:
    try:
        found = parse(annotations)
    except DirectiveError:
        return
    assert of_live(annotations) is found


# -- one object for all ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("annotations", [None, {}, {"example.io/a": "b"}, {PRUNE: "Enabled", WAVE: "0"}, {OPTIONS: "Validate=false"}])
def test_objects_that_ask_for_nothing_share_the_default(annotations: Mapping[str, str] | None) -> None:
    assert parse(annotations) is of_live(annotations) is DEFAULT
    assert Directives.from_json({}) is DEFAULT


def test_equal_directives_are_one_object_however_they_were_written() -> None:
    found = parse({PRUNE: "Disabled", WAVE: "3"})
    assert parse({f"{FLUX}/prune": "DISABLED", SYNC_WAVE: "+3"}) is of_live({PRUNE: "disabled", WAVE: " 3"}) is found
    assert Directives.from_json(found.to_json()) is found
    assert {found: 1}[parse({HELM: "keep", WAVE: "3"})] == 1


def test_many_different_directives_are_not_kept() -> None:
    for wave in range(KEPT_APART + 10):
        parse({WAVE: str(wave)})
    assert module._shared.cache_info().currsize <= KEPT_APART


# -- JSON --------------------------------------------------------------------------------------------------------------

some = st.builds(
    Directives,
    st.sampled_from(Apply),
    st.sampled_from(Prune),
    st.booleans(),
    st.none() | st.sampled_from(Recreate),
    st.booleans(),
    st.integers(-MAX_WAVE, MAX_WAVE),
    st.none() | st.sampled_from(PropagationPolicy),
)


@given(some)
def test_directives_survive_json(directives: Directives) -> None:
    again = Directives.from_json(orjson.loads(orjson.dumps(directives.to_json())))
    assert again == directives
    assert (type(again.apply), type(again.prune), type(again.recreate)) == (Apply, Prune, type(directives.recreate))


def test_json_holds_only_what_differs_from_the_default() -> None:
    assert DEFAULT.to_json() == {}
    assert parse({WAVE: "5"}).to_json() == {"wave": 5}
    assert parse({PRUNE: "Confirm"}).to_json() == {"prune": "Confirm", "delete_with_parent": False}


def test_a_word_that_is_not_known_is_not_taken_from_json() -> None:
    with pytest.raises(ValueError, match="maybe"):
        Directives.from_json({"prune": "maybe"})
