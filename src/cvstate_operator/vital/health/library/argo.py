"""Argo: Rollouts, Workflows, CD and Events."""

from typing import Final

from cvstate_operator.vital.health.library.entry import Entry, both, condition, either, entry, is_, not_true, true

_GROUP: Final = "argoproj.io"

ENTRIES: Final[tuple[Entry, ...]] = (
    entry(
        _GROUP,
        "Rollout",
        current=either(is_("status.phase", "Healthy"), both(is_("status.phase", "Paused"), "self.spec.paused")),
        failed=is_("status.phase", "Degraded"),
        waits=both(is_("status.phase", "Paused"), "size(self.status.pauseConditions) > 0"),
        ready="phase is Healthy, or Paused because the spec asks for it",
        broken="phase is Degraded: aborted, or over its progress deadline",
        source="Argo Rollouts, v1alpha1 RolloutStatus: phase (Healthy, Degraded, Progressing, Paused), pauseConditions (PauseReason)",
    ),
    *(
        entry(
            _GROUP,
            kind,
            current=is_("status.phase", "Successful"),
            failed=is_("status.phase", "Failed", "Error", "Inconclusive"),
            ready="phase is Successful",
            broken="phase is Failed, Error or Inconclusive",
            source=f"Argo Rollouts, v1alpha1 {kind}Status: phase (AnalysisPhase)",
        )
        for kind in ("AnalysisRun", "Experiment")
    ),
    entry(
        _GROUP,
        "Workflow",
        current=is_("status.phase", "Succeeded"),
        failed=is_("status.phase", "Failed", "Error"),
        suspended="self.spec.suspend",
        ready="phase is Succeeded",
        broken="phase is Failed or Error",
        source="Argo Workflows, v1alpha1 WorkflowPhase",
    ),
    entry(
        _GROUP,
        "CronWorkflow",
        current="true",
        failed=either(condition("SubmissionError", "True"), condition("SpecError", "True")),
        suspended="self.spec.suspend",
        ready="no error is told; it has no status until it first runs",
        broken="SubmissionError or SpecError is True",
        source="Argo Workflows, v1alpha1 CronWorkflowStatus: conditions",
    ),
    entry(
        _GROUP,
        "Application",
        current=both(is_("status.health.status", "Healthy", "Suspended"), is_("status.sync.status", "Synced")),
        failed=either(
            is_("status.health.status", "Degraded"),
            both("self.status.sync.status != 'Synced'", is_("status.operationState.phase", "Failed", "Error")),
        ),
        ready="health is Healthy, or Suspended since the spec of what it holds says so; and sync is Synced",
        broken="health is Degraded, or it is not Synced and the last operation ended with Failed or Error",
        source="Argo CD, v1alpha1 ApplicationStatus: health.status, sync.status, operationState.phase",
    ),
    entry(
        _GROUP,
        "ApplicationSet",
        current=both(condition("ResourcesUpToDate", "True"), not_true("ErrorOccurred")),
        failed=condition("ErrorOccurred", "True", "ApplicationValidationError", "RenderTemplateParamsError"),
        ready="ResourcesUpToDate is True and ErrorOccurred is not",
        broken="ErrorOccurred is True because a template or an Application is wrong; a source out of reach is no such error",
        source="Argo CD, v1alpha1 ApplicationSetStatus: conditions and ApplicationSetReasonType",
    ),
    entry(
        _GROUP,
        "EventBus",
        current=true("Deployed"),
        failed=condition("Configured", "False"),
        ready="Deployed is True",
        broken="Configured is False: its spec is refused",
        source="Argo Events, v1alpha1 EventBusStatus: conditions Deployed, Configured",
    ),
    entry(
        _GROUP,
        "EventSource",
        current=both(true("SourcesProvided"), true("Deployed")),
        failed=condition("SourcesProvided", "False"),
        ready="SourcesProvided and Deployed are True",
        broken="SourcesProvided is False: its spec is refused",
        source="Argo Events, v1alpha1 EventSourceStatus: conditions",
    ),
    entry(
        _GROUP,
        "Sensor",
        current=both(true("DependenciesProvided"), true("TriggersProvided"), true("Deployed")),
        failed=either(condition("DependenciesProvided", "False"), condition("TriggersProvided", "False")),
        ready="DependenciesProvided, TriggersProvided and Deployed are True",
        broken="DependenciesProvided or TriggersProvided is False: its spec is refused",
        source="Argo Events, v1alpha1 SensorStatus: conditions",
    ),
)
