"""`cvstate tree`, without a cluster: which object is below which, what is shown of it, and the JSON.

Aspects: owners, claims of StatefulSets, custom resources, what is left out · the filter and the depth · names, columns and sentences at every width · many Pods ·
what may not be listed · JSON · foreign text.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cvstate_operator.api.vital import HealthExpr
from cvstate_operator.cli import tree_nodes, tree_report
from cvstate_operator.cli.tree_load import Degraded, Loaded, Unseen
from cvstate_operator.cli.tree_nodes import Node, build, cut, unwell
from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.vital.health.custom_health import Rules
from cvstate_operator.vital.health.state import Status
from tests.unit.vital import objects
from tests.unit.vital.objects import MADE, Json, claim, condition, container, pod

NOW = datetime.fromisoformat(MADE).astimezone(UTC) + timedelta(minutes=12, seconds=3)
READY = condition("Ready", "True")
NOT_READY = condition("Ready", "False", "ContainersNotReady", "containers with unready status: [main]")
CRASHED = {"lastState": {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": "2026-03-01T10:10:03Z"}}, "restartCount": 7}


def named(body: Json, name: str, owner: Json | None = None, **meta: Any) -> Json:
    """The object under another name, made by another object."""
    owners = (
        [{"kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": True}] if owner else []
    )
    own = {"name": name, "uid": f"{body['kind']}-{name}", **({"ownerReferences": owners} if owners else {}), **meta}
    return {**body, "metadata": {**body["metadata"], **own}}


def ready_pod(name: str, owner: Json) -> Json:
    return named(pod("Running", READY, containers=[container()]), name, owner)


def crashing_pod(name: str, owner: Json) -> Json:
    return named(pod("Running", NOT_READY, containers=[container("side"), container(waits="CrashLoopBackOff") | CRASHED]), name, owner)


SETTINGS = named(objects.live("v1", "ConfigMap"), "settings")
API = named(objects.deployment(wanted=2, replicas=2, updatedReplicas=2, readyReplicas=1, availableReplicas=1), "api")
API_SET = named(objects.replica_set(readyReplicas=1, availableReplicas=1), "api-5d", API)
API_OLD = named(objects.replica_set(wanted=0, replicas=0, readyReplicas=0, availableReplicas=0), "api-4c", API)
API_PODS = [ready_pod("api-5d-a", API_SET), crashing_pod("api-5d-b", API_SET)]


def shop() -> tuple[Node, ...]:
    return build([API, SETTINGS], [API_SET, API_OLD, *API_PODS])


def shape(nodes: tuple[Node, ...]) -> dict[str, Any]:
    """Names alone, as nested maps."""
    return {f"{node.ref.kind}/{node.ref.name}": shape(node.children) for node in nodes}


def text(nodes: tuple[Node, ...], shown: tuple[Node, ...] | None = None, *, width: int = 120, unseen: tuple[Unseen, ...] = ()) -> str:
    loaded = Loaded("shop", "state", f"main@sha1:{'a' * 40}", (), (), unseen)
    lines = tree_report.as_text(loaded, nodes, nodes if shown is None else shown, width=width, now=NOW)
    return "\n".join(line.plain.rstrip() for line in lines)


# -- which object is below which -----------------------------------------------------------------------------------


def test_pods_are_below_their_replica_set_and_that_is_below_its_deployment() -> None:
    assert shape(shop()) == {"ConfigMap/settings": {}, "Deployment/api": {"ReplicaSet/api-5d": {"Pod/api-5d-a": {}, "Pod/api-5d-b": {}}}}


def test_replica_sets_without_pods_are_history_unless_they_lack_some() -> None:
    lacking = named(
        objects.replica_set(objects.condition("ReplicaFailure", "True", "FailedCreate", "exceeded quota"), replicas=0), "api-6e", API
    )
    (found,) = build([API], [API_OLD, lacking])
    assert shape(found.children) == {"ReplicaSet/api-6e": {}}


def test_what_belongs_to_nobody_here_is_not_shown() -> None:
    other = named(objects.replica_set(), "other-1", named(objects.deployment(), "other"))
    assert shape(build([API], [other, named(claim("Bound"), "data")])) == {"Deployment/api": {}}


def test_claims_are_below_the_stateful_set_whose_template_named_them() -> None:
    db = named(objects.stateful_set(), "db")
    db["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}}]
    names = ("data-db-0", "data-db-11", "data-db-x", "data-db2-0", "other-db-0")
    elsewhere = named(claim("Bound"), "data-db-5", namespace="elsewhere")
    (found,) = build([db], [*(named(claim("Bound"), name) for name in names), elsewhere])
    assert shape(found.children) == {"PersistentVolumeClaim/data-db-0": {}, "PersistentVolumeClaim/data-db-11": {}}


def test_jobs_and_their_pods_are_below_their_cron_job() -> None:
    cron = named(objects.live("batch/v1", "CronJob", spec={}, status={}), "clean")
    task = named(objects.job(condition("Complete", "True"), succeeded=1), "clean-1", cron)
    ended = named(pod("Succeeded", restart="Never"), "clean-1-x", task)
    assert shape(build([cron], [ended, task])) == {"CronJob/clean": {"Job/clean-1": {"Pod/clean-1-x": {}}}}


def test_below_a_custom_resource_is_what_names_it_as_owner() -> None:
    database = named(objects.widget(READY), "main")
    below = named(objects.stateful_set(), "main", database)
    (found,) = build([database], [below, named(pod("Running", READY), "main-0", below)])
    assert shape((found,)) == {"Widget/main": {"StatefulSet/main": {"Pod/main-0": {}}}}


def test_of_several_owners_the_controller_counts() -> None:
    body = ready_pod("x", API_SET)
    body["metadata"]["ownerReferences"].insert(0, {"kind": "ConfigMap", "name": "settings", "uid": SETTINGS["metadata"]["uid"]})
    settings, api = build([SETTINGS, API], [API_SET, body])
    assert (shape(settings.children), shape(api.children)) == ({}, {"ReplicaSet/api-5d": {"Pod/x": {}}})


def test_a_member_is_a_root_also_if_another_member_owns_it() -> None:
    member = ready_pod("x", API)
    assert shape(build([API, member], [member])) == {"Deployment/api": {}, "Pod/x": {}}


def test_a_chain_of_owners_that_somebody_made_up_ends() -> None:
    chain = [named(pod("Running", READY), "p0", API)]
    for number in range(1, 2000):
        chain.append(named(pod("Running", READY), f"p{number}", chain[-1]))
    assert sum(tree_nodes.count(build([API], chain)).values()) == tree_nodes.LEVELS


def test_owners_in_a_circle_are_below_nothing() -> None:
    one, two = named(pod("Running"), "one"), named(pod("Running"), "two")
    assert shape(build([API], [named(one, "one", two), named(two, "two", one)])) == {"Deployment/api": {}}


def test_health_is_judged_by_the_rules_of_the_cluster_state() -> None:
    rules = Rules.of([HealthExpr(api_version="example.io/v1", kind="Widget", current="self.status.phase == 'Up'")])
    body = named(objects.widget(READY, phase="Down"), "w")
    assert [build([body], [], given)[0].is_current for given in (Rules(), rules)] == [True, False]


def test_a_member_without_the_status_that_its_kind_has_is_unknown() -> None:
    body = named(objects.live("example.io/v1", "Widget"), "w")
    kind = GroupKind("example.io", "Widget")
    assert [build([body], [], with_status=kinds)[0].readiness.status for kinds in (set(), {kind})] == [Status.CURRENT, Status.UNKNOWN]


@pytest.mark.parametrize(
    ("kind", "below"),
    [
        (GroupKind("", "ConfigMap"), set()),
        (GroupKind("networking.k8s.io", "Ingress"), set()),
        (GroupKind("apps", "Deployment"), {"ReplicaSet", "Pod"}),
        (GroupKind("apps", "StatefulSet"), {"Pod", "PersistentVolumeClaim"}),
        (GroupKind("batch", "CronJob"), {"Job", "Pod"}),
        (GroupKind("apps", "ControllerRevision"), set()),
    ],
)
def test_only_kinds_are_looked_for_that_may_be_there(kind: GroupKind, below: set[str]) -> None:
    assert {found.kind for found in tree_nodes.kinds_below(kind)} == below


@pytest.mark.parametrize("group", ["example.io", "gateway.networking.k8s.io"])
def test_below_a_custom_resource_whatever_runs_something_is_looked_for(group: str) -> None:
    found = {kind.kind for kind in tree_nodes.kinds_below(GroupKind(group, "Gateway"))}
    assert {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job", "CronJob", "PersistentVolumeClaim"} == found


# -- what is shown -------------------------------------------------------------------------------------------------


def test_a_tree_says_kind_name_health_age_and_why() -> None:
    assert text(shop()) == (
        "shop/state  main@aaaaaaaaaaaa  2 objects, 3 objects below them\n"
        "ConfigMap/settings    Current      12 m 3 s\n"
        "Deployment/api        InProgress   12 m 3 s\n"
        "│  1 of 2 replicas are ready\n"
        "└─ ReplicaSet/api-5d  InProgress   12 m 3 s\n"
        "   │  1 of 2 replicas are ready\n"
        "   ├─ Pod/api-5d-a    Current      12 m 3 s\n"
        "   └─ Pod/api-5d-b    Failed       12 m 3 s\n"
        "         container main: CrashLoopBackOff for 12 m 3 s, 7 restarts, last end 2 m ago: ends with exit code 1 (Error)\n"
        "\n"
        "5 objects: 2 InProgress, 1 Failed, 2 Current."
    )


def test_what_the_operator_calls_degraded_says_so_and_since_when() -> None:
    found, since = shop(), (NOW - timedelta(minutes=7)).isoformat()
    loaded = Loaded("shop", "state", "", (), degraded={"apps/Deployment/shop/api": Degraded(since, "0 of 2 replicas are ready")})
    lines = tree_report.as_text(loaded, found, found, width=120, now=NOW)
    shown = "\n".join(line.plain for line in lines)
    assert "│  Degraded for 7 m: 1 of 2 replicas are ready\n└─ ReplicaSet/" in shown
    assert shown.count("Degraded") == 1
    api = next(root for root in tree_report.as_json(loaded, found, found)["tree"] if root["object"] == "apps/Deployment/shop/api")
    assert (api["status"], api["degradedSince"]) == ("InProgress", since)
    assert "degradedSince" not in api["children"][0]


def test_what_is_current_again_but_not_for_long_enough_is_told_at_the_end() -> None:
    found, since = build([SETTINGS], []), (NOW - timedelta(minutes=7)).isoformat()
    loaded = Loaded("shop", "state", "", (), degraded={"ConfigMap/shop/settings": Degraded(since, "is ready again, not yet for 30 s")})
    lines = tree_report.as_text(loaded, found, unwell(found), width=120, now=NOW)
    assert [line.plain for line in lines[-2:]] == [
        "ConfigMap/settings counts as Degraded for 7 m: is ready again, not yet for 30 s",
        "It is Current.",
    ]


def test_the_filter_leaves_what_is_not_current_and_what_leads_to_it() -> None:
    assert shape(unwell(shop())) == {"Deployment/api": {"ReplicaSet/api-5d": {"Pod/api-5d-b": {}}}}
    healthy = named(objects.deployment(), "web")
    below = named(objects.replica_set(), "web-1", healthy)
    found = build([healthy], [below, crashing_pod("web-1-a", below)])
    assert shape(unwell(found)) == {"Deployment/web": {"ReplicaSet/web-1": {"Pod/web-1-a": {}}}}


def test_a_filtered_tree_still_counts_everything() -> None:
    found = shop()
    assert "5 objects: 2 InProgress, 1 Failed, 2 Current." in text(found, unwell(found))


def test_the_depth_counts_levels() -> None:
    assert shape(cut(shop(), 1)) == {"ConfigMap/settings": {}, "Deployment/api": {}}
    assert shape(cut(shop(), 2)) == {"ConfigMap/settings": {}, "Deployment/api": {"ReplicaSet/api-5d": {}}}
    assert cut(shop(), 3) == shop()


def test_if_all_is_well_one_line_says_so() -> None:
    found = build([SETTINGS, named(objects.live("v1", "ConfigMap"), "more")], [])
    assert text(found).endswith("\nAll 2 objects are Current.")
    assert text(found, unwell(found)).splitlines()[1:] == ["", "All 2 objects are Current."]
    assert text(()).endswith("\nNo objects.")


def test_what_could_not_be_looked_at_is_told_and_nothing_is_called_well_for_it() -> None:
    found = text(build([SETTINGS], []), unseen=(Unseen(GroupKind("", "Secret"), "your user may not list secrets, so they are not shown"),))
    assert "Secret: your user may not list secrets" in found
    assert "All " not in found
    assert found.endswith("Everything that could be looked at is Current.")


def test_a_namespace_is_told_where_it_is_another_and_a_group_where_it_is_custom() -> None:
    elsewhere = named(SETTINGS, "settings", namespace="elsewhere", uid="e")
    cluster_wide = {**objects.namespace("Active"), "metadata": {"name": "shop", "uid": "n", "creationTimestamp": MADE}}
    found = text(build([elsewhere, cluster_wide, named(objects.widget(READY), "w")], []))
    assert [line.split()[0] for line in found.splitlines()[1:4]] == [
        "Namespace/shop",
        "ConfigMap/elsewhere/settings",
        "Widget.example.io/w",
    ]


@pytest.mark.parametrize("width", [40, 80, 120, 160])
def test_names_are_never_torn_and_sentences_stay_within_the_width(width: int) -> None:
    long = named(API, "a-name-of-a-deployment-that-is-as-long-as-some-are")
    below = named(API_SET, "a-name-of-a-deployment-that-is-as-long-as-some-are-5d4f8b7c9", long)
    wide = crashing_pod("a-name-of-a-deployment-that-is-as-long-as-some-are-5d4f8b7c9-x2lkq", below)
    lines = text(build([long, SETTINGS], [below, wide]), width=width).splitlines()
    for name in (long, below, wide):
        assert any(f"/{name['metadata']['name']}" in line for line in lines)
    assert all(len(line) <= width or "/a-name-of" in line or "sha1" in line or "objects" in line for line in lines)


def test_a_time_is_not_broken_over_two_lines() -> None:
    for width in range(60, 110):
        found = text(build([API], [API_SET, *API_PODS]), width=width)
        assert "for 12 m 3 s" in found, width
        assert "\N{NO-BREAK SPACE}" not in found


def test_statuses_stand_in_one_column_and_a_name_that_is_too_long_for_it_moves_no_other() -> None:
    lines = text(build([named(SETTINGS, name) for name in ("a", "b" * 40, "c" * 47)], []), width=80).splitlines()[1:4]
    assert [line.index("Current") for line in lines] == [52, 52, 59]


def test_what_does_not_fit_beside_a_name_stands_below_it() -> None:
    lines = text(build([named(SETTINGS, "a" * 70)], []), width=80).splitlines()
    assert lines[1:3] == [f"ConfigMap/{'a' * 70}", "   Current      12 m 3 s"]


def test_of_many_pods_the_first_are_shown_those_in_trouble_before_all_others() -> None:
    pods = [ready_pod(f"api-5d-{number:03}", API_SET) for number in range(40)] + [crashing_pod("api-5d-zzz", API_SET)]
    found = text(build([API], [API_SET, *pods]))
    assert found.count("Pod/") == tree_report.ALIKE
    assert found.index("Pod/api-5d-zzz") < found.index("Pod/api-5d-000")
    assert "   └─ and 31 more Pods: 31 Current" in found


def test_every_member_is_shown_however_many_are_alike() -> None:
    assert text(build([named(SETTINGS, f"c{number}") for number in range(30)], [])).count("ConfigMap/") == 30


def test_a_terminal_without_line_drawing_gets_plain_characters() -> None:
    found = shop()
    lines = tree_report.as_text(Loaded("shop", "state", "", ()), found, found, width=100, now=NOW, guides=tree_report.ASCII)
    assert all(line.plain.isascii() for line in lines)
    assert any(line.plain.startswith("`- ReplicaSet/api-5d") for line in lines)


def test_foreign_text_cannot_write_to_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\n"
    body = named(
        pod("Pending", condition("PodScheduled", "False", evil, evil), containers=[container(evil, waits=evil, message=evil)]), "p"
    )
    body["metadata"]["creationTimestamp"] = evil
    found = build([body, named(objects.widget(condition("Ready", "False", evil, evil)), evil)], [])
    unseen = (Unseen(GroupKind("", "Secret"), evil),)
    loaded = Loaded("shop", "state", evil, (), (), unseen)
    for line in tree_report.as_text(loaded, found, found, width=100, now=NOW):
        assert line.plain.isprintable()


# -- for programs --------------------------------------------------------------------------------------------------


def test_json_holds_the_tree_with_every_reason() -> None:
    found = shop()
    told = tree_report.as_json(Loaded("shop", "state", "main@sha1:abc", ()), found, unwell(found))
    assert {key: value for key, value in told.items() if key != "tree"} == {
        "clusterState": "shop/state",
        "revision": "main@sha1:abc",
        "objects": 2,
        "statuses": {"Current": 2, "Failed": 1, "InProgress": 2},
        "notListed": [],
    }
    (root,) = told["tree"]
    assert (root["object"], root["status"], root["reason"]) == ("apps/Deployment/shop/api", "InProgress", "ReplicasNotReady")
    leaf = root["children"][0]["children"][0]
    assert leaf == {
        "object": "Pod/shop/api-5d-b",
        "status": "Failed",
        "reason": "CrashLoop",
        "message": "container main: CrashLoopBackOff",
        "createdAt": MADE,
        "why": [
            {
                "reason": "CrashLoopBackOff",
                "message": "ends with exit code 1 (Error)",
                "container": "main",
                "role": "container",
                "since": MADE,
                "endedAt": "2026-03-01T10:10:03Z",
                "restarts": 7,
            }
        ],
    }


def test_json_names_kinds_that_could_not_be_looked_at() -> None:
    loaded = Loaded("shop", "state", "", (), (), (Unseen(GroupKind("apps", "Deployment"), "no"),))
    assert tree_report.as_json(loaded, (), ())["notListed"] == [{"kind": "Deployment.apps", "message": "no"}]
