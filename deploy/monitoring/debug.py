"""The debug dashboard: everything that is told of one ClusterState, and of the process that carries it out."""

from functools import partial
from typing import Final

import promql_pieces as promql
from colors import CONFIGURATION, FAILURES, HEALTH, READY, RESULTS, ROLLOUTS, SEVERITIES, SIGNALS
from grafana import CLOSED, NONE_IS_GOOD, YES_NO, Board, Row, Variable, at_least, lines, stat, table
from promql_pieces import ONE, PROCESS

_AGO: Final = "dateTimeFromNow"
_UNCHANGED: Final = "Empty where nothing was written since the start."

each = partial(promql.each, of=ONE)
per_minute = partial(promql.per_minute, of=ONE)
quantile = partial(promql.quantile, of=ONE)
mean = partial(promql.mean, of=ONE, window="$__rate_interval")
of_process = partial(promql.rate, of=PROCESS)

STANDING: Final = Row(
    "This ClusterState",
    (
        stat("Ready", "Whether its condition says so.", each("cvstate_ready"), words=YES_NO),
        stat("Healthy", "Whether its condition says so.", each("cvstate_healthy"), words=YES_NO),
        stat("Accepted", "Whether its condition says so.", each("cvstate_accepted"), words=YES_NO),
        stat("Score", "0 to 100.", each("cvstate_score"), steps=at_least(90, 70)),
        stat("Confidence", "How much of the evidence is there, 0 to 100.", each("cvstate_confidence"), steps=at_least(80, 50)),
        stat(
            "Problems",
            "Files, documents and objects that cannot be brought into the cluster.",
            each("cvstate_problems"),
            steps=NONE_IS_GOOD,
        ),
        table(
            "Reason of Ready",
            "As it is now.",
            (each("cvstate_ready_reason", "reason"), "Now"),
            width=8,
            worded=(("Now", ((1, "yes", "text"),)),),
        ),
        table(
            "Unmet conditions",
            "Which, why, and since when.",
            (f"{each('cvstate_condition_unmet_timestamp_seconds', 'kind', 'reason')} * 1000", "Since"),
            unit=_AGO,
            width=8,
            empty="Empty while all is well.",
        ),
        table(
            "Closed gates",
            "Classes of changes that may not be made now, and why.",
            (each("cvstate_gate_closed", "action", "reason"), "Closed"),
            width=8,
            worded=(("Closed", CLOSED),),
            empty="Empty while everything may be written.",
        ),
        lines(
            "Scores",
            "Score, and what it is made of.",
            (each("cvstate_score"), "score"),
            (each("cvstate_configuration_score"), "configuration"),
            (each("cvstate_vital_score"), "vital"),
            (each("cvstate_confidence"), "confidence"),
            most=100,
        ),
        lines(
            "Objects by configuration",
            "Declared objects by how they compare with Git.",
            (each("cvstate_objects_by_configuration", "result"), "{{result}}"),
            colors=CONFIGURATION,
            is_stacked=True,
        ),
        lines(
            "Objects by health",
            "Declared objects by how they count.",
            (each("cvstate_objects_by_health", "result"), "{{result}}"),
            colors=HEALTH,
            is_stacked=True,
        ),
        lines(
            "Objects",
            "Declared by the newest commit, and in the cluster.",
            (each("cvstate_desired_objects"), "declared"),
            (each("cvstate_objects"), "in the cluster"),
        ),
        lines(
            "Waiting",
            "Changes that wait for an approval, and objects that left Git and are kept for now.",
            (each("cvstate_plan_waiting"), "approval"),
            (each("cvstate_prune_waiting"), "prune"),
        ),
        lines(
            "Ready Pods",
            "Of those that its workloads ask for; empty without workloads.",
            (each("cvstate_pods_ready_ratio"), "ready"),
            unit="percentunit",
            most=1,
        ),
    ),
)

PASSES: Final = Row(
    "Passes, source and writes",
    (
        lines(
            "Passes",
            "In a minute, by what they came to.",
            (per_minute("cvstate_reconcile_total", "result"), "{{result}}"),
            unit="opm",
            colors=READY,
            is_stacked=True,
        ),
        lines(
            "Passes by whose move it is next",
            "In a minute.",
            (per_minute("cvstate_reconcile_results_total", "result"), "{{result}}"),
            colors=RESULTS,
            unit="opm",
            is_stacked=True,
        ),
        lines(
            "Time of a pass",
            "Mean, and within which 95 % ended.",
            (mean("cvstate_reconcile_duration_seconds"), "mean"),
            (quantile(0.95, "cvstate_reconcile_duration_seconds"), "95 %"),
            unit="s",
        ),
        lines(
            "Looks at the source",
            "In a minute, by what they came to.",
            (per_minute("cvstate_source_fetch_total", "result"), "{{result}}"),
            unit="opm",
        ),
        lines("Time of a look", "Mean.", (mean("cvstate_source_fetch_duration_seconds"), "mean"), unit="s"),
        lines(
            "Age of the source",
            "Since it was read last.",
            (f"time() - {each('cvstate_source_last_success_timestamp_seconds')}", "read ago"),
            unit="s",
        ),
        lines(
            "Writes",
            "Objects in a minute, by what was done and what came of it.",
            (per_minute("cvstate_object_changes_total", "kind", "action", "result"), "{{action}} {{kind}}: {{result}}"),
            unit="opm",
            width=12,
            empty=_UNCHANGED,
        ),
        lines(
            "Refused by policy",
            "Writes that admission refused, in a minute.",
            (per_minute("cvstate_policy_denials_total"), "refused"),
            unit="opm",
            width=6,
        ),
        lines(
            "Roll-outs",
            "Ends within an hour.",
            (promql.grown("cvstate_rollouts_total", "action", "result", of=ONE, window="1h"), "{{action}} {{result}}"),
            decimals=0,
            colors=ROLLOUTS,
            width=6,
        ),
        stat(
            "Roll-out under way",
            "Since when.",
            f"{each('cvstate_rollout_began_timestamp_seconds')} * 1000",
            unit=_AGO,
            width=6,
            empty="Empty while nothing is rolled out.",
        ),
        stat(
            "Last lead time",
            "From the last commit that became healthy to then.",
            each("cvstate_last_change_lead_time_seconds"),
            unit="s",
            width=6,
            empty="Empty where nothing was rolled out since the start.",
        ),
    ),
)

DRIFT: Final = Row(
    "Drift",
    (
        lines(
            "Drift found",
            "Fields in a minute, by kind and severity. The first of a kind does not show here; it does below, by severity.",
            (per_minute("cvstate_drift_opened_total", "kind", "severity"), "{{kind}} {{severity}}"),
            colors=SEVERITIES,
            unit="opm",
            empty="Empty where nothing drifted since the start.",
        ),
        lines(
            "Drift found, by severity",
            "Fields in a minute.",
            (per_minute("cvstate_drift_events_total", "severity"), "{{severity}}"),
            colors=SEVERITIES,
            unit="opm",
        ),
        lines(
            "Open drift",
            "Fields, by severity.",
            (each("cvstate_drift_open_fields", "severity"), "{{severity}}"),
            is_stacked=True,
            colors=SEVERITIES,
        ),
        lines("Fields left alone", "Since somebody undoes every repair.", (each("cvstate_drift_breakers_open"), "fields")),
        lines(
            "Time to remedy",
            "From first seeing a field drifted until it is as declared again; mean, by what is done about it.",
            (mean("cvstate_drift_remediation_seconds", "action"), "{{action}}"),
            unit="s",
            empty="Empty where no drift ended since the start.",
        ),
        lines(
            "Time to repair",
            "From noticing a drift to the API server's answer; mean and 95 %.",
            (mean("cvstate_drift_repair_duration_seconds"), "mean"),
            (quantile(0.95, "cvstate_drift_repair_duration_seconds"), "95 %"),
            unit="s",
            empty="Empty where nothing was repaired since the start.",
        ),
        stat(
            "Oldest drift",
            "When it was first seen.",
            f"{each('cvstate_drift_oldest_timestamp_seconds')} * 1000",
            unit=_AGO,
            width=6,
            empty="Empty while nothing is drifted.",
        ),
    ),
)

VITAL: Final = Row(
    "Vital state",
    (
        lines("Signals", "By state.", (each("cvstate_signals", "result"), "{{result}}"), is_stacked=True, colors=SIGNALS),
        lines("Objectives", "SLOs by state.", (each("cvstate_slos", "result"), "{{result}}"), is_stacked=True, colors=SIGNALS),
        lines(
            "Indicators",
            "What the operator counts in the cluster, for signals that name an indicator; units differ.",
            (each("cvstate_indicator", "kind"), "{{kind}}"),
        ),
        lines(
            "Error budget",
            "What is left of that of the SLO with the least.",
            (each("cvstate_slo_error_budget_remaining_ratio"), "left"),
            unit="percentunit",
        ),
        lines(
            "Burn rate",
            "Of the SLO with the highest: how many times faster than evenly.",
            (each("cvstate_slo_burn_rate_ratio"), "burn rate"),
        ),
        lines(
            "Budget used up in",
            "If it burns on as in the last hour.",
            (each("cvstate_slo_error_budget_exhaustion_seconds"), "seconds"),
            unit="s",
            empty="Empty while none runs out within its window.",
        ),
        lines(
            "Telemetry completeness",
            "Sources that tell something, of those that are expected to.",
            (each("cvstate_telemetry_completeness_ratio"), "complete"),
            unit="percentunit",
            most=1,
        ),
        lines(
            "Sources that tell nothing",
            "By why.",
            (each("cvstate_telemetry_missing_sources", "reason"), "{{reason}}"),
            is_stacked=True,
            colors=FAILURES,
            empty="Empty while none was missing since the start.",
        ),
    ),
)

PROCESS_ROW: Final = Row(
    "The process",
    (
        lines("Requests to the API server", "In a second, by what was asked and what came of it.", (f'{of_process("cvstate_api_requests_total", "action", "result", "target")} > 0', "{{target}} {{action}} {{result}}"), unit="reqps", width=12),
        lines("Time of requests", "Median and 99 %, by what was asked.", (promql.quantile(0.5, "cvstate_api_request_duration_seconds", "action", "target"), "50 % {{target}} {{action}}"), (promql.quantile(0.99, "cvstate_api_request_duration_seconds", "action", "target"), "99 % {{target}} {{action}}"), unit="s", width=12),
        lines("Waiting", "Objects that wait to be looked at, or to be written.", ("sum by (instance, action) (cvstate_queue_length)", "{{action}} {{instance}}")),
        lines("Event loop", "How late it runs a timer: median and 99 %.", (promql.quantile(0.5, "cvstate_event_loop_lag_seconds"), "50 %"), (promql.quantile(0.99, "cvstate_event_loop_lag_seconds"), "99 %"), unit="s"),
        lines("Memory", "Of the process itself, without children.", ("process_resident_memory_bytes and on (instance, job) cvstate_build_info", "{{instance}}"), unit="bytes"),
        lines("CPU", "Cores; of the process itself.", ("rate(process_cpu_seconds_total[$__rate_interval]) and on (instance, job) cvstate_build_info", "{{instance}}")),
        lines("Open files", "And how many there may be.", ("process_open_fds and on (instance, job) cvstate_build_info", "open {{instance}}"), ("process_max_fds and on (instance, job) cvstate_build_info", "most {{instance}}")),
        lines("Cache", "Disk that repositories and rendered objects take; what renders at work write is not in it.", ("sum by (kind) (cvstate_cache_bytes)", "{{kind}}"), unit="bytes"),
        lines("Questions to Prometheus", "In a second, by what came of them.", (of_process("cvstate_prometheus_requests_total", "result"), "{{result}}"), unit="reqps"),
        lines("Time of questions", "Within which 99 % were answered, and waited for their turn.", (promql.quantile(0.99, "cvstate_prometheus_request_duration_seconds"), "answered"), (promql.quantile(0.99, "cvstate_prometheus_wait_seconds"), "waited"), unit="s"),
        lines("Push notifications", "In a second: received, and passed on to other replicas.", (of_process("cvstate_webhook_forwards_total", "result"), "passed on: {{result}}"), (of_process("cvstate_webhook_deliveries_total", "result"), "received: {{result}}"), unit="reqps"),
        lines("Notices", "Messages about incidents in a second.", (of_process("cvstate_notices_total", "result"), "{{result}}"), unit="reqps", colors=RESULTS),
        lines("Spans", "Of traces, in a second.", (of_process("cvstate_traces_exported_total", "result"), "{{result}}"), unit="reqps", colors=RESULTS),
        lines("Settings file", "Changes, as the operator took them.", (promql.grown("cvstate_config_reloads_total", "result", of=PROCESS, window="1h"), "{{result}}")),
        lines("Members", "Replicas, as each sees them.", ("sum by (instance, result) (cvstate_members)", "{{result}} {{instance}}"), ("sum by (instance) (cvstate_owned_clusterstates)", "owned {{instance}}")),
        lines("Remote clusters", "By whether they answer.", ("sum by (result) (cvstate_target_clusters)", "{{result}}")),
        lines("Convergence by kind", "Median time until objects of a kind are as a commit declares them, and ready; all ClusterStates, in the chosen time.", (promql.quantile(0.5, "cvstate_convergence_seconds", "kind", window="$__range"), "{{kind}}"), unit="s"),
        lines("Remedies by severity", "Mean time until drift is as declared again; all ClusterStates, in the chosen time.", (f'{promql.mean("cvstate_drift_remediation_by_severity_seconds", "action", "severity")} > 0', "{{action}} {{severity}}"), unit="s", colors=SEVERITIES, empty="Empty where no drift ended in that time."),
        table("Versions", "Of the operators that tell Prometheus something.", ("count by (version) (cvstate_build_info)", "Replicas"), width=8),
        stat("Up for", "Since the last start.", "min(time() - (process_start_time_seconds and on (instance, job) cvstate_build_info))", unit="s", width=8),
        stat("Settings taken up", "When they last were, at the start or from a changed file, by the replica that did so first.", "min(cvstate_config_last_reload_success_timestamp_seconds) * 1000", unit=_AGO, width=8),
    ),
)  # fmt: skip

BOARD: Final = Board(
    "cvstate-debug",
    "cvstate debug",
    "Everything that is told of one ClusterState, and of the process that carries it out.",
    (STANDING, PASSES, DRIFT, VITAL, PROCESS_ROW),
    (
        Variable("namespace", "label_values(cvstate_ready, namespace)", is_multi=False),
        Variable("name", 'label_values(cvstate_ready{namespace="$namespace"}, name)', is_multi=False),
    ),
    "now-1h",
)
