"""What a tenant may try to get out of his namespace, or at more than his account may have: each attempt, and how it is to be refused.

The tenant is a person who may write ClusterStates, Secrets and the repository of team-a. His account `applier` may do `tenancy.WORKS_WITH` there and read the Secrets that
the attempts make; nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cvstate_operator.objects.ownership import applyset_id
from tests.support.api import Json
from tests.support.objects import RBAC, config_map, definition, manifest, text
from tests.support.tenancy import ACCOUNT, NAMESPACE

HOME: Final = "team-a"
NEIGHBOUR: Final = "team-b"
STRANGER: Final = "team-c"
"""A namespace that nobody let the operator act in, with an account that may do everything."""
APPLIER: Final = "applier"
GHOST: Final = "ghost"
"""An account that the operator may act as, and that does not exist."""
ADMIN: Final = "admin-bot"
"""An account of team-a that may do everything, and that the operator may not act as."""
USER: Final = f"system:serviceaccount:{HOME}:{APPLIER}"
HIDDEN: Final = "hidden"
"""A Secret of team-a that the account may not read."""
PLATFORM: Final = "platform"
"""The namespace of a team that gives and takes in all others."""
KEEPER: Final = "keeper"
"""Its account, which may do everything, and which the operator may act as."""
SHARED: Final = "shared"
"""A namespace in which the tenant's account may read ConfigMaps, and nothing else."""
SIGNAL: Final = "signal"
"""In place of a condition: the only signal."""

CANARY: Final = "canary-5f1e0d"
"""In every Secret; it is told nowhere."""
NO_GET: Final = "cannot get resource"
"""What the API server says to whoever may not read an object."""


@dataclass(frozen=True)
class Attempt:
    """One ClusterState, and what is to become of it."""

    reason: str
    mentions: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    """Below apps/ in its repository; if there are none, a ConfigMap that the account may well make."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    where: str = HOME
    account: str | None = APPLIER
    user: Mapping[str, Any] | None = None
    """Fields of the user of a kubeconfig, which then stands in a Secret that the account may read."""
    server: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the kubeconfig's cluster beside, or in place of, those of this one."""
    link: str = ""
    """Where a symbolic link in the repository leads; empty: there is none."""
    absent: tuple[str, ...] = ()
    """Paths at which nothing may be afterwards."""
    told_by: str = "Ready"
    """The condition that tells it, or SIGNAL."""


# -- objects -------------------------------------------------------------------------------------------------------


def foreign(body: Json, path: str = "", *mentions: str, reason: str = "Forbidden") -> Attempt:
    """An object that the account may not have."""
    return Attempt(reason, mentions or (USER,), {"a.yaml": text(body)}, absent=(path,) if path else ())


def cluster_wide(kind: str, api: str, plural: str, /, *, name: str = "escape", **body: Any) -> Attempt:
    """A cluster-scoped object."""
    return foreign(manifest(kind, name, api_version=api, **body), f"/apis/{api}/{plural}/{name}", USER, plural)


def within(namespace: str, body: Json, plural: str, *mentions: str, api: str = "") -> Attempt:
    """An object of a namespace."""
    whole = {**body, "metadata": {**body["metadata"], "namespace": namespace}}
    root = f"/apis/{api}" if api else "/api/v1"
    path = f"{root}/namespaces/{namespace}/{plural}/{body['metadata']['name']}"
    return foreign(whole, path, *(mentions or (USER, f'namespace "{namespace}"')))


_EVERYTHING: Final[Json] = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
_ADMIN_ROLE: Final[Json] = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
_HIMSELF: Final[Json] = {"kind": "ServiceAccount", "name": APPLIER, "namespace": HOME}
_PERSON: Final[Json] = {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}
_HOOK: Final[Json] = {
    "name": "escape.example.test",
    "clientConfig": {"url": "https://192.0.2.1/x"},
    "rules": [{"apiGroups": ["none.example.test"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothing"]}],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "failurePolicy": "Ignore",
}
_VOLUME: Final[Json] = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/"}}
_OURS: Final = "cvstate.io/v1alpha1"
_POLICY: Final = "admissionregistration.k8s.io/v1"
_ENDPOINTS: Final = manifest(
    "EndpointSlice", "escape", api_version="discovery.k8s.io/v1", labels={"kubernetes.io/service-name": "kubernetes"}
)
_SOURCE: Final[Json] = {"git": {"url": "https://git.example.test/x"}}
_REQUEST: Final[Json] = {"request": "", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}
_APPROVAL: Final = manifest("StateApproval", "escape", api_version=_OURS, spec={"planDigest": "sha256:" + "0" * 64, "reason": "mine"})
_TOKEN: Final = manifest(
    "Secret",
    "escape",
    type="kubernetes.io/service-account-token",
    annotations={"kubernetes.io/service-account.name": ADMIN},
)

OBJECTS: Final[Mapping[str, Attempt]] = {
    "cluster-role": cluster_wide("ClusterRole", RBAC, "clusterroles", rules=[_EVERYTHING]),
    "cluster-role-binding": cluster_wide("ClusterRoleBinding", RBAC, "clusterrolebindings", roleRef=_ADMIN_ROLE, subjects=[_HIMSELF]),
    "custom-resource-definition": foreign(
        definition("escape.example.test", "Escape"), "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/escapes.escape.example.test"
    ),
    "validating-webhook": cluster_wide("ValidatingWebhookConfiguration", _POLICY, "validatingwebhookconfigurations", webhooks=[_HOOK]),
    "mutating-webhook": cluster_wide("MutatingWebhookConfiguration", _POLICY, "mutatingwebhookconfigurations", webhooks=[_HOOK]),
    "admission-policy": cluster_wide(
        "ValidatingAdmissionPolicy", _POLICY, "validatingadmissionpolicies", spec={"validations": [{"expression": "true"}]}
    ),
    "aggregated-api": cluster_wide(
        "APIService",
        "apiregistration.k8s.io/v1",
        "apiservices",
        name="v1.escape.example.test",
        spec={"group": "escape.example.test", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100},
    ),
    "certificate-request": cluster_wide("CertificateSigningRequest", "certificates.k8s.io/v1", "certificatesigningrequests", spec=_REQUEST),
    "priority-class": cluster_wide("PriorityClass", "scheduling.k8s.io/v1", "priorityclasses", value=1_000_000),
    "storage-class": cluster_wide("StorageClass", "storage.k8s.io/v1", "storageclasses", provisioner="escape.example.test"),
    "host-path-volume": foreign(manifest("PersistentVolume", "escape", spec=_VOLUME), "/api/v1/persistentvolumes/escape"),
    "node": foreign(manifest("Node", "escape"), "/api/v1/nodes/escape"),
    "emergency-stop": cluster_wide("EmergencyStop", _OURS, "emergencystops", spec={"reason": "mine"}),
    "namespace": foreign(manifest("Namespace", "escape"), "/api/v1/namespaces/escape"),
    "pod-security-of-his-namespace": foreign(manifest("Namespace", HOME, labels={"pod-security.kubernetes.io/enforce": "privileged"})),
    "neighbour": within(NEIGHBOUR, config_map("escape", k="v"), "configmaps"),
    "kube-system": within("kube-system", config_map("escape", k="v"), "configmaps"),
    "operator-s-settings": within(NAMESPACE, config_map("escape", k="v"), "configmaps"),
    "operator-s-leadership": within(
        NAMESPACE, manifest("Lease", "escape", api_version="coordination.k8s.io/v1", spec={}), "leases", api="coordination.k8s.io/v1"
    ),
    "endpoints-of-the-api-server": within(
        "default", {**_ENDPOINTS, "addressType": "IPv4", "endpoints": []}, "endpointslices", api="discovery.k8s.io/v1"
    ),
    "role-of-kube-system": within("kube-system", manifest("Role", "escape", api_version=RBAC, rules=[_EVERYTHING]), "roles", api=RBAC),
    "role-with-more-than-he-has": within(
        HOME, manifest("Role", "escape", api_version=RBAC, rules=[_EVERYTHING]), "roles", USER, "not currently held", api=RBAC
    ),
    "binding-to-more-than-he-has": within(
        HOME,
        manifest("RoleBinding", "escape", api_version=RBAC, roleRef=_ADMIN_ROLE, subjects=[_HIMSELF]),
        "rolebindings",
        USER,
        "not currently held",
        api=RBAC,
    ),
    "secret": within(HOME, manifest("Secret", "escape", stringData={"k": "v"}), "secrets", USER, "secrets"),
    "token-secret-of-an-admin": within(HOME, _TOKEN, "secrets", USER, "secrets"),
    "approval-of-his-own-plan": within(HOME, _APPROVAL, "stateapprovals", USER, "stateapprovals", api=_OURS),
    "approval-for-the-neighbour": within(NEIGHBOUR, _APPROVAL, "stateapprovals", USER, "stateapprovals", api=_OURS),
    "clusterstate-without-account": within(
        HOME,
        manifest("ClusterState", "escape", api_version=_OURS, spec={"source": _SOURCE}),
        "clusterstates",
        USER,
        "clusterstates",
        api=_OURS,
    ),
    "clusterstate-of-the-neighbour": within(
        NEIGHBOUR,
        manifest("ClusterState", "escape", api_version=_OURS, spec={"source": _SOURCE, "serviceAccountName": APPLIER}),
        "clusterstates",
        USER,
        "clusterstates",
        api=_OURS,
    ),
    "token-request": foreign(
        manifest("TokenRequest", ADMIN, api_version="authentication.k8s.io/v1", spec={}), "", "TokenRequest", reason="KindUnknown"
    ),
    "eviction": foreign(manifest("Eviction", "escape", api_version="policy/v1"), "", "Eviction", reason="KindUnknown"),
}

_NEIGHBOUR_S_SET: Final = applyset_id(name="theirs", namespace=NEIGHBOUR, kind="ClusterState", group="cvstate.io")
MARKED: Final = "prune-by-copied-marks"
HIS_SET: Final = applyset_id(name=MARKED, namespace=HOME, kind="ClusterState", group="cvstate.io")


def _marked(**metadata: Any) -> Json:
    body = config_map("escape", k="v")
    return {**body, "metadata": {**body["metadata"], **metadata}}


_NOTHING: Final = f"/api/v1/namespaces/{HOME}/configmaps/escape"
_ADOPT: Final[Json] = {"apply": {"adoption": "Force"}}

OWNERSHIP: Final[Mapping[str, Attempt]] = {
    "label-of-another-set": foreign(
        _marked(labels={"applyset.kubernetes.io/part-of": _NEIGHBOUR_S_SET}), _NOTHING, "written by the operator alone", reason="Invalid"
    ),
    "mark-of-a-set": foreign(
        _marked(labels={"applyset.kubernetes.io/id": _NEIGHBOUR_S_SET}), _NOTHING, "written by the operator alone", reason="Invalid"
    ),
    "digest-of-an-apply": foreign(
        _marked(annotations={"cvstate.io/digest": "sha256:0"}), _NOTHING, "written by the operator alone", reason="Invalid"
    ),
    "owner-references": foreign(
        _marked(ownerReferences=[{"apiVersion": "v1", "kind": "Node", "name": "x", "uid": "0", "controller": True}]),
        _NOTHING,
        "metadata.ownerReferences",
        reason="Invalid",
    ),
    "name-that-is-a-path": foreign(
        config_map(f"../../{NEIGHBOUR}/configmaps/escape", k="v"),
        f"/api/v1/namespaces/{NEIGHBOUR}/configmaps/escape",
        "metadata.name",
        reason="BuildFailed",
    ),
    "namespace-that-is-a-path": foreign(
        manifest("ConfigMap", "escape", namespace=f"{HOME}/../{NEIGHBOUR}"),
        f"/api/v1/namespaces/{NEIGHBOUR}/configmaps/escape",
        "metadata.namespace",
        reason="BuildFailed",
    ),
    "adoption-from-another-clusterstate": Attempt(
        "OwnerConflict", (f"ClusterState {HOME}/victim",), {"a.yaml": text(config_map("victim", k="taken"))}, _ADOPT
    ),
    "adoption-from-a-controller": Attempt(
        "OwnerConflict", ("ReplicaSet controller",), {"a.yaml": text(config_map("controlled", k="taken"))}, _ADOPT
    ),
    MARKED: Attempt("PruneHeld", ("ConfigMap", "innocent", "managedFields")),
}
"""`victim`, `controlled` and `innocent` are ConfigMaps that are there before, of another ClusterState, of a controller, and of nobody but with our marks."""

# -- sources, renders, references ----------------------------------------------------------------------------------

_EXEC: Final = (
    "apiVersion: example.test/v1\nkind: Run\nmetadata: {name: x, annotations: {config.kubernetes.io/function: 'exec: {path: ./run.sh}'}}\n"
)
_INFLATE: Final = "helmCharts: [{name: x, repo: 'https://charts.example.test', version: 1.0.0}]\n"
_BASE: Final = {"b.yaml": text(config_map("escape", k="v"))}
_CHART: Final = {"Chart.yaml": "apiVersion: v2\nname: x\nversion: 1.0.0\n", "templates/a.yaml": text(config_map("harmless", k="v"))}


def secret_reference(*, files: Mapping[str, str] | None = None, **spec: Any) -> Attempt:
    """A Secret of his namespace that his account may not read."""
    return Attempt("Forbidden", (USER, HIDDEN, NO_GET), files or {}, spec)


def address(url: str, *mentions: str) -> Attempt:
    """A Git server that only the operator reaches."""
    return Attempt("URLNotAllowed", mentions, spec={"source": {"git": {"url": url}}})


def asked(url: str, *mentions: str, **more: Any) -> Attempt:
    """A Prometheus that is not asked, or not with that Secret."""
    signal = {"name": "s", "query": "up", "min": "1", "interval": "1s"}
    return Attempt("Refused", mentions, spec={"vital": {"prometheus": {"url": url, **more}, "signals": [signal]}}, told_by=SIGNAL)


def depends(mention: str, **dependency: str) -> Attempt:
    """Something that his account may not read, asked by an expression of his own."""
    path = f"/api/v1/namespaces/{HOME}/configmaps/asked"
    return Attempt(
        "DependencyNotReady", (mention, NO_GET), {"a.yaml": text(config_map("asked"))}, {"dependsOn": [dependency]}, absent=(path,)
    )


SOURCES: Final[Mapping[str, Attempt]] = {
    "link-to-the-operator-s-token": Attempt("SymlinkEscapes", ("link.yaml",), link="/var/run/secrets/kubernetes.io/serviceaccount/token"),
    "link-into-another-repository": Attempt("SymlinkEscapes", ("link.yaml",), link="../../victim/apps/a.yaml"),
    "kustomize-remote-base": Attempt(
        "RemoteBaseRefused", ("kustomization.yaml",), {"kustomization.yaml": "resources: ['https://github.com/x/y?ref=main']\n"}
    ),
    "kustomize-program": Attempt("PluginRefused", ("g.yaml",), {"kustomization.yaml": "generators: [g.yaml]\n", "g.yaml": _EXEC}),
    "kustomize-runs-helm": Attempt("PluginRefused", ("kustomization.yaml",), {"kustomization.yaml": _INFLATE}),
    "kustomize-outside": Attempt("PathEscapes", ("kustomization.yaml",), {"kustomization.yaml": "resources: [../../../../etc/passwd]\n"}),
    "kustomize-namespace": Attempt(
        "Forbidden",
        (USER, f'namespace "{NEIGHBOUR}"'),
        {"kustomization.yaml": f"namespace: {NEIGHBOUR}\nresources: [b.yaml]\n", **_BASE},
        absent=(f"/api/v1/namespaces/{NEIGHBOUR}/configmaps/escape",),
    ),
    "target-namespace": Attempt(
        "Forbidden",
        (USER, f'namespace "{NEIGHBOUR}"'),
        _BASE,
        {"render": {"targetNamespace": NEIGHBOUR}},
        absent=(f"/api/v1/namespaces/{NEIGHBOUR}/configmaps/escape",),
    ),
    "local-files": address("file:///etc", "--allow-file-urls"),
    "metadata-service": address("https://169.254.169.254/x", "link-local"),
    "loopback": address("https://localhost/x", "loopback"),
    "api-server-as-a-source": address("https://kubernetes.default.svc/x", "kubernetes.default.svc"),
    "git-credentials": secret_reference(source={"git": {"secretRef": {"name": HIDDEN}}}),
    "keys-for-signatures": secret_reference(source={"git": {"verify": {"secretRef": {"name": HIDDEN}}}}),
    "variables-from-a-secret": secret_reference(render={"substituteFrom": [{"kind": "Secret", "name": HIDDEN}]}),
    "values-from-a-secret": secret_reference(files=_CHART, render={"helm": {"valuesFrom": [{"kind": "Secret", "name": HIDDEN}]}}),
    "an-optional-secret": secret_reference(render={"substituteFrom": [{"kind": "Secret", "name": HIDDEN, "optional": True}]}),
    "prometheus-credentials": asked("https://prometheus.example.test", HIDDEN, NO_GET, secretRef={"name": HIDDEN}),
    "prometheus-metadata-service": asked("http://169.254.169.254", "link-local"),
    "prometheus-api-server": asked("https://kubernetes.default.svc", "kubernetes.default.svc"),
    "dependency-that-reads-a-secret": depends(
        HIDDEN, apiVersion="v1", kind="Secret", name=HIDDEN, readyExpr="dep.data.password.startsWith('a')"
    ),
    "dependency-beyond-his-namespace": depends(
        "cluster-admin", apiVersion=RBAC, kind="ClusterRole", name="cluster-admin", readyExpr="true"
    ),
}

# -- accounts ------------------------------------------------------------------------------------------------------

ACCOUNTS: Final[Mapping[str, Attempt]] = {
    "no-account": Attempt("ServiceAccountRequired", ("serviceAccountName",), account=None),
    "account-that-nobody-granted": Attempt("ImpersonationRefused", (f"{HOME}:{ADMIN}", "docs/tenancy.md"), account=ADMIN),
    "default-account": Attempt("ImpersonationRefused", (f"{HOME}:default",), account="default"),
    "name-of-the-operator-s-account": Attempt("ImpersonationRefused", (f"{HOME}:{ACCOUNT}",), account=ACCOUNT),
    "account-that-does-not-exist": Attempt("Forbidden", (f"system:serviceaccount:{HOME}:{GHOST}",), account=GHOST),
    "namespace-that-is-no-tenant-s": Attempt("ImpersonationRefused", (f"{STRANGER}:root",), where=STRANGER, account="root"),
}

# -- kubeconfigs ---------------------------------------------------------------------------------------------------

_BEARER: Final[Json] = {"token": CANARY}


def refused_user(key: str, value: Any) -> Attempt:
    """A kubeconfig whose user asks for what is not done."""
    return Attempt("KubeConfigInvalid", (f"users[0].user.{key}",), user={**_BEARER, key: value})


def refused_cluster(key: str, value: Any) -> Attempt:
    """A kubeconfig whose cluster asks for what is not done."""
    return Attempt("KubeConfigInvalid", (f"clusters[0].cluster.{key}",), user=_BEARER, server={key: value})


def refused_server(url: str) -> Attempt:
    """A kubeconfig that leads where only the operator gets."""
    return Attempt("URLNotAllowed", ("clusters[0].cluster.server",), user=_BEARER, server={"server": url})


KUBECONFIGS: Final[Mapping[str, Attempt]] = {
    "kubeconfig-exec": refused_user("exec", {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh"}),
    "kubeconfig-auth-provider": refused_user("auth-provider", {"name": "gcp", "config": {"cmd-path": "/bin/sh"}}),
    "kubeconfig-token-file": refused_user("tokenFile", "/var/run/secrets/kubernetes.io/serviceaccount/token"),
    "kubeconfig-client-certificate": refused_user("client-certificate", "/etc/ssl/x.crt"),
    "kubeconfig-client-key": refused_user("client-key", "/etc/ssl/x.key"),
    "kubeconfig-as": refused_user("as", "system:admin"),
    "kubeconfig-as-groups": refused_user("as-groups", ["system:masters"]),
    "kubeconfig-header-in-a-token": refused_user("token", f"{CANARY}\r\nImpersonate-User: system:admin"),
    "kubeconfig-authority-file": refused_cluster("certificate-authority", "/etc/ssl/certs/ca-certificates.crt"),
    "kubeconfig-proxy": refused_cluster("proxy-url", "http://192.0.2.1:3128"),
    "kubeconfig-insecure": refused_cluster("insecure-skip-tls-verify", True),
    "kubeconfig-plain-http": refused_cluster("server", "http://192.0.2.1:8080"),
    "kubeconfig-metadata-service": refused_server("https://169.254.169.254"),
    "kubeconfig-loopback": refused_server("https://127.0.0.1:6443"),
    "kubeconfig-localhost": refused_server("https://localhost:6443"),
    "kubeconfig-own-api-server": refused_server("https://kubernetes.default.svc"),
    "kubeconfig-that-he-may-not-read": Attempt(
        "Forbidden", (USER, HIDDEN, NO_GET), spec={"target": {"kubeConfig": {"secretRef": {"name": HIDDEN}}}}
    ),
}

ATTEMPTS: Final[Mapping[str, Attempt]] = {**OBJECTS, **OWNERSHIP, **SOURCES, **ACCOUNTS, **KUBECONFIGS}

# -- specs that the API server itself refuses ----------------------------------------------------------------------


def reference(**more: str) -> Json:
    """A reference with more than a name."""
    return {"name": "x", **more}


SPECS: Final[Mapping[str, tuple[Json, str]]] = {
    "account-of-the-neighbour": ({"serviceAccountName": f"../{NEIGHBOUR}/{APPLIER}"}, "spec.serviceAccountName"),
    "account-by-its-user-name": ({"serviceAccountName": f"system:serviceaccount:{NEIGHBOUR}:{APPLIER}"}, "spec.serviceAccountName"),
    "account-with-a-colon": ({"serviceAccountName": f"{APPLIER}:x"}, "spec.serviceAccountName"),
    "account-in-upper-case": ({"serviceAccountName": "Applier"}, "spec.serviceAccountName"),
    "group-as-account": ({"serviceAccountName": "system:masters"}, "spec.serviceAccountName"),
    "account-with-a-header": ({"serviceAccountName": "x\r\nImpersonate-Group: system:masters"}, "spec.serviceAccountName"),
    "account-with-a-newline-at-its-end": ({"serviceAccountName": "applier\n"}, "spec.serviceAccountName"),
    "empty-account": ({"serviceAccountName": ""}, "spec.serviceAccountName"),
    "account-too-long": ({"serviceAccountName": "a" * 254}, "spec.serviceAccountName"),
    "secret-by-a-path": ({"source": {"git": {"url": "https://git.example.test/x", "secretRef": reference(name="../x")}}}, "secretRef.name"),
    "kubeconfig-by-a-path": ({"target": {"kubeConfig": {"secretRef": reference(name=f"../{NEIGHBOUR}/x")}}}, "secretRef.name"),
    "kubeconfig-key-by-a-path": ({"target": {"kubeConfig": {"secretRef": reference(key="../x")}}}, "secretRef.key"),
    "dependency-by-a-path": ({"dependsOn": [reference(name=f"../{NEIGHBOUR}/x")]}, "spec.dependsOn"),
    "path-out-of-the-repository": ({"source": {"git": {"url": "https://git.example.test/x", "path": "../x"}}}, "path"),
    "git-secret-elsewhere": (
        {"source": {"git": {"url": "https://git.example.test/x", "secretRef": reference(namespace=NEIGHBOUR)}}},
        "secretRef.namespace",
    ),
    "kubeconfig-elsewhere": ({"target": {"kubeConfig": {"secretRef": reference(namespace=NEIGHBOUR)}}}, "secretRef.namespace"),
    "kubeconfig-in-the-spec": ({"target": {"kubeConfig": {"value": "x", "secretRef": reference()}}}, "kubeConfig.value"),
    "dependency-elsewhere": ({"dependsOn": [reference(namespace=NEIGHBOUR)]}, "dependsOn[0].namespace"),
    "variables-elsewhere": (
        {"render": {"substituteFrom": [{"kind": "Secret", **reference(namespace=NEIGHBOUR)}]}},
        "substituteFrom[0].namespace",
    ),
    "values-elsewhere": (
        {"render": {"helm": {"valuesFrom": [{"kind": "Secret", **reference(namespace=NEIGHBOUR)}]}}},
        "valuesFrom[0].namespace",
    ),
    "account-elsewhere": ({"serviceAccountNamespace": NEIGHBOUR}, "spec.serviceAccountNamespace"),
    "events-elsewhere": ({"eventNamespace": NEIGHBOUR}, "spec.eventNamespace"),
    "impersonation": ({"impersonate": {"user": "system:admin"}}, "spec.impersonate"),
    "helm-post-renderer": ({"render": {"helm": {"postRenderer": "/bin/sh"}}}, "helm.postRenderer"),
}
"""Each a spec, and the field that is to be named; asked with strict validation, as kubectl does."""


# -- objects that are to stay ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hold:
    """An object that the platform team takes away, and that a tenant declares as well, so that it stays."""

    body: Json
    path: str
    reason: str
    """What the tenant is told while it is there."""


HOLDS: Final[Mapping[str, Hold]] = {
    "hold-unread": Hold(
        manifest("RoleBinding", "hold", api_version=RBAC, namespace=SHARED, roleRef=_ADMIN_ROLE, subjects=[_PERSON]),
        f"/apis/{RBAC}/namespaces/{SHARED}/rolebindings/hold",
        "Forbidden",
    ),
    "hold-read": Hold(
        manifest("ConfigMap", "hold", namespace=SHARED, data={"k": "v"}), f"/api/v1/namespaces/{SHARED}/configmaps/hold", "OwnerConflict"
    ),
}
"""Whatever the account may read, it may write none of them."""
