"""What each answer of the API server means: asked of a live one through our own client, since HTTP codes alone mislead.

Aspects: bad objects · conflicts · rights, quota and namespaces · webhooks and policies · versions yet to come (those that are too
old, 410, come after a restart of the API server: test_lifecycle.py).
Source: RELIABILITY §2. What a quiet API server does not produce (429, a dead etcd) is told by tests/unit/kube/test_verdict.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from cvstate_operator import errors
from cvstate_operator.kube.client import Client
from tests.support import accounts, ours
from tests.support.api import Json
from tests.support.objects import config_map, deployment, manifest
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration

ADMISSION = "admissionregistration.k8s.io/v1"


def nothing(world: World) -> None:
    """The case needs no preparation."""


def quota(world: World) -> None:
    world.api.create(world.path("resourcequotas"), manifest("ResourceQuota", "none", spec={"hard": {"count/secrets": "0"}}))
    status = {"status": {"hard": {"count/secrets": "0"}, "used": {"count/secrets": "0"}}}
    world.api.merge(world.path("resourcequotas", "none/status"), status)


def terminating_namespace(world: World) -> None:
    world.api.delete(f"/api/v1/namespaces/{world.name}")
    until("it is on its way out", lambda: "deletionTimestamp" in world.api.get(f"/api/v1/namespaces/{world.name}")["metadata"])


def held_by_a_rival(world: World) -> None:
    world.api.apply(world.path("configmaps", "x"), config_map("x", k="theirs"), manager="rival")


def deployed(world: World) -> None:
    world.api.create(world.path("deployments", group="apps/v1"), deployment("x"))


def frozen_config_map(world: World) -> None:
    world.api.create(world.path("configmaps"), {**config_map("x", k="v"), "immutable": True})


def rules_for(world: World) -> Json:
    """Admission rules that concern ConfigMaps of this test's namespace only."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"], "scope": "Namespaced"}
    return {"rule": rule, "selector": {"matchLabels": {"kubernetes.io/metadata.name": world.name}}}


def dead_webhook(world: World) -> None:
    about = rules_for(world)
    hook = {
        "name": "dead.verdict.test",
        "clientConfig": {"url": "https://127.0.0.1:9/x"},
        "rules": [about["rule"]],
        "namespaceSelector": about["selector"],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
    }
    body = manifest("ValidatingWebhookConfiguration", world.name, api_version=ADMISSION, webhooks=[hook])
    world.api.create(f"/apis/{ADMISSION}/validatingwebhookconfigurations", body)


def strict_policy(world: World) -> None:
    about = rules_for(world)
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [about["rule"]], "namespaceSelector": about["selector"]},
        "validations": [{"expression": "false", "message": "no ConfigMaps on Fridays"}],
    }
    policy = manifest("ValidatingAdmissionPolicy", world.name, api_version=ADMISSION, spec=spec)
    world.api.create(f"/apis/{ADMISSION}/validatingadmissionpolicies", policy)
    spec = {"policyName": world.name, "validationActions": ["Deny"]}
    binding = manifest("ValidatingAdmissionPolicyBinding", world.name, api_version=ADMISSION, spec=spec)
    world.api.create(f"/apis/{ADMISSION}/validatingadmissionpolicybindings", binding)


@dataclass(frozen=True)
class Case:
    """One apply that the API server refuses, and what we make of its answer."""

    body: Json
    error: type[errors.CvstateError]
    says: tuple[str, ...] = ()
    field: str | None = None
    prepare: Callable[[World], None] = nothing
    plural: str = "configmaps"
    force: bool = False
    namespace: str | None = None


def with_metadata(body: Json, **meta: object) -> Json:
    return {**body, "metadata": {**body["metadata"], **meta}}


def image_list(image: object) -> Json:
    body = deployment("x")
    body["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return body


HUGE = {"k": "x" * 1_100_000}
CASES = {
    "wrong type": Case(
        manifest("Service", "x", spec={"ports": "no"}), errors.InvalidError, ("expected list", "in Git"), "spec.ports", plural="services"
    ),
    "wrong type deep below": Case(
        image_list(["a"]), errors.InvalidError, ("image",), 'spec.template.spec.containers[name="main"].image', plural="deployments"
    ),
    "unknown field": Case(
        manifest("Service", "x", spec={"prots": []}), errors.InvalidError, ("field not declared in schema",), "spec.prots", plural="services"
    ),
    "no base64": Case(
        manifest("Secret", "x", data={"k": "no base64"}), errors.InvalidError, ("illegal base64 data", "in Git"), plural="secrets"
    ),
    "bad name": Case(config_map("No_Name"), errors.InvalidError, ("No_Name", "in Git"), "metadata.name"),
    "bad value": Case(
        manifest("Service", "x", spec={"clusterIP": "None", "ports": [{"port": 99999}]}),
        errors.InvalidError,
        ("99999",),
        "spec.ports[0].port",
        plural="services",
    ),
    "more than 1 MiB of data": Case(config_map("x", **HUGE), errors.InvalidError, ("Too long",)),
    "more than 256 KiB of annotations": Case(
        with_metadata(config_map("x"), annotations={"a": "x" * 270_000}), errors.InvalidError, ("Too long",), "metadata.annotations"
    ),
    "more than 3 MiB": Case(config_map("x", k="x" * 3_200_000), errors.InvalidError, ("too large",)),
    "managedFields sent": Case(
        with_metadata(config_map("x"), managedFields=[{"manager": "x"}]), errors.InvalidError, ("managedFields must be nil",)
    ),
    "another name than the path": Case(config_map("y"), errors.InvalidError, ("name",)),
    "another namespace than the path": Case(with_metadata(config_map("x"), namespace="default"), errors.InvalidError, ("namespace",)),
    "another kind than the path": Case({**config_map("x"), "kind": "Secret"}, errors.InvalidError),
    "immutable selector": Case(
        deployment("x", app="other"),
        errors.ImmutableError,
        ("spec.selector: field is immutable", "set the old value in Git"),
        "spec.selector",
        deployed,
        "deployments",
        force=True,
    ),
    "immutable ConfigMap": Case(config_map("x", k="other"), errors.ImmutableError, (), "data", frozen_config_map, force=True),
    "field of another manager": Case(config_map("x", k="ours"), errors.FieldConflictError, (".data.k", '"rival"'), None, held_by_a_rival),
    "quota": Case(
        manifest("Secret", "x"), errors.QuotaExceededError, ("count/secrets", "raise the quota"), prepare=quota, plural="secrets"
    ),
    "namespace on its way out": Case(config_map("x"), errors.NamespaceTerminatingError, ("being deleted",), prepare=terminating_namespace),
    "no such namespace": Case(config_map("x"), errors.NamespaceMissingError, ("nowhere-at-all", "add it to Git"), namespace="nowhere-at-all"),
    "no such kind": Case(manifest("Nope", "x"), errors.KindUnknownError, ("CustomResourceDefinition",), plural="nopes"),
    "webhook that does not answer": Case(
        config_map("x"), errors.WebhookUnavailableError, ("dead.verdict.test", "webhook"), prepare=dead_webhook
    ),
    "admission policy": Case(config_map("x"), errors.AdmissionDeniedError, ("no ConfigMaps on Fridays",), prepare=strict_policy),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_refused_apply_means_what_our_table_says(world: World, case: Case):
    case.prepare(world)
    group = "apps/v1" if case.plural == "deployments" else ""
    name = "x" if case.error is not errors.InvalidError or case.field != "metadata.name" else case.body["metadata"]["name"]
    path = world.path(case.plural, name, group=group, namespace=case.namespace)

    def refused() -> errors.CvstateError | None:
        try:
            ours.apply(world, path, case.body, force=case.force)
        except errors.CvstateError as exc:
            return exc
        # Quota, webhooks and policies are learnt by watches of the API server's own: not in force yet.
        world.api.delete(path)
        return None

    found = until("it is refused", refused)
    assert type(found) is case.error, found.message
    assert "\n" not in found.message
    for words in case.says:
        assert words in found.message
    if case.field is not None:
        assert isinstance(found, errors.InvalidError)
        assert found.field == case.field


def test_a_certificate_that_is_no_base64_is_a_fault_of_the_object(world: World):
    client = {"url": "https://verdict.test/", "caBundle": "${CA}"}
    hook = {"name": "x.verdict.test", "clientConfig": client, "sideEffects": "None", "admissionReviewVersions": ["v1"]}
    body = manifest("ValidatingWebhookConfiguration", world.name, api_version=ADMISSION, webhooks=[hook])
    with pytest.raises(errors.InvalidError, match=r"illegal base64 data.*`caBundle`"):
        ours.apply(world, f"/apis/{ADMISSION}/validatingwebhookconfigurations/{world.name}", body)


def test_a_conflict_names_every_field_and_who_holds_it(world: World):
    path = world.path("configmaps", "x")
    world.api.apply(path, config_map("x", a="1"), manager="rival-one")
    world.api.apply(path, config_map("x", b="1"), manager="rival-two")
    with pytest.raises(errors.FieldConflictError) as found:
        ours.apply(world, path, config_map("x", a="2", b="2", c="2"))
    assert sorted(found.value.fields) == [".data.a", ".data.b"]
    assert "rival-one" in found.value.message
    assert "rival-two" in found.value.message


def test_rights_that_are_missing_are_named(world: World, tmp_path):
    restricted = accounts.kubeconfig(world, accounts.token(world, "restricted"), tmp_path / "restricted")
    with pytest.raises(errors.ForbiddenError, match=r"restricted.*cannot patch resource .configmaps.*grant it"):
        ours.apply(world, world.path("configmaps", "x"), config_map("x"), kubeconfig=restricted)
    with pytest.raises(errors.ForbiddenError, match=r"cannot list resource .secrets"):
        ours.ask(restricted, lambda client: listed(client, "/api/v1/secrets"))


def test_credentials_that_are_not_accepted_are_told_apart_from_missing_rights(world: World, tmp_path):
    stranger = accounts.kubeconfig(world, "no-such-token", tmp_path / "stranger")
    with pytest.raises(errors.UnauthorizedError):
        ours.apply(world, world.path("configmaps", "x"), config_map("x"), kubeconfig=stranger)


def test_a_missing_object_is_none_and_a_missing_kind_an_error(world: World):
    user = world.cluster.operator_kubeconfig
    assert ours.ask(user, lambda client: client.get(world.path("configmaps", "x"))) is None
    with pytest.raises(errors.KindUnknownError):
        ours.ask(user, lambda client: client.get(world.path("nopes", "x")))
    with pytest.raises(errors.KindUnknownError):
        ours.ask(user, lambda client: client.get(world.path("nopes", "x", group="no.such.group/v1")))


async def listed(client: Client, path: str, **params: str) -> list[Json]:
    return [page async for page in client.pages(path, params=params)]


def test_a_list_of_a_version_that_is_yet_to_come_is_worth_another_try(world: World):
    with pytest.raises(errors.TransientError):
        ours.ask(
            world.cluster.operator_kubeconfig,
            lambda client: listed(client, world.path("configmaps"), resourceVersion="999999999", resourceVersionMatch="NotOlderThan"),
        )
