"""The on-call dashboard: what is broken now, since when, why, and what is waited for. Runbooks are linked from the panels."""

from typing import Final

from colors import FAILURES as FAILED
from colors import HEALTH, READY, SEVERITIES, SIGNALS
from executive import FAILURES, NAMESPACES
from grafana import CLOSED, FEW_ARE_FINE, NONE_IS_GOOD, Board, Row, at_most, lines, stat, table
from promql_pieces import PROCESS, counted, each, grown, per_minute, quantile, rate, share

_UNMET: Final = "cvstate_condition_unmet_timestamp_seconds"
_AGO: Final = "dateTimeFromNow"
"""Of milliseconds since 1970."""

BROKEN: Final = Row(
    "What is broken now",
    (
        stat(
            "Operators",
            "Replicas that tell Prometheus something; without one, nothing below is true any more.",
            "count(cvstate_build_info)",
            width=3,
            steps=(("red", None), ("green", 1)),
            runbooks=("CvstateOperatorDown",),
        ),
        stat(
            "Not ready",
            "ClusterStates that are not as Git declares.",
            counted(f"{each('cvstate_ready')} == 0"),
            width=3,
            steps=NONE_IS_GOOD,
            runbooks=("CvstateNotReady", "CvstateStuck"),
        ),
        stat(
            "Not healthy",
            "ClusterStates with an object that is not ready, or a signal outside its range.",
            counted(f"{each('cvstate_healthy')} == 0"),
            width=3,
            steps=NONE_IS_GOOD,
            runbooks=("CvstateUnhealthy", "CvstateUnhealthyAfterChange"),
        ),
        stat(
            "Not known",
            "ClusterStates of which nobody can tell whether they are ready or healthy.",
            counted(f"{each('cvstate_ready')} == -1 or {each('cvstate_healthy')} == -1"),
            width=3,
            steps=FEW_ARE_FINE,
            runbooks=("CvstateTelemetryGap",),
        ),
        stat(
            "Critical drift",
            "Fields that give power (rights, admission, APIs) and are not as Git declares.",
            f"sum({each('cvstate_drift_open_fields', severity='Critical')})",
            width=3,
            steps=NONE_IS_GOOD,
            runbooks=("CvstateCriticalDrift",),
        ),
        stat(
            "Fights",
            "Fields left alone since somebody undoes every repair.",
            f"sum({each('cvstate_drift_breakers_open')})",
            width=3,
            steps=NONE_IS_GOOD,
            runbooks=("CvstateBreakerOpen",),
        ),
        stat(
            "Waiting for approval",
            "Changes that a person has to approve.",
            f"sum({each('cvstate_plan_waiting')})",
            width=3,
            steps=FEW_ARE_FINE,
            runbooks=("CvstatePlanWaiting",),
        ),
        stat(
            "Prunes held",
            "Objects that left Git and are kept until somebody approves, or what holds them ends.",
            f"sum({each('cvstate_prune_waiting')})",
            width=3,
            steps=FEW_ARE_FINE,
            runbooks=("CvstatePruneHeld",),
        ),
        table(
            "Conditions that are not as they should be",
            "Which, why, and since when, the newest first; without those that only follow from another one.",
            (
                f"({each(_UNMET, 'kind', 'reason', kind='!Stalled')} unless {each(_UNMET, 'kind', 'reason', kind='!Ready', reason='NotEvaluated')}) * 1000",
                "Since",
            ),
            unit=_AGO,
            width=14,
            tall=11,
            sorted_by="Since",
            empty="Empty while all is well.",
            runbooks=("CvstateNotReady", "CvstateUnhealthy"),
        ),
        table(
            "What may not be written now",
            "Closed change windows, suspended ClusterStates, dependencies, error budgets, emergency stops: by class of changes and reason.",
            (each("cvstate_gate_closed", "action", "reason"), "Closed"),
            width=10,
            tall=11,
            worded=(("Closed", CLOSED),),
            empty="Empty while everything may be written.",
            runbooks=("CvstateEmergencyStop",),
        ),
        lines(
            "Ready",
            "ClusterStates by the reason of their condition Ready.",
            (f"count by (reason) ({each('cvstate_ready_reason', 'reason')})", "{{reason}}"),
            width=12,
            colors=READY,
            is_stacked=True,
        ),
        lines(
            "Objects by health",
            "Declared objects by how they count.",
            (f"sum by (result) ({each('cvstate_objects_by_health', 'result')})", "{{result}}"),
            width=12,
            colors=HEALTH,
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
            sorted_by="-Began",
            empty="Empty while nothing is rolled out.",
            runbooks=("CvstateUnhealthyAfterChange",),
        ),
        table(
            "Sources that cannot be read",
            "Since when every look at them has failed, whatever their interval, and why the last one did.",
            (f"{each('cvstate_source_failing_timestamp_seconds', 'reason')} * 1000", "Since"),
            unit=_AGO,
            sorted_by="-Since",
            empty="Empty while all can be read.",
            runbooks=("CvstateSourceStale", "CvstateSourceRefused"),
        ),
        lines(
            "Looks at sources that failed",
            "Within an hour, by why.",
            (grown("cvstate_source_fetch_total", "result", window="1h", result="!ok"), "{{result}}"),
            colors=FAILED,
            decimals=0,
            empty="Empty while none failed since the start.",
            runbooks=("CvstateSourceStale", "CvstateSourceRefused"),
        ),
        lines(
            "Passes by why they are not ready",
            "Within an hour; what is well is left out.",
            (grown("cvstate_reconcile_total", "result", window="1h", result="!ok"), "{{result}}"),
            colors=READY,
            decimals=0,
            empty="Empty while all were well since the start.",
            runbooks=("CvstateReconcileFailingWithImpact",),
        ),
        lines(
            "Writes that failed",
            "Objects that could not be written, in a minute, by why.",
            (per_minute("cvstate_object_changes_total", "result", result="!ok"), "{{result}}"),
            colors=FAILED,
            unit="opm",
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
            colors=SEVERITIES,
            runbooks=("CvstateDriftUnattended",),
        ),
        lines(
            "Drift found",
            "Fields within 5 minutes, by severity.",
            (grown("cvstate_drift_events_total", "severity", window="5m"), "{{severity}}"),
            decimals=0,
            colors=SEVERITIES,
        ),
        table(
            "Oldest drift",
            "When the oldest drift that is open was first seen.",
            (f"{each('cvstate_drift_oldest_timestamp_seconds')} * 1000", "Since"),
            unit=_AGO,
            width=8,
            sorted_by="-Since",
            empty="Empty while nothing is drifted.",
            runbooks=("CvstateCriticalDrift", "CvstateDriftUnattended"),
        ),
    ),
)

VITAL: Final = Row(
    "Signals, objectives and evidence",
    (
        lines(
            "Signals",
            "By state.",
            (f"sum by (result) ({each('cvstate_signals', 'result')})", "{{result}}"),
            width=6,
            is_stacked=True,
            colors=SIGNALS,
        ),
        lines(
            "Objectives",
            "SLOs by state.",
            (f"sum by (result) ({each('cvstate_slos', 'result')})", "{{result}}"),
            width=6,
            is_stacked=True,
            colors=SIGNALS,
            runbooks=("CvstateSloBurning", "CvstateSloBudgetGone"),
        ),
        lines(
            "Sources that tell nothing",
            "Signals, SLOs and kinds of objects of which nothing is known, by why.",
            (f"sum by (reason) ({each('cvstate_telemetry_missing_sources', 'reason')})", "{{reason}}"),
            width=6,
            is_stacked=True,
            colors=FAILED,
            empty="Empty while none was missing since the start.",
            runbooks=("CvstateTelemetryGap",),
        ),
        table(
            "Budgets that run out",
            "When the first error budget is used up if it burns on as in the last hour.",
            (each("cvstate_slo_error_budget_exhaustion_seconds"), "Used up in"),
            unit="s",
            sorted_by="-Used up in",
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
            "Live members",
            "Replicas that share the work, as the one sees it that sees fewest; 0 for one that is alone.",
            'min(cvstate_members{result="live"})',
            width=3,
            runbooks=("CvstateReplicasUnsettled",),
        ),
        stat("Owned", "ClusterStates that replicas carry out, all together.", "sum(cvstate_owned_clusterstates)", width=3),
        stat(
            "Longest undone",
            "For how long nothing was done for the ClusterState that has waited longest for what is due; 0 if nothing is due.",
            "max(cvstate_overdue_seconds)",
            width=3,
            unit="s",
            steps=at_most(300, 1800),
            runbooks=("CvstateNotReconciling",),
        ),
        stat(
            "Not let in",
            "Operators whose credentials the API server does not know any more.",
            counted("cvstate_api_unauthorized_timestamp_seconds > 0"),
            width=3,
            steps=NONE_IS_GOOD,
            runbooks=("CvstateApiUnauthorized",),
        ),
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
            "Operators whose settings file was changed and is wrong; they go on with the settings before, and would not start with these.",
            counted("cvstate_config_last_reload_successful == 0"),
            steps=NONE_IS_GOOD,
            runbooks=("CvstateConfigReloadFailed",),
        ),
        lines(
            "Requests that the API server failed",
            "Share of all to our own: no connection, no answer in time, 5xx. Target: below 0.1 %.",
            (
                share(
                    rate("cvstate_api_requests_total", of=PROCESS, result=FAILURES, target="home"),
                    rate("cvstate_api_requests_total", of=PROCESS, target="home"),
                ),
                "failed",
            ),
            unit="percentunit",
            steps=at_most(0.001, 0.01),
            runbooks=("CvstateApiErrors",),
        ),
        lines(
            "Time of requests",
            "Within which 99 % were answered, by what was asked.",
            (quantile(0.99, "cvstate_api_request_duration_seconds", "action", target="home"), "{{action}}"),
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
