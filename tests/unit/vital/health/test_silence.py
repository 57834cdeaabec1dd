"""Objects whose kind has a status, and that have none: nobody looked at them, or nobody ever tells.

Aspects: Unknown and not Current · who cannot have a status is Current · kinds that never tell · what a spec says wins · it holds nothing up, and is not ready
either · who deletes, and who has written, is asked first · the page in docs/ names the kinds.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.vital.health.custom_health import HealthRule, Rules
from cvstate_operator.vital.health.lapse import Level
from cvstate_operator.vital.health.lapses import Lapses
from cvstate_operator.vital.health.library import silent
from cvstate_operator.vital.health.library.catalog import LIBRARY
from cvstate_operator.vital.health.readiness import RULES, readiness
from cvstate_operator.vital.health.state import Reason, Status
from tests.unit.vital.objects import condition, conditions, live

PAGE = Path(__file__).parents[4] / "docs" / "health.md"
WIDGET = GroupKind("example.io", "Widget")
SILENT_KINDS = [GroupKind(group, kind) for group, kinds in silent.KINDS.items() for kind in kinds]


def made(kind: GroupKind = WIDGET, **more: Any) -> dict[str, Any]:
    return live(f"{kind.group}/v1" if kind.group else "v1", kind.kind, generation=1, **more)


@pytest.mark.parametrize(
    "body", [made(), {**made(), "status": None}, live("example.io/v1", "Widget")], ids=["absent", "null", "no-generation"]
)
def test_an_object_that_no_controller_looked_at_is_unknown_and_says_what_to_do(body: dict[str, Any]) -> None:
    found = readiness(body, has_status=True)
    assert (found.status, found.reason) == (Status.UNKNOWN, Reason.NOT_OBSERVED)
    assert "no controller has written its status yet" in found.message
    assert "healthExprs" in found.message
    assert found.message.isprintable()


def test_of_which_generation_that_is_told() -> None:
    assert readiness(made(), has_status=True).generation == 1


def test_an_object_whose_kind_has_no_status_is_current() -> None:
    assert readiness(made()).reason is Reason.NO_STATUS
    assert readiness(made()).status is Status.CURRENT


@pytest.mark.parametrize("status", [{}, {"phase": "x"}, {"observedGeneration": 1}], ids=str)
def test_whatever_is_in_a_status_somebody_wrote_it(status: dict[str, Any]) -> None:
    assert readiness(made(status=status), has_status=True).status is Status.CURRENT


@pytest.mark.parametrize(
    "kind",
    [
        GroupKind("", "ResourceQuota"),
        GroupKind("resource.k8s.io", "ResourceClaim"),
        GroupKind("flowcontrol.apiserver.k8s.io", "FlowSchema"),
        GroupKind("networking.k8s.io", "NetworkPolicy"),
    ],
    ids=str,
)
def test_kinds_of_kubernetes_itself_are_judged_as_always(kind: GroupKind) -> None:
    assert readiness(made(kind), has_status=True) == readiness(made(kind))
    assert readiness(made(kind), has_status=True).status is Status.CURRENT


@pytest.mark.parametrize("kind", [*RULES, *LIBRARY], ids=str)
def test_kinds_with_a_rule_are_judged_as_always(kind: GroupKind) -> None:
    assert readiness(made(kind), has_status=True) == readiness(made(kind))


@pytest.mark.parametrize("kind", SILENT_KINDS, ids=str)
def test_kinds_whose_controllers_never_tell_are_current(kind: GroupKind) -> None:
    assert readiness(made(kind), has_status=True).status is Status.CURRENT


@pytest.mark.parametrize(
    "kind",
    [
        GroupKind("generators.external-secrets.io", "Password"),
        GroupKind("config.openshift.io", "OAuth"),
        GroupKind("infrastructure.cluster.x-k8s.io", "AWSMachineTemplate"),
        GroupKind("bootstrap.cluster.x-k8s.io", "KubeadmConfigTemplate"),
    ],
    ids=str,
)
def test_kinds_that_nobody_can_list_are_known_by_their_groups(kind: GroupKind) -> None:
    assert readiness(made(kind), has_status=True).status is Status.CURRENT


@pytest.mark.parametrize(
    "kind",
    [
        GroupKind("infrastructure.cluster.x-k8s.io", "AWSMachine"),
        GroupKind("example.io", "AWSMachineTemplate"),
        GroupKind("x-k8s.io.example.io", "Template"),
        GroupKind("aws.upbound.io", "ProviderConfig"),
        GroupKind("tekton.dev", "CustomRun"),
    ],
    ids=str,
)
def test_kinds_beside_them_are_not(kind: GroupKind) -> None:
    assert readiness(made(kind), has_status=True).status is Status.UNKNOWN


def test_no_kind_stands_in_two_places() -> None:
    assert len(set(SILENT_KINDS)) == len(SILENT_KINDS)
    assert not set(SILENT_KINDS) & (LIBRARY.keys() | RULES.keys())
    assert list(silent.KINDS) == sorted(silent.KINDS)


@pytest.mark.parametrize("group", silent.KINDS)
def test_the_page_names_them(group: str) -> None:
    assert all(f"`{kind}`" in PAGE.read_text() for kind in silent.KINDS[group])
    assert f"`{group}`" in PAGE.read_text()


def test_a_spec_can_say_that_such_an_object_is_well() -> None:
    rules = Rules([HealthRule(WIDGET, "true")])
    assert readiness(made(), rules, has_status=True).status is Status.CURRENT
    assert readiness(made(), Rules([HealthRule(WIDGET, "self.status.ready")]), has_status=True).status is Status.IN_PROGRESS


def test_one_that_is_being_deleted_is_not_asked() -> None:
    assert readiness(made(deletionTimestamp="2026-01-01T00:00:00Z"), has_status=True).status is Status.TERMINATING


def test_nothing_waits_for_it_and_it_is_not_ready_either() -> None:
    found = readiness(made(), has_status=True)
    assert (found.holds_up, found.is_well) == (False, False)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    lapses, ref = Lapses(300), ObjectRef("example.io", "Widget", "shop", "web")
    assert lapses.note(ref, found, now)
    lapse = lapses.of(ref)
    assert lapse is not None
    assert (lapse.level, lapse.is_known) == (Level.UNKNOWN, False)
    assert lapses.next_change is None, "no time makes it Degraded"


def test_what_is_known_to_be_late_holds_up() -> None:
    found = readiness(made(GroupKind("cert-manager.io", "Issuer")), has_status=True)
    assert (found.status, found.reason, found.holds_up) == (Status.IN_PROGRESS, Reason.NOT_OBSERVED, True)


# -- conditions that speak against it --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Degraded", "Failed", "Error"])
def test_a_condition_that_tells_of_trouble_is_heard_where_none_sums_up(kind: str) -> None:
    found = readiness(made(status=conditions(condition(kind, "True", "Broken", "the disk is full"))), has_status=True)
    assert (found.status, found.reason) == (Status.IN_PROGRESS, Reason.NOT_READY)
    assert found.message == f"{kind} is True: the disk is full"


@pytest.mark.parametrize("kind", ["Degraded", "Failed", "Error"])
def test_it_is_not_where_it_is_false_or_another_sums_up(kind: str) -> None:
    assert readiness(made(status=conditions(condition(kind, "False")))).status is Status.CURRENT
    assert readiness(made(status=conditions(condition(kind, "Unknown")))).status is Status.CURRENT
    assert readiness(made(status=conditions(condition(kind, "True"), condition("Available", "True")))).status is Status.CURRENT


def test_trouble_of_an_older_generation_says_nothing_of_the_newest() -> None:
    old = condition("Degraded", "True", observedGeneration=1)
    found = readiness(live("example.io/v1", "Widget", generation=2, status=conditions(old)))
    assert (found.status, found.reason) == (Status.IN_PROGRESS, Reason.NOT_OBSERVED)
