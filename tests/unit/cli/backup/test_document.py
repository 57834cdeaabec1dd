"""What a backup holds, and the stream it is written as.

Aspects: what is kept of each kind, and what is not · no claim about objects survives · approvals tell their end · what is needed beside it · the stream read again is
what was written · what is no backup.
"""

from pathlib import Path
from typing import Any

import pytest

from cvstate_operator.api import names, restoring
from cvstate_operator.api.status import ClusterStateStatus
from cvstate_operator.cli.backup import document
from cvstate_operator.cli.backup.document import Need
from cvstate_operator.errors import SettingsError
from cvstate_operator.plan.history import History, applied_digest

A, B = "a" * 40, "b" * 40
STATUS = {
    "observedGeneration": 3,
    "lastHandledReconcileAt": "2026-11-21T12:00:00Z",
    "lastHandledReleased": B,
    "conditions": [{"type": "Ready", "status": "True", "reason": "Reconciled", "message": "12 objects match"}],
    "source": {"revision": f"main@sha1:{B}", "commitTime": "x", "fetchedAt": "x"},
    "lastAttemptedRevision": f"main@sha1:{A}",
    "lastAppliedRevision": f"main@sha1:{A}",
    "lastAppliedFrom": {"url": "https://g/r.git", "ref": "branch main", "path": "", "type": "Plain"},
    "lastGoodRevision": f"main@sha1:{A}",
    "inventory": {"objects": 12, "digest": "sha256:1"},
    "quarantined": [{"revision": f"main@sha1:{B}", "message": "not healthy within 5m"}],
    "history": [{"revision": f"main@sha1:{A}", "outcome": "Healthy", "startedAt": "2026-11-21T12:00:00Z", "digest": "sha256:1"}],
    "drift": {"objects": 1, "fields": 1, "highest": "High", "since": "x", "sample": [{"object": "ConfigMap/n/c", "path": ""}]},
    "breakers": [{"object": "ConfigMap/n/c", "key": "uid", "path": "/data"}],
    "vital": {"objects": {"ready": 12}},
    "cv": {"score": 100, "confidence": 100},
}


def state(name: str = "shop", namespace: str = "team-a", *, spec: Any = None, status: Any = None, **meta: Any) -> dict[str, Any]:
    """A ClusterState as the API server gives it."""
    given = {"uid": "u", "resourceVersion": "7", "generation": 3, "creationTimestamp": "2026-11-01T00:00:00Z", "managedFields": [{}]}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.CLUSTER_STATE,
        "metadata": {"name": name, "namespace": namespace, **given, **meta},
        "spec": spec or {"source": {"git": {"url": "https://g/r.git"}}},
        **({"status": status} if status else {}),
    }


def approval(*, expires: str | None = None, made: str = "2026-11-21T12:00:00Z") -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.STATE_APPROVAL,
        "metadata": {"name": "yes", "namespace": "team-a", "creationTimestamp": made, "uid": "u"},
        "spec": {"planDigest": f"sha256:{'1' * 64}", "reason": "INC-7", **({"expiresAt": expires} if expires else {})},
    }


# -- what is kept ----------------------------------------------------------------------------------------------------


def test_what_people_wrote_is_kept_and_what_the_server_gives_is_not() -> None:
    marks = {names.REJECTED: B, "team": "shop", "kubectl.kubernetes.io/last-applied-configuration": "{}", restoring.MARK: "true"}
    found = document.kept(
        state(labels={"tier": "gold"}, annotations=marks, ownerReferences=[{"uid": "gone"}], finalizers=[names.FINALIZER])
    )
    assert found == {
        "apiVersion": names.API_VERSION,
        "kind": names.CLUSTER_STATE,
        "metadata": {"name": "shop", "namespace": "team-a", "labels": {"tier": "gold"}, "annotations": {names.REJECTED: B, "team": "shop"}},
        "spec": {"source": {"git": {"url": "https://g/r.git"}}},
    }


def test_of_the_status_only_what_cannot_be_found_out_again_is_kept() -> None:
    found = document.kept(state(status=STATUS))["status"]
    assert tuple(found) == document.REMEMBERED
    assert all(found[key] == STATUS[key] for key in found)


def test_what_is_remembered_are_fields_of_the_status() -> None:
    known = {field.alias for field in ClusterStateStatus.model_fields.values()}
    assert set(document.REMEMBERED) <= known


def test_a_restored_status_remembers_decisions_and_claims_nothing_of_what_is_in_the_cluster() -> None:
    found = document.kept(state(status=STATUS))["status"]
    history = History.read(found)
    assert set(history.quarantined) == {B}
    good = history.good()
    assert good is not None
    assert good.commit == A
    assert applied_digest(STATUS)
    assert applied_digest(found) == "", "or whatever a new cluster lacks would look like deleted by hand"


def test_an_approval_tells_when_it_ends() -> None:
    assert document.kept(approval())["spec"]["expiresAt"] == "2026-11-22T12:00:00Z"
    assert document.kept(approval(expires="2027-01-01T00:00:00Z"))["spec"]["expiresAt"] == "2027-01-01T00:00:00Z"


# -- what is needed --------------------------------------------------------------------------------------------------

SPEC = {
    "serviceAccountName": "applier",
    "source": {
        "git": {
            "secretRef": {"name": "git-auth"},
            "verify": {"mode": "HEAD", "secretRef": {"name": "git-keys"}},
            "webhook": {"secretRef": {"name": "hook"}},
        }
    },
    "render": {
        "helm": {
            "values": {"db": {"secretRef": {"name": "of-the-chart"}}},
            "valuesFrom": [{"kind": "Secret", "name": "values"}, {"kind": "ConfigMap", "name": "more", "optional": True}],
        },
        "substitute": {"serviceAccountName": "a-variable"},
        "substituteFrom": [{"kind": "ConfigMap", "name": "vars"}],
    },
    "vital": {"prometheus": {"secretRef": {"name": "prom"}}},
    "target": {"kubeConfig": {"secretRef": {"name": "prod", "key": "value"}}},
}


def test_everything_that_a_clusterstate_names_is_told_but_not_what_is_a_charts_own() -> None:
    assert [document.told(need) for need in document.needs([document.kept(state(spec=SPEC))])] == [
        "ConfigMap team-a/more (optional)",
        "ConfigMap team-a/vars",
        *(f"Secret team-a/{name}" for name in ("git-auth", "git-keys", "hook", "prod", "prom", "values")),
        "ServiceAccount team-a/applier",
    ]


def test_what_one_needs_is_needed_although_another_could_do_without() -> None:
    must, may = ({"render": {"substituteFrom": [{"kind": "Secret", "name": "s", "optional": optional}]}} for optional in (False, True))
    found = document.needs(
        [document.kept(state("a", spec=must)), document.kept(state("b", spec=may)), document.kept(state("c", "n", spec=may))]
    )
    assert found == [Need("Secret", "n", "s", True), Need("Secret", "team-a", "s", False)]


@pytest.mark.parametrize("spec", [{"secretRef": "text"}, {"valuesFrom": ["x", {"kind": "Secret"}]}, {"serviceAccountName": ""}])
def test_what_names_nothing_needs_nothing(spec: Any) -> None:
    assert document.needs([document.kept(state(spec=spec))]) == []


# -- the stream ------------------------------------------------------------------------------------------------------


def test_what_is_read_is_what_was_written_in_the_order_of_a_restore() -> None:
    stop = {"kind": names.EMERGENCY_STOP, "metadata": {"name": "stop", "uid": "u"}, "spec": {"reason": "INC-42: “wrong”\nbranch"}}
    plan = {"kind": names.CLUSTER_STATE_PLAN, "metadata": {"name": "shop-1", "namespace": "team-a"}, "spec": {"clusterState": "shop"}}
    kept = [document.kept(one) for one in (approval(), plan, state("z", spec=SPEC, status=STATUS), state("a"), stop)]
    text = document.written(kept, about="Backup of the whole cluster")
    found = document.read(text, where="b.yaml")
    assert sorted(found, key=str) == sorted(kept, key=str)
    kinds = (names.EMERGENCY_STOP, names.CLUSTER_STATE, names.CLUSTER_STATE, names.CLUSTER_STATE_PLAN, names.STATE_APPROVAL)
    assert [one["kind"] for one in found] == list(kinds)
    assert [one["metadata"]["name"] for one in found] == ["stop", "a", "z", "shop-1", "yes"]


def test_the_stream_says_what_it_is_and_what_it_needs() -> None:
    text = document.written([document.kept(state(spec=SPEC))], about="Backup of\nthe whole cluster")
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert comments[0] == "# Backup of\\nthe whole cluster"
    assert "# Not in here, and needed: Secret team-a/git-auth" in comments


def test_times_stay_the_texts_that_they_are_also_if_somebody_takes_their_quotes_away() -> None:
    text = document.written([document.kept(approval())], about="x").replace("'2026-11-22T12:00:00Z'", "2026-11-22T12:00:00Z")
    assert document.read(text, where="f")[0]["spec"]["expiresAt"] == "2026-11-22T12:00:00Z"


HEAD = f"apiVersion: {names.API_VERSION}\nkind: ClusterState\n"
META = "metadata: {name: a, namespace: n}\n"


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        pytest.param("", "holds no objects", id="empty"),
        pytest.param("# nothing\n---\n", "holds no objects", id="comments alone"),
        pytest.param("a: [", "no YAML from line", id="no YAML"),
        pytest.param("hello", "document 1 is no object", id="a text"),
        pytest.param("apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: n}\nspec: {}\n", "a Secret of v1", id="another kind"),
        pytest.param(HEAD.replace("v1alpha1", "v9") + META + "spec: {}\n", "cvstate.io/v9", id="another version"),
        pytest.param(HEAD + META, "lacks its name or spec", id="no spec"),
        pytest.param(HEAD + "metadata: {name: a}\nspec: {}\n", "no metadata.namespace", id="no namespace"),
        pytest.param(
            HEAD.replace("ClusterState", "EmergencyStop") + META + "spec: {reason: r}\n", "has a namespace", id="a namespace too many"
        ),
        pytest.param(HEAD + "metadata: {name: ../a, namespace: n}\nspec: {}\n", "no object can have", id="a name that is a path"),
        pytest.param(HEAD + META + "spec: {}\nstatus: [a]\n", "status that is no mapping", id="a status that is none"),
        pytest.param(2 * f"---\n{HEAD}{META}spec: {{}}\n", "document 2 is ClusterState n/a again", id="twice"),
    ],
)
def test_what_is_no_backup_is_refused_with_its_place(text: str, mention: str) -> None:
    with pytest.raises(SettingsError, match=r"^f\.yaml ") as caught:
        document.read(text, where="f.yaml")
    assert mention in caught.value.message


def test_of_many_faults_the_first_are_told_and_the_rest_counted() -> None:
    with pytest.raises(SettingsError) as caught:
        document.read("---\nx\n" * 14, where="f")
    assert caught.value.message.count("is no object") == 10
    assert caught.value.message.endswith("; and 4 more")


def test_a_tag_runs_nothing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no YAML"):
        document.read(f"a: !!python/object/apply:os.mkdir ['{tmp_path}/made']", where="f")
    assert not (tmp_path / "made").exists()
