"""Networking: Istio, Contour, NGINX, OpenShift routes."""

from typing import Final

from cvstate_operator.vital.health.library.entry import Entry, entry, is_

_WRONG_SCHEMA: Final = (
    "self.status.validationMessages.exists(m, m.level == 'ERROR' && m.type.code == 'IST0106' || m.level == 'Error' && m.code == 'IST0106')"
)
"""As it is told now, and as the page "Configuration Status Field" still shows it."""

ENTRIES: Final[tuple[Entry, ...]] = (
    *(
        entry(
            "networking.istio.io",
            kind,
            current="!self.?status.?validationMessages.orValue([]).exists(m, m.level in ['ERROR', 'Error'])",
            failed=_WRONG_SCHEMA,
            ready="no analysis message is an error; without analysis, which is off by default, always",
            broken="a message says that the schema is wrong (IST0106); what may be missing only for now is no failure",
            source="Istio, meta/v1alpha1 IstioStatus: validationMessages (analysis/v1alpha1 AnalysisMessageBase)",
        )
        for kind in ("VirtualService", "Gateway", "DestinationRule", "ServiceEntry")
    ),
    entry(
        "projectcontour.io",
        "HTTPProxy",
        current=is_("status.currentStatus", "valid"),
        failed=is_("status.currentStatus", "invalid"),
        ready="currentStatus is valid",
        broken="currentStatus is invalid",
        source="Contour, v1 HTTPProxyStatus: currentStatus (valid, invalid, orphaned, NotReconciled)",
    ),
    *(
        entry(
            "k8s.nginx.org",
            kind,
            current=is_("status.state", "Valid"),
            failed=is_("status.state", "Invalid"),
            ready="state is Valid",
            broken="state is Invalid: not taken over",
            source=f"NGINX Ingress Controller, v1 {kind}Status: state (Valid, Warning, Invalid)",
        )
        for kind in ("VirtualServer", "VirtualServerRoute", "TransportServer")
    ),
    entry(
        "route.openshift.io",
        "Route",
        current="size(self.status.ingress) > 0 && self.status.ingress.all(i, i.conditions.exists(c, c.type == 'Admitted' && c.status == 'True'))",
        failed="self.status.ingress.exists(i, i.conditions.exists(c, c.type == 'Admitted' && c.status == 'False'))",
        ready="every router admits it",
        broken="a router refuses it: its host is taken, for example",
        source="OpenShift, route/v1 RouteStatus: ingress[].conditions, Admitted",
    ),
)
