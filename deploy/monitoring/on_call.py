"""The on-call dashboard: what is broken now, since when, why, and what is waited for. Runbooks are linked from the panels."""

from typing import Final

from executive import FAILURES, NAMESPACES
from grafana import FEW_ARE_FINE, NONE_IS_GOOD, Board, Row, at_most, lines, stat, table
from promql_pieces import PROCESS, counted, each, grown, quantile, rate, share

_AGO: Final = "dateTimeFromNow"
"""Of milliseconds since 1970."""

BROKEN: Final = Row(
    "What is broken now",
    (
        stat(
            "Not ready",
            "ClusterStates that are not as Git declares.",
            counted(f"{each('cvstate_ready')} == 0"),
            steps=NONE_IS_GOOD,
            runbooks=("CvstateNotReady", "CvstateStuck"),
        ),
        stat(
            "Not healthy",
            "ClusterStates with an object that is not ready, or a signal outside its range.",
            counted(f"{each('cvstate_healthy')} == 0"),
            steps=NONE_IS_GOOD,
            runbooks=("CvstateUnhealthy", "CvstateUnhealthyAfterChange"),
        ),
        stat(
            "Not known",
            "ClusterStates of which nobody can tell whether they are ready or healthy.",
            counted(f"{each('cvstate_ready')} == -1 or {each('cvstate_healthy')} == -1"),
            steps=FEW_ARE_FINE,
            runbooks=("CvstateTelemetryGap",),
        ),
        stat(
            "Fights",
            "Fields left alone since somebody undoes every repair.",
            f"sum({each('cvstate_drift_breakers_open')})",
            steps=NONE_IS_GOOD,
            runbooks=("CvstateBreakerOpen",),
        ),
        stat(
            "Waiting for approval",
            "Changes that a person has to approve.",
            f"sum({each('cvstate_plan_waiting')})",
            steps=FEW_ARE_FINE,
            runbooks=("CvstatePlanWaiting",),
        ),
        stat(
            "Prunes held",
            "Objects that left Git and are kept until somebody approves, or what holds them ends.",
            f"sum({each('cvstate_prune_waiting')})",
            steps=FEW_ARE_FINE,
            runbooks=("CvstatePruneHeld",),
        ),
        table(
            "Conditions that are not as they should be",
            "Which, why, and since when.",
            (f"{each('cvstate_condition_unmet_timestamp_seconds', 'kind', 'reason')} * 1000", "Since"),
            unit=_AGO,
            width=14,
            empty="Empty while all is well.",
            runbooks=("CvstateNotReady", "CvstateUnhealthy"),
        ),
        table(
            "What may not be written now",
            "Closed change windows, suspended ClusterStates, dependencies, error budgets, emergency stops: by class of changes and reason.",
            (each("cvstate_gate_closed", "action", "reason"), "Closed"),
            width=10,
            empty="Empty while everything may be written.",
            runbooks=("CvstateEmergencyStop",),
        ),
        lines(
            "Ready",
            "ClusterStates by the reason of their condition Ready.",
            (f"count by (reason) ({each('cvstate_ready_reason', 'reason')})", "{{reason}}"),
            width=12,
            is_stacked=True,
        ),
        lines(
            "Objects by health",
            "Declared objects by how they count.",
            (f"sum by (result) ({each('cvstate_objects_by_health', 'result')})", "{{result}}"),
            width=12,
            is_stacked=True,
        ),
    ),
)

CHANGE: Final = Row(
    "What changes",
    (
        table(
            "Roll-outs under way",
            "Which are not healthy yet, and since when. One that stays here does not get on.",
            (f"{each('cvstate_rollout_began_timestamp_seconds')} * 1000", "Began"),
            unit=_AGO,
            empty="Empty while nothing is rolled out.",
            runbooks=("CvstateUnhealthyAfterChange",),
        ),
        table(
            "Sources that were not read lately",
            "The ten that were read successfully longest ago.",
            (f"topk(10, time() - {each('cvstate_source_last_success_timestamp_seconds')})", "Read ago"),
            unit="s",
            runbooks=("CvstateSourceStale",),
        ),
        lines(
            "Looks at sources that failed",
            "In a second, by why.",
            (rate("cvstate_source_fetch_total", "result", result="!ok"), "{{result}}"),
            unit="reqps",
            empty="Empty while none failed since the start.",
            runbooks=("CvstateSourceStale", "CvstateSourceRefused"),
        ),
        lines(
            "Passes by why they are not ready",
            "In a second; what is well is left out.",
            (rate("cvstate_reconcile_total", "result", result="!ok"), "{{result}}"),
            unit="reqps",
            empty="Empty while all were well since the start.",
            runbooks=("CvstateReconcileFailingWithImpact",),
        ),
        lines(
            "Writes that failed",
            "Objects that could not be written, in a second, by why.",
            (rate("cvstate_object_changes_total", "result", result="!ok"), "{{result}}"),
            unit="reqps",
            empty="Empty while none failed since the start.",
        ),
    ),
)

DRIFT: Final = Row(
    "Drift",
    (
        lines(
            "Open drift",
            "Fields that drifted and are not repaired, by severity.",
            (f"sum by (severity) ({each('cvstate_drift_open_fields', 'severity')})", "{{severity}}"),
            is_stacked=True,
            runbooks=("CvstateDriftUnattended",),
        ),
        lines(
            "Drift found",
            "Fields within 5 minutes, by severity.",
            (grown("cvstate_drift_events_total", "severity", window="5m"), "{{severity}}"),
        ),
        table(
            "Oldest drift",
            "When the oldest drift that is open was first seen.",
            (f"{each('cvstate_drift_oldest_timestamp_seconds')} * 1000", "Since"),
            unit=_AGO,
            width=8,
            empty="Empty while nothing is drifted.",
            runbooks=("CvstateCriticalDrift", "CvstateDriftUnattended"),
        ),
    ),
)

VITAL: Final = Row(
    "Signals, objectives and evidence",
    (
        lines("Signals", "By state.", (f"sum by (result) ({each('cvstate_signals', 'result')})", "{{result}}"), width=6, is_stacked=True),
        lines(
            "Objectives",
            "SLOs by state.",
            (f"sum by (result) ({each('cvstate_slos', 'result')})", "{{result}}"),
            width=6,
            is_stacked=True,
            runbooks=("CvstateSloBurning", "CvstateSloBudgetGone"),
        ),
        lines(
            "Sources that tell nothing",
            "Signals, SLOs and kinds of objects of which nothing is known, by why.",
            (f"sum by (reason) ({each('cvstate_telemetry_missing_sources', 'reason')})", "{{reason}}"),
            width=6,
            is_stacked=True,
            empty="Empty while none was missing since the start.",
            runbooks=("CvstateTelemetryGap",),
        ),
        table(
            "Budgets that run out",
            "When the first error budget is used up if it burns on as in the last hour.",
            (f"sort({each('cvstate_slo_error_budget_exhaustion_seconds')})", "Used up in"),
            unit="s",
            width=6,
            empty="Empty while none runs out within its window.",
            runbooks=("CvstateSloBurning",),
        ),
    ),
)

OPERATOR: Final = Row(
    "The operator and its API server",
    (
        stat(
            "Replicas",
            "Operators that tell Prometheus something.",
            "count(cvstate_build_info)",
            steps=(("red", None), ("green", 1)),
            runbooks=("CvstateOperatorDown",),
        ),
        stat(
            "Live members",
            "Replicas that share the work, as the one sees it that sees fewest; 0 for one that is alone.",
            'min(cvstate_members{result="live"})',
            runbooks=("CvstateReplicasUnsettled",),
        ),
        stat("Owned", "ClusterStates that replicas carry out, all together.", "sum(cvstate_owned_clusterstates)"),
        stat(
            "Remote clusters away",
            "Clusters of kubeconfig Secrets that do not answer.",
            'sum(cvstate_target_clusters{result="unreachable"})',
            steps=NONE_IS_GOOD,
            runbooks=("CvstateTargetUnreachable",),
        ),
        stat(
            "Notices in trouble",
            "Notices of incidents in the last hour whose request failed (it is tried again), or that were dropped.",
            'sum(increase(cvstate_notices_total{result!="ok"}[1h]))',
            decimals=0,
            steps=NONE_IS_GOOD,
            runbooks=("CvstateNoticesFailing",),
        ),
        stat(
            "Settings refused",
            "Changes of the settings file in the last hour that were wrong; the old settings stay.",
            'sum(increase(cvstate_config_reloads_total{result="failed"}[1h]))',
            decimals=0,
            steps=NONE_IS_GOOD,
            runbooks=("CvstateConfigReloadFailed",),
        ),
        lines(
            "Requests that the API server failed",
            "Share of all: no connection, no answer in time, 5xx. Target: below 0.1 %.",
            (
                share(rate("cvstate_api_requests_total", of=PROCESS, result=FAILURES), rate("cvstate_api_requests_total", of=PROCESS)),
                "failed",
            ),
            unit="percentunit",
            steps=at_most(0.001, 0.01),
            runbooks=("CvstateApiErrors",),
        ),
        lines(
            "Time of requests",
            "Within which 99 % were answered, by what was asked.",
            (quantile(0.99, "cvstate_api_request_duration_seconds", "action"), "{{action}}"),
            unit="s",
        ),
        lines(
            "Waiting",
            "Objects that wait to be looked at, or to be written; near 0 but for large commits.",
            ("sum by (action) (cvstate_queue_length)", "{{action}}"),
            runbooks=("CvstateQueueNotEmptied",),
        ),
        lines(
            "Event loop",
            "How late it runs a timer; above 1 s probes and Leases are in danger.",
            (quantile(0.99, "cvstate_event_loop_lag_seconds", "instance"), "99 % {{instance}}"),
            unit="s",
            steps=at_most(0.5, 1),
            runbooks=("CvstateEventLoopLag",),
        ),
        lines(
            "Memory",
            "Of the process itself, without the children that fetch and render.",
            ("process_resident_memory_bytes and on (instance, job) cvstate_build_info", "{{instance}}"),
            unit="bytes",
        ),
        lines(
            "CPU",
            "Cores; of the process itself.",
            ("rate(process_cpu_seconds_total[$__rate_interval]) and on (instance, job) cvstate_build_info", "{{instance}}"),
            unit="short",
        ),
    ),
)

BOARD: Final = Board(
    "cvstate-on-call",
    "cvstate on call",
    "What is broken now, since when, and why; what is waited for. Runbooks are linked from the panels.",
    (BROKEN, CHANGE, DRIFT, VITAL, OPERATOR),
    (NAMESPACES,),
    "now-6h",
)
