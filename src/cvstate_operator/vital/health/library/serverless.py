"""Serverless and scaling: Knative Serving, KEDA, Vertical Pod Autoscaler, Flagger."""

from typing import Final

from cvstate_operator.vital.health.library.entry import Entry, both, condition, either, entry, is_, not_true, true

_PAUSED: Final = "!(self.metadata.annotations['autoscaling.keda.sh/paused'].lowerAscii() in ['0', 'f', 'false'])"
"""Whatever is no word for false pauses, the empty text too (apis/keda/v1alpha1, NeedToBePausedByAnnotation)."""

ENTRIES: Final[tuple[Entry, ...]] = (
    *(
        entry(
            "serving.knative.dev",
            kind,
            current=true("Ready"),
            failed=condition("Ready", "False"),
            ready="Ready is True",
            broken="Ready is False, which says that something failed; while it works, Ready is Unknown",
            source=f"Knative, serving/v1 {kind}Status: condition Ready; specification, 'Error signaling'",
        )
        for kind in ("Service", "Route", "Configuration", "Revision")
    ),
    entry(
        "keda.sh",
        "ScaledObject",
        current=both(true("Ready"), not_true("Fallback")),
        suspended=either(_PAUSED, "'autoscaling.keda.sh/paused-replicas' in self.metadata.annotations"),
        ready="Ready is True and Fallback is not: its metrics can be read; whether it is Active does not matter",
        source="KEDA, v1alpha1 conditions Ready, Active, Fallback, Paused; documentation, 'Pausing autoscaling'",
    ),
    entry(
        "keda.sh",
        "ScaledJob",
        current=true("Ready"),
        suspended=_PAUSED,
        ready="Ready is True",
        source="KEDA, v1alpha1 condition Ready; documentation, 'Pausing autoscaling'",
    ),
    entry(
        "autoscaling.k8s.io",
        "VerticalPodAutoscaler",
        current=both(condition("RecommendationProvided", "True"), not_true("NoPodsMatched")),
        failed=condition("ConfigUnsupported", "True"),
        ready="RecommendationProvided is True and NoPodsMatched is not",
        broken="ConfigUnsupported is True",
        source="Kubernetes autoscaler, autoscaling.k8s.io/v1 VerticalPodAutoscalerConditionType",
    ),
    entry(
        "flagger.app",
        "Canary",
        current=is_("status.phase", "Initialized", "Succeeded"),
        failed=is_("status.phase", "Failed"),
        suspended="self.spec.suspend",
        waits=is_("status.phase", "Initializing", "Waiting", "Progressing", "WaitingPromotion", "Promoting", "Finalising"),
        ready="phase is Initialized or Succeeded",
        broken="phase is Failed: rolled back",
        source="Flagger, v1beta1 CanaryPhase",
    ),
)
