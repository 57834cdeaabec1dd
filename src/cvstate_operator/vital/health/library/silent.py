"""Silent kinds: kinds whose definition has a status that no controller writes, or only some versions, or only with an option. Input is a kind; the reader is
`vital/health/readiness`, for objects without a status. Kubernetes' own kinds and those of the library have rules and need not be here.

That a definition has a status says little: generators add it to every kind, and some projects want it only since it makes the API server count generations
(Tekton, in its definitions). Some have the subresource, and a schema without the field or without anything in it (Flagger, Kong, SR-IOV), so that nobody could
write one; discovery tells nothing of schemas. Source of each group: the definitions that its project ships. For a kind that is missing here `spec.vital.healthExprs` tells the same.
"""

from collections.abc import Mapping
from typing import Final

from cvstate_operator.objects.identity import GroupKind

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "acid.zalan.do": ("OperatorConfiguration", "PostgresTeam"),
    "apiextensions.crossplane.io": ("Composition", "CompositionRevision"),
    "cilium.io": ("CiliumClusterwideNetworkPolicy", "CiliumNetworkPolicy"),
    "configuration.konghq.com": ("KongIngress",),
    "extensions.istio.io": ("WasmPlugin",),
    "flagger.app": ("AlertProvider", "MetricTemplate"),
    "gateway.envoyproxy.io": ("EnvoyProxy",),
    "getambassador.io": ("Mapping",),
    "keda.sh": ("ClusterTriggerAuthentication", "TriggerAuthentication"),
    "metacontroller.k8s.io": ("CompositeController", "DecoratorController"),
    "metallb.io": ("AddressPool", "BFDProfile", "BGPAdvertisement", "BGPPeer", "Community", "IPAddressPool", "L2Advertisement"),
    "monitoring.coreos.com": ("AlertmanagerConfig", "PodMonitor", "Probe", "PrometheusRule", "ScrapeConfig", "ServiceMonitor"),
    "networking.istio.io": ("EnvoyFilter", "ProxyConfig", "Sidecar", "WorkloadEntry", "WorkloadGroup"),
    "opentelemetry.io": ("Instrumentation",),
    "operator.victoriametrics.com": (
        "VMAlertmanagerConfig", "VMNodeScrape", "VMPodScrape", "VMProbe", "VMRule", "VMScrapeConfig", "VMServiceScrape", "VMStaticScrape", "VMUser",
    ),
    "policy.networking.k8s.io": ("AdminNetworkPolicy", "BaselineAdminNetworkPolicy"),
    "projectcontour.io": ("TLSCertificateDelegation",),
    "security.istio.io": ("AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"),
    "sriovnetwork.openshift.io": ("SriovIBNetwork", "SriovNetwork", "SriovNetworkNodePolicy", "SriovNetworkPoolConfig"),
    "tekton.dev": ("ClusterTask", "Pipeline", "StepAction", "Task"),
    "telemetry.istio.io": ("Telemetry",),
    "triggers.tekton.dev": ("ClusterTriggerBinding", "Interceptor", "Trigger", "TriggerBinding", "TriggerTemplate"),
}  # fmt: skip
"""By group."""

GROUPS: Final = frozenset({"config.openshift.io", "generators.external-secrets.io"})
"""Groups that hold settings and nothing else, or whose other kinds tell at once."""


def needs_no_status(kind: GroupKind) -> bool:
    """Whether an object of this kind may be well and have no status."""
    if kind.is_built_in or kind.group in GROUPS or kind.kind in KINDS.get(kind.group, ()):
        return True
    # Cluster API, contract: templates of machines and their configurations are copied, and nobody works on them.
    return kind.kind.endswith("Template") and kind.group.endswith(".cluster.x-k8s.io")
