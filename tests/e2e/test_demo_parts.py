"""The parts of the demo that need no cluster.

Aspects: the web shop's files and the changes made to them; what the observer calls "as declared" and "available"; what it reads from the operator's
Events, conditions and from the audit log; what fits on the screen; how the source is read, which signatures are asked for and what is rolled back.
"""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from rich.text import Text

from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.prune import Prune
from cvstate_operator.cli.demo import application, bad_image, fight, observer, screen, stage
from cvstate_operator.cli.demo.application import Key
from cvstate_operator.cli.demo.audit import AuditLog, Write, tally, to_objects
from cvstate_operator.cli.demo.findings import NotSeenError, Seen, duration
from cvstate_operator.cli.demo.steps import STEPS
from cvstate_operator.cli.demo.wish import Transport
from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.vital.health import children
from cvstate_operator.vital.health.custom_health import Rules
from cvstate_operator.vital.health.readiness import readiness
from cvstate_operator.vital.health.state import Status
from tests.cluster import locations


def test_web_shop_has_forty_objects_and_more_in_eight_files_and_more() -> None:
    files = application.files()
    declared = application.objects(files)
    kinds = [key.kind for key in declared]
    assert len(declared) >= 40
    assert len(files) >= 9
    assert kinds.count("Namespace") == 3
    assert kinds.count("Deployment") >= 8
    assert {"StatefulSet", "CustomResourceDefinition", "Promotion", "NetworkPolicy", "HorizontalPodAutoscaler"} <= set(kinds)


def test_every_object_carries_the_label_by_which_the_observer_finds_it() -> None:
    name, _, value = application.SELECTOR.partition("=")
    files = application.files()
    everything = application.objects({**files, **application.mended_reviews()})
    assert all(body["metadata"]["labels"][name] == value for body in everything.values())


def test_new_release_changes_two_objects() -> None:
    files = application.files()
    before, after = application.objects(files), application.objects({**files, **application.new_release(files)})
    assert [str(key) for key in after if after[key] != before[key]] == ["ConfigMap checkout", "Deployment checkout"]


def test_broken_file_is_broken_in_its_second_document_and_the_other_change_is_sound() -> None:
    files = application.files()
    changes = application.broken_reviews(files)
    documents = yaml.safe_load_all(changes.pop(application.REVIEWS))
    assert next(documents)["kind"] == "ServiceAccount"
    with pytest.raises(yaml.YAMLError):
        next(documents)
    assert application.objects({**files, **changes}) != application.objects(files)


@pytest.mark.parametrize(
    ("version", "kind", "path"),
    [
        ("v1", "Service", "/api/v1/services"),
        ("networking.k8s.io/v1", "NetworkPolicy", "/apis/networking.k8s.io/v1/networkpolicies"),
        ("networking.k8s.io/v1", "Ingress", "/apis/networking.k8s.io/v1/ingresses"),
    ],
)
def test_collection_is_where_the_api_server_lists_the_kind(version: str, kind: str, path: str) -> None:
    assert application.collection({"apiVersion": version, "kind": kind}) == path


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        pytest.param({"a": 1, "b": [{"c": 2}]}, True, id="equal"),
        pytest.param({"a": 1, "b": [{"c": 2, "d": 3}], "e": 4}, True, id="defaulted"),
        pytest.param({"a": 2, "b": [{"c": 2}]}, False, id="another value"),
        pytest.param({"a": 1, "b": []}, False, id="item gone"),
        pytest.param(None, False, id="object gone"),
    ],
)
def test_object_is_as_declared_if_it_holds_everything_declared(live: Any, expected: bool) -> None:
    assert observer.holds({"a": 1, "b": [{"c": 2}]}, live) is expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, True, id="ready"),
        pytest.param({"observedGeneration": 1}, False, id="not yet looked at"),
        pytest.param({"availableReplicas": 1}, False, id="a pod is missing"),
        pytest.param({"replicas": 3}, False, id="an old pod is left"),
    ],
)
def test_deployment_is_available_when_its_rollout_is_complete(change: dict[str, int], expected: bool) -> None:
    status = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, **change}
    assert (
        observer.is_available({"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status}) is expected
    )


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        pytest.param(
            "apps/Deployment/shop/web /spec/replicas was 9 instead of 3, written by kubectl; repaired in 12 ms",
            stage.Repair("apps/Deployment/shop/web", "/spec/replicas", "9", "3", "kubectl", 0.012),
            id="field",
        ),
        pytest.param(
            'Service/shop/web /metadata/labels/a was "b" instead of "c", written by x and 2 more fields; repaired in 7 ms; and 1 more object',
            stage.Repair("Service/shop/web", "/metadata/labels/a", '"b"', '"c"', "x", 0.007),
            id="several fields and objects",
        ),
        pytest.param(
            "Service/shop/cart was missing; repaired in 9 ms", stage.Repair("Service/shop/cart", "", "", "", "", 0.009), id="deleted"
        ),
    ],
)
def test_repair_is_read_from_the_operators_event(note: str, expected: stage.Repair) -> None:
    assert stage.read_repair(note) == expected


def test_audit_log_tells_the_operators_writes_to_objects(tmp_path: Path) -> None:
    def event(verb: str, resource: str, *, agent: str = "cvstate-operator/0.1.0", uri: str = "/") -> str:
        return json.dumps(
            {"verb": verb, "userAgent": agent, "requestURI": uri, "objectRef": {"resource": resource, "name": "a", "namespace": "b"}}
        )

    log = tmp_path / "audit.log"
    log.write_text("\n".join([event("patch", "secrets"), ""]))
    reader = AuditLog(log)
    mark = reader.mark()
    lines = [
        event("patch", "services"),
        event("list", "services"),
        event("patch", "services", agent="kubectl/v1.36.3"),
        event("patch", "services", uri="/?dryRun=All"),
        event("patch", "clusterstates"),
        event("create", "clusterstateplans"),
        event("delete", "pods"),
    ]
    log.write_text(log.read_text() + "\n".join([*lines, '{"verb": "patch", "userAgent": "cvstate-op']))
    assert to_objects(reader.writes(mark)) == (Write("patch", "services", "b", "a"), Write("delete", "pods", "b", "a"))


@pytest.mark.parametrize(
    ("verbs", "text"),
    [
        pytest.param((), "no write", id="none"),
        pytest.param(("patch", "delete", "patch"), "1 DELETE, 2 PATCHes", id="two verbs"),
        pytest.param(("create",), "1 CREATE", id="another verb"),
    ],
)
def test_writes_are_told_by_verb(verbs: tuple[str, ...], text: str) -> None:
    assert tally(Write(verb, "services", "shop", "a") for verb in verbs) == text


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.key)
def test_stories_and_titles_fit_an_ordinary_terminal(step: Any, transport: Transport) -> None:
    assert len(step.title) <= 22
    assert len(Text(step.story.format(git=screen.READS[transport])).wrap(Console(width=76), 76)) <= screen.STORY_LINES


@pytest.mark.parametrize("height", [24, 50])
def test_live_view_never_fills_the_terminal(height: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, height=height, force_terminal=True)
    live = screen.LiveScreen(console)
    live.begin(STEPS[0])
    for number in range(100):
        live.tell("operator", f"line {number} " + "x" * 200)
    console.print(live)
    shown = out.getvalue().splitlines()
    assert len(shown) < height
    assert "line 99" in shown[-2]
    assert shown[-1].rstrip().endswith("x…")


@pytest.mark.parametrize(("transport", "word"), [(Transport.HTTP, "over HTTP"), (Transport.SSH, "over SSH")])
def test_live_view_says_how_the_source_is_read(transport: Transport, word: str) -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True)
    live = screen.LiveScreen(console, transport)
    live.begin(STEPS[0])
    console.print(live)
    assert word in out.getvalue()


def test_long_event_is_told_in_two_lines_with_the_field_and_its_writer() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True, color_system=None)
    live = screen.LiveScreen(console)
    live.tell(
        "operator",
        "DriftRepaired: apps/Deployment/webshop-services/checkout /spec/template/spec/containers/0/image was "
        "ghcr.io/stefanprodan/podinfo:latest instead of ghcr.io/stefanprodan/podinfo:6.9.1, written by kubectl-edit; repaired in 13 ms",
    )
    console.print(live)
    first, second = (line.rstrip() for line in out.getvalue().splitlines()[-2:])
    assert first.endswith("DriftRepaired: Deployment/checkout …/image was podinfo:latest")
    assert second.strip() == "instead of podinfo:6.9.1, written by kubectl-edit; repaired…"


def test_step_that_was_left_out_is_shown_so_and_says_why() -> None:
    out = io.StringIO()
    told = screen.Screen(Console(file=out, width=80))
    told.begin(next(step for step in STEPS if step.key == "signed"))
    left_out = Seen("left out: no pen", 0.0, is_left_out=True)
    told.finish(left_out)
    told.conclude({"signed": left_out}, None, None)
    assert out.getvalue().startswith("--  signed commits")
    assert out.getvalue().count("left out: no pen") == 2
    assert "0 ms" not in out.getvalue()


def test_change_that_must_be_signed_concerns_one_object() -> None:
    files = application.files()
    before, after = application.objects(files), application.objects({**files, **application.live_payments(files)})
    assert [str(key) for key in after if after[key] != before[key]] == ["Deployment payment"]


def released() -> dict[str, str]:
    """The shop as it is before the step with a bad image."""
    files = application.files()
    return {**files, **application.new_release(files)}


def test_image_that_crashes_concerns_one_object_and_leaves_its_selector_alone() -> None:
    files = released()
    before, after = application.objects(files), application.objects({**files, **application.crashing_release(files)})
    assert [key for key in after if after[key] != before[key]] == [application.CHECKOUT]
    old, new = before[application.CHECKOUT]["spec"], after[application.CHECKOUT]["spec"]
    assert old["template"]["spec"]["containers"][0]["image"] != new["template"]["spec"]["containers"][0]["image"]
    assert old["selector"] == new["selector"]


def test_image_that_crashes_carries_the_label_that_simulated_kubelets_go_by() -> None:
    [asked] = [
        one
        for one in yaml.safe_load((locations.STAGES / "pod-crash-loop.yaml").read_text())["spec"]["selector"]["matchExpressions"]
        if ".metadata.labels" in one["key"]
    ]
    files = released()
    body = application.objects({**files, **application.crashing_release(files)})[application.CHECKOUT]
    labels = body["spec"]["template"]["metadata"]["labels"]
    assert {asked["key"]: labels[application.CRASH_LABEL]} == {f'.metadata.labels["{application.CRASH_LABEL}"]': asked["values"][0]}


def test_commit_after_the_bad_image_replaces_no_pod() -> None:
    files = released()
    before, after = application.objects(files), application.objects({**files, **application.larger_orders(files)})
    assert [str(key) for key in after if after[key] != before[key]] == ["ConfigMap checkout"]


@pytest.mark.parametrize("crashing", [1, 3])
def test_cause_is_read_from_what_the_operator_tells_of_pods(crashing: int) -> None:
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    told = {"name": "main", "restartCount": 3, "state": waiting, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    pods = [
        {"metadata": {"namespace": "shop", "name": f"web-{number}"}, "status": {"phase": "Running", "containerStatuses": [told]}}
        for number in range(crashing)
    ]
    [child] = children.explain(pods)
    cause = bad_image.Cause("CrashLoopBackOff", "shop/web-0", "main", "ends with exit code 1 (Error)")
    assert bad_image.read_cause(child.text) == cause
    assert bad_image.read_cause(f"{child.text}; NotReady: Pod shop/db-0, container db: runs, and is not ready") == cause


def test_no_cause_is_read_where_no_container_is_named() -> None:
    assert bad_image.read_cause("Unschedulable: Pod shop/web-0: 0/1 nodes are available") is None
    assert bad_image.read_cause("") is None


def test_replicas_left_to_the_tuner_are_the_only_change_of_the_cart() -> None:
    files = application.files()
    before, after = application.objects(files), application.objects({**files, **application.tuned_cart(files)})
    assert [key for key in after if after[key] != before[key]] == [application.CART]
    assert before[application.CART]["spec"].pop("replicas") not in (fight.WISH, None)
    assert after[application.CART] == before[application.CART]


def test_file_removed_is_within_the_limits_of_a_prune_and_the_smaller_shop_is_not() -> None:
    limits = Prune()
    files = {**application.files(), **application.mended_reviews()}
    full = len(application.objects(files))
    files.pop(application.RECOMMENDATIONS)
    before = application.objects(files)
    assert full - len(before) <= min(limits.max_deletes, full * limits.max_percent // 100)
    for path in application.smaller_shop():
        files.pop(path)
    gone = before.keys() - application.objects(files).keys()
    assert len(gone) > max(limits.max_deletes, len(before) * limits.max_percent // 100)
    # These take others with them, which would not be counted.
    assert not {key.kind for key in gone} & {"Namespace", "CustomResourceDefinition"}


def test_cluster_state_names_the_secrets_it_needs_and_no_other() -> None:
    plain = ClusterStateSpec.model_validate(stage.cluster_state("http://127.0.0.1:1/shop")["spec"]).source.git
    full = ClusterStateSpec.model_validate(stage.cluster_state("ssh://git@127.0.0.1:1/shop", secret="auth", keys="keys")["spec"]).source.git
    assert (plain.secret_ref, plain.verify) == (None, None)
    assert full.secret_ref
    assert full.verify
    assert (full.secret_ref.name, full.verify.secret_ref.name, full.verify.mode) == ("auth", "keys", "HEAD")


def test_cluster_state_rolls_back_only_when_asked_to() -> None:
    usual = ClusterStateSpec.model_validate(stage.cluster_state("http://127.0.0.1:1/shop")["spec"])
    strict = ClusterStateSpec.model_validate(stage.cluster_state("http://127.0.0.1:1/shop", give_up_after="5s")["spec"])
    assert usual.rollback is None
    assert strict.rollback
    assert strict.rollback.on_unhealthy_for == "5s"
    assert parse_seconds(strict.vital.degraded_after) < parse_seconds(strict.rollback.on_unhealthy_for)
    assert strict.vital.signals == usual.vital.signals


def test_autoscaler_of_the_shop_is_ready_without_a_metrics_server() -> None:
    spec = ClusterStateSpec.model_validate(stage.cluster_state("http://127.0.0.1:1/shop")["spec"])
    [declared] = [body for key, body in application.objects(application.files()).items() if key.kind == "HorizontalPodAutoscaler"]
    unable = {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric"}
    live = {**declared, "metadata": {**declared["metadata"], "uid": "7"}, "status": {"conditions": [unable]}}
    rules = Rules.of(spec.vital.health_exprs)
    assert GroupKind("autoscaling", "HorizontalPodAutoscaler") in rules
    assert readiness(live, rules).status is Status.CURRENT
    assert readiness(live).status is Status.IN_PROGRESS


def test_step_that_was_not_seen_is_told_with_what_was_expected_and_the_log() -> None:
    out = io.StringIO()
    told = screen.Screen(Console(file=out, width=100))
    told.conclude({"ready": Seen("Kubernetes v1", 1.0)}, NotSeenError(expected="a bird", found="a cat", tail=("meow",)), Path("x.log"))
    for word in ("not seen", "a bird", "a cat", "x.log", "meow"):
        assert word in out.getvalue()


def test_durations_are_told_in_the_unit_a_person_reads() -> None:
    assert [duration(seconds) for seconds in (0.0314, 0.9996, 4.25, 75)] == ["31 ms", "1.0 s", "4.2 s", "75 s"]


def test_key_is_told_by_kind_and_name() -> None:
    assert str(Key("Service", "shop", "cart")) == "Service cart"


def test_reference_of_a_key_is_the_operators_without_the_group() -> None:
    assert Key("Service", "shop", "cart").reference == "Service/shop/cart"
    assert Key("Namespace", "", "shop").reference == "Namespace/shop"
