"""Crossplane: packages, definitions, and the objects of its two most general providers.

Managed resources and claims are of kinds that nobody can list; `vital/health/generic` judges them by Ready, and by Synced where they tell it.
"""

from typing import Final

from cvstate_operator.vital.health.library.entry import Entry, annotated, both, either, entry, true

_PAUSED: Final = annotated("crossplane.io/paused", "true")
_FORGED: Final = (
    "self.status.conditions.exists(c, c.type == 'Verified' && c.status == 'False' && c.reason == 'SignatureVerificationFailed')"
)

ENTRIES: Final[tuple[Entry, ...]] = (
    *(
        entry(
            "pkg.crossplane.io",
            kind,
            current=both(true("Installed"), true("Healthy")),
            failed=_FORGED,
            suspended=_PAUSED,
            ready="Installed and Healthy are True",
            broken="Verified is False with SignatureVerificationFailed",
            source=f"Crossplane, pkg/v1 conditions of a {kind}: Installed, Healthy, Verified",
        )
        for kind in ("Provider", "Function", "Configuration")
    ),
    entry(
        "apiextensions.crossplane.io",
        "CompositeResourceDefinition",
        current=both(true("Established"), either("!has(self.spec.claimNames)", true("Offered"))),
        suspended=_PAUSED,
        ready="Established is True, and Offered if it has claimNames",
        source="Crossplane, apiextensions/v1 conditions of an XRD: Established, Offered",
    ),
    *(
        entry(
            group,
            kind,
            current=both(true("Synced"), true("Ready")),
            suspended=_PAUSED,
            ready="Synced and Ready are True",
            source=f"crossplane-runtime, common/v1 conditions Synced and Ready; {project}, {kind}",
        )
        for group, kind, project in (
            ("kubernetes.crossplane.io", "Object", "provider-kubernetes"),
            ("helm.crossplane.io", "Release", "provider-helm"),
        )
    ),
)
