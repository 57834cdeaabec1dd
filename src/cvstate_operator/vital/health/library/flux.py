"""Flux: sources, Kustomizations, HelmReleases, images.

Flux keeps to kstatus, so Stalled and Reconciling are judged as in every kind. What is left: an object that its controller has not seen has no status, or
none but an observedGeneration of -1; and one that is suspended keeps the observed generation that it had, for good.
"""

from typing import Final

from cvstate_operator.vital.health.library.entry import Entry, either, entry, true

_KINDS: Final = (
    ("source.toolkit.fluxcd.io", "GitRepository"),
    ("source.toolkit.fluxcd.io", "OCIRepository"),
    ("source.toolkit.fluxcd.io", "Bucket"),
    ("source.toolkit.fluxcd.io", "HelmChart"),
    ("kustomize.toolkit.fluxcd.io", "Kustomization"),
    ("helm.toolkit.fluxcd.io", "HelmRelease"),
    ("image.toolkit.fluxcd.io", "ImageRepository"),
    ("image.toolkit.fluxcd.io", "ImagePolicy"),
    ("image.toolkit.fluxcd.io", "ImageUpdateAutomation"),
    ("notification.toolkit.fluxcd.io", "Receiver"),
)

ENTRIES: Final[tuple[Entry, ...]] = (
    *(
        entry(
            group,
            kind,
            current=true("Ready"),
            suspended="self.spec.suspend",
            ready="Ready is True",
            source=f"Flux, {kind}Status: conditions as in kstatus; spec.suspend",
        )
        for group, kind in _KINDS
    ),
    entry(
        "source.toolkit.fluxcd.io",
        "HelmRepository",
        current=either("self.spec.type == 'oci'", true("Ready")),
        suspended="self.spec.suspend",
        ready="Ready is True; of type oci always, since nobody works on it",
        source="Flux, source/v1 HelmRepositoryStatus; specification, 'Helm OCI repository': no status",
    ),
)
