"""The executive dashboard: is everything acceptable? Scores and the indicators with their targets (docs/slis.md), and the ten that need most."""

from typing import Final

from colors import RESULTS, ROLLOUTS
from grafana import FEW_ARE_FINE, YES_NO, Board, Row, Variable, at_least, at_most, bars, lines, stat, table
from promql_pieces import PROCESS, counted, each, grown, mean, per_minute, quantile, rate, share

NAMESPACES: Final = Variable("namespace", "label_values(cvstate_ready, namespace)", is_multi=True)
FAILURES: Final = "~NetworkError|Timeout|ServerError|WebhookUnavailable"
"""Results of requests that are the API server's failure (`telemetry/process_metrics.py`, API_FAILURES)."""
NOTHING_ROLLED_OUT: Final = "Empty where nothing was rolled out in that time."
NOTHING_DRIFTED: Final = "Empty where nothing drifted in that time."
NO_CRITICAL_DRIFT: Final = "Empty where none ended in that time."
ONLY_KNOWN: Final = "Those of which nothing can be known now are left out, and counted as not known; – if that is all of them."

_ACCEPTED: Final = each("cvstate_accepted")
_SCORE: Final = each("cvstate_score")
_WORST: Final = f"bottomk(10, {_SCORE} or {each('cvstate_ready')} * 0 - 1)"
"""Those without a score come first: of them nobody can tell."""
_LEFT: Final = each("cvstate_slo_error_budget_remaining_ratio")
_CONFIDENCE: Final = each("cvstate_confidence")
_KNOWN: Final = f"{_CONFIDENCE} > bool 0"
"""0 for those of which nothing can be relied on now: a target that does not answer, a spec that was refused."""
_COUNTED: Final = f"{_SCORE} and on (namespace, name) {_CONFIDENCE} > 0"
"""Scores of those of which something is known. A 0 for the others would say that they are as bad as can be; the tile "Not known" counts them."""
_UNTOLD: Final = f"{_ACCEPTED} == -1 or {_CONFIDENCE} == 0"
"""The second also where `spec.vital.acceptance` asks for no confidence."""
_COMPARED: Final = each("cvstate_objects_by_configuration", "result")
_AS_DECLARED: Final = each("cvstate_objects_by_configuration", result="AsDeclared")
_DRIFTED: Final = each("cvstate_objects_by_configuration", "result", result="~.+Drift")
_EVICTIONS: Final = each("cvstate_indicator", kind="Evictions")
_REMEDIED: Final = "cvstate_drift_remediation_by_severity_seconds"


def _of_worst(metric: str) -> str:
    return f"{each(metric)} and on (namespace, name) {_WORST}"


NOW: Final = Row(
    "Is everything acceptable?",
    (
        stat(
            "Acceptable",
            "ClusterStates that their own requirements (spec.vital.acceptance) accept, of all. What is not known is not acceptable.",
            share(f"sum({_ACCEPTED} == bool 1)", f"count({_ACCEPTED})"),
            unit="percentunit",
            decimals=1,
            steps=at_least(0.99, 0.95),
        ),
        stat(
            "Not known",
            "ClusterStates of which nobody can tell whether they are acceptable, since evidence is missing. Those of which nothing can be known now, or that never had a score, "
            "are among them, and in no score beside.",
            counted(_UNTOLD),
            steps=FEW_ARE_FINE,
            runbooks=("CvstateTelemetryGap",),
        ),
        stat(
            "Lowest score",
            f"Score of the worst ClusterState, 0 to 100. {ONLY_KNOWN}",
            f"min({_COUNTED})",
            steps=at_least(90, 70),
        ),
        stat(
            "Mean score",
            f"Over ClusterStates, 0 to 100. {ONLY_KNOWN}",
            f"avg({_COUNTED})",
            decimals=1,
            steps=at_least(95, 90),
        ),
        stat(
            "Lowest confidence",
            "How much of the evidence is there, 0 to 100, where least of it is.",
            f"min({_CONFIDENCE})",
            steps=at_least(80, 50),
        ),
        stat("ClusterStates", "How many there are.", f"count({each('cvstate_ready')})"),
        stat(
            "Configuration compliance",
            "Declared objects that are exactly as Git declares, of all; where nothing can be known now none counts as such. Target: 99 %.",
            share(f"sum({_AS_DECLARED} * on (namespace, name) ({_KNOWN}))", f"sum({_COMPARED})"),
            unit="percentunit",
            decimals=2,
            steps=at_least(0.99, 0.95),
        ),
        stat(
            "Drift rate",
            "Declared objects with open drift, of all. Target: below 1 %.",
            share(f"(sum({_DRIFTED}) or vector(0))", f"sum({_COMPARED})"),
            unit="percentunit",
            decimals=2,
            steps=at_most(0.01, 0.05),
            runbooks=("CvstateDriftUnattended", "CvstateCriticalDrift"),
        ),
        stat(
            "Telemetry completeness",
            "Sources of telemetry that tell something, of those that are expected to; mean of all ClusterStates. Target: 99 %.",
            f"avg({each('cvstate_telemetry_completeness_ratio')})",
            unit="percentunit",
            decimals=2,
            steps=at_least(0.99, 0.95),
            runbooks=("CvstateTelemetryGap",),
        ),
        stat(
            "Pods ready",
            "Ready Pods of those that workloads ask for; mean of all ClusterStates with workloads. Target: 99 %.",
            f"avg({each('cvstate_pods_ready_ratio')})",
            unit="percentunit",
            decimals=2,
            steps=at_least(0.99, 0.95),
            runbooks=("CvstateUnhealthy",),
        ),
        stat(
            "Evictions",
            "Pods evicted in the last hour, where a signal names the indicator Evictions; – where none does. Target: near 0.",
            f"sum({_EVICTIONS})",
            steps=FEW_ARE_FINE,
        ),
        stat(
            "Least error budget",
            "Of the SLO with the least: the share of its error budget that is left; below 0 it is overdrawn, – without SLOs.",
            f"min({_LEFT})",
            unit="percentunit",
            decimals=1,
            steps=at_least(0.5, 0.1),
            runbooks=("CvstateSloBudgetGone", "CvstateSloBurning"),
        ),
    ),
)

DELIVERY: Final = Row(
    "Do changes arrive?",
    (
        stat(
            "Deployment success",
            f"Roll-outs of new revisions that became healthy, of those that did or were given up, in the chosen time. Target: 99 %. {NOTHING_ROLLED_OUT}",
            share(
                grown("cvstate_rollouts_total", action="NewRevision", result="Healthy"),
                grown("cvstate_rollouts_total", action="NewRevision", result="~Healthy|Unhealthy"),
            ),
            tall=7,
            unit="percentunit",
            decimals=1,
            steps=at_least(0.99, 0.9),
            runbooks=("CvstateRolledBack",),
        ),
        stat(
            "Lead time, median",
            f"From a commit until the cluster is as it declares and healthy; all namespaces, in the chosen time. {NOTHING_ROLLED_OUT}",
            quantile(0.5, "cvstate_change_lead_time_seconds", window="$__range"),
            tall=7,
            unit="s",
        ),
        stat(
            "Lead time, 95 %",
            f"The same for all but the slowest twentieth. {NOTHING_ROLLED_OUT}",
            quantile(0.95, "cvstate_change_lead_time_seconds", window="$__range"),
            tall=7,
            unit="s",
        ),
        lines(
            "Roll-outs by their end",
            "Ends within an hour: Healthy, Unhealthy (given up), Superseded (overtaken by a newer commit before it was healthy).",
            (grown("cvstate_rollouts_total", "action", "result", window="1h"), "{{action}} {{result}}"),
            width=12,
            decimals=0,
            colors=ROLLOUTS,
        ),
        bars(
            "Convergence by kind",
            "Within which 95 % and 99 % of the objects of a kind were as a commit declares them, and ready, from when that was found due; in the chosen time. "
            + NOTHING_ROLLED_OUT,
            (quantile(0.95, "cvstate_convergence_seconds", "kind", window="$__range"), "95 % {{kind}}"),
            (quantile(0.99, "cvstate_convergence_seconds", "kind", window="$__range"), "99 % {{kind}}"),
            unit="s",
            steps=(("blue", None),),
            width=12,
        ),
        table(
            "The ten slowest last changes",
            f"From the last commit that became healthy to then. {NOTHING_ROLLED_OUT}",
            (f"topk(10, {each('cvstate_last_change_lead_time_seconds')})", "Lead time"),
            unit="s",
            sorted_by="Lead time",
            width=12,
        ),
    ),
)

RECONCILING: Final = Row(
    "Does the operator do its work?",
    (
        stat(
            "Reconcile success",
            "Passes that did all they may, of all; without those that met what was refused by checking it. Target: 99.9 %.",
            "1 - "
            + share(
                grown("cvstate_reconcile_results_total", result="~Transient|Persistent"),
                grown("cvstate_reconcile_results_total", result="!Invalid"),
            ),
            unit="percentunit",
            decimals=2,
            steps=at_least(0.999, 0.99),
            runbooks=("CvstateReconcileBudgetBurning",),
        ),
        stat(
            "Drift in 24 hours",
            "Fields found drifted in the last 24 hours, for each ClusterState. Target: below 1.",
            share(grown("cvstate_drift_events_total", window="24h"), f"count({each('cvstate_ready')})"),
            decimals=2,
            steps=at_most(1, 10),
        ),
        stat(
            "Critical drift, by us",
            "Mean time until Critical drift that is repaired automatically was as declared again, in the chosen time. Target: below 5 minutes.",
            mean(_REMEDIED, of=PROCESS, action="Auto", severity="Critical"),
            unit="s",
            empty=NO_CRITICAL_DRIFT,
            steps=at_most(300, 900),
            runbooks=("CvstateCriticalDrift",),
        ),
        stat(
            "Critical drift, by people",
            "The same where a rule says to alert, or to wait for an approval.",
            mean(_REMEDIED, of=PROCESS, action="!Auto", severity="Critical"),
            unit="s",
            empty=NO_CRITICAL_DRIFT,
            steps=at_most(300, 3600),
            runbooks=("CvstateCriticalDrift",),
        ),
        stat(
            "Repaired automatically",
            f"Drift that we ended ourselves, of all that needs no approval, in the chosen time; all namespaces. Target: 70 %. {NOTHING_DRIFTED}",
            share(grown(f"{_REMEDIED}_count", of=PROCESS, action="Auto"), grown(f"{_REMEDIED}_count", of=PROCESS, action="~Auto|Alert")),
            unit="percentunit",
            decimals=1,
            steps=at_least(0.7, 0.5),
        ),
        stat(
            "API errors",
            "Requests that our own API server failed (no connection, no answer in time, 5xx), of all, in the chosen time. Target: below 0.1 %.",
            share(
                grown("cvstate_api_requests_total", of=PROCESS, result=FAILURES, target="home"),
                grown("cvstate_api_requests_total", of=PROCESS, target="home"),
            ),
            unit="percentunit",
            decimals=3,
            steps=at_most(0.001, 0.01),
            runbooks=("CvstateApiErrors",),
        ),
        lines(
            "Passes by result",
            "Passes in a minute: Succeeded; Waiting for a person or a gate; Invalid, what was refused by checking it; Transient and Persistent failures.",
            (per_minute("cvstate_reconcile_results_total", "result"), "{{result}}"),
            unit="opm",
            width=12,
            colors=RESULTS,
            is_stacked=True,
        ),
        lines(
            "Writes refused by policy",
            "Share of writes that admission refused: low, but not always 0, or nobody tries the policies.",
            (share(rate("cvstate_policy_denials_total"), f"clamp_min({rate('cvstate_object_changes_total')}, 0.001)"), "refused"),
            unit="percentunit",
            width=12,
        ),
    ),
)

WORST_TEN: Final = Row(
    "Who needs most",
    (
        table(
            "The ten lowest scores",
            "Those without one first. The name leads to the dashboard cvstate debug.",
            (_WORST, "Score"),
            (_of_worst("cvstate_confidence"), "Confidence"),
            (_of_worst("cvstate_configuration_score"), "Configuration"),
            (_of_worst("cvstate_vital_score"), "Vital"),
            (_of_worst("cvstate_accepted"), "Accepted"),
            (_of_worst("cvstate_ready"), "Ready"),
            width=14,
            tall=9,
            sorted_by="-Score",
            worded=(("Score", ((-1, "none", "orange"),)), ("Accepted", YES_NO), ("Ready", YES_NO)),
        ),
        table(
            "The ten with the least error budget",
            "What is left of the SLO with the least, and how many times faster than evenly it burns.",
            (f"bottomk(10, {_LEFT})", "Left"),
            (f"{each('cvstate_slo_burn_rate_ratio')} and on (namespace, name) bottomk(10, {_LEFT})", "Burn rate"),
            decimals=2,
            width=10,
            tall=9,
            sorted_by="-Left",
            runbooks=("CvstateSloBurning",),
        ),
        lines(
            "Score",
            f"The lowest and the mean. {ONLY_KNOWN}",
            (f"min({_COUNTED})", "lowest"),
            (f"avg({_COUNTED})", "mean"),
            most=100,
            width=12,
        ),
        lines("Error budget", "Of the SLO with the least.", (f"min({_LEFT})", "left"), unit="percentunit", width=12),
    ),
)

BOARD: Final = Board(
    "cvstate-executive",
    "cvstate executive",
    "Is everything acceptable? Scores and indicators with their targets; what each is and why is in docs/slis.md.",
    (NOW, DELIVERY, RECONCILING, WORST_TEN),
    (NAMESPACES,),
    "now-7d",
)
