"""ClusterState, `spec.vital`: how the health of what runs is judged, and when the whole is acceptable."""

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from cvstate_operator.api.dependencies import API_VERSION_PATTERN, KIND_PATTERN, MAX_EXPRESSION
from cvstate_operator.api.duration import MAX_SECONDS, Duration, Interval, LastingFor, Timeout, parse_seconds
from cvstate_operator.api.model import ApiModel, LocalReference, rule

MAX_SIGNALS: Final = 128
"""Each is a query every `interval`; more belong into recording rules."""
MAX_SLOS: Final = 20
MAX_QUERY: Final = 4096
"""Longest query in characters: more than a person reads."""
MAX_WEIGHT: Final = 100
WINDOW_MARK: Final = "{{.window}}"
"""Stands in `good` and `total` for the time that is asked about, as in Sloth."""

WINDOW_PATTERN: Final = r"^([0-9]+(\.[0-9]+)?(m|h|d))+$"
_WINDOW_SECONDS: Final = {"m": 60.0, "h": 3600.0, "d": 86400.0}
_WINDOW_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|h|d)")
_NAME: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_DECIMAL: Final = r"^-?[0-9]{1,15}(\.[0-9]{1,9})?$"
_URL: Final = r"^https?://[^\s]+$"

SignalName = Annotated[str, Field(pattern=_NAME, max_length=63)]
DecimalText = Annotated[str, Field(pattern=_DECIMAL, max_length=26)]
"""A decimal number as text: the Kubernetes API has no floats that every client reads alike (API conventions, "Primitive types")."""
Query = Annotated[str, Field(max_length=MAX_QUERY)]


class HealthExpr(ApiModel):
    """How objects of one kind tell that they are ready, in CEL; in place of the operator's own rules for that kind."""

    api_version: Annotated[str, Field(pattern=API_VERSION_PATTERN, max_length=317)] = Field(
        description="Their apiVersion, for example example.io/v1; only the group counts."
    )
    kind: Annotated[str, Field(pattern=KIND_PATTERN, max_length=63)] = Field(description="Their kind, for example Database.")
    current: Annotated[str, Field(min_length=1, max_length=MAX_EXPRESSION)] = Field(
        description="True when the object is as asked for, for example self.status.phase == 'Ready'. A field that is missing means: not."
    )
    in_progress: Annotated[str, Field(max_length=MAX_EXPRESSION)] = Field(
        "", description="True while it is on its way. Without it: whenever neither current nor failed holds."
    )
    failed: Annotated[str, Field(max_length=MAX_EXPRESSION)] = Field("", description="True when its controller gave up. Asked first.")


class Prometheus(ApiModel):
    """Where signals and SLOs are asked for."""

    url: Annotated[str, Field(pattern=_URL, max_length=2048)] = Field(
        description="Address of the Prometheus HTTP API, with its path prefix if it has one, for example http://prometheus.monitoring:9090."
    )
    secret_ref: LocalReference | None = Field(
        None, description="Secret with username and password, or bearerToken; ca.crt for its certificate; tls.crt and tls.key of a client."
    )


class Indicator(StrEnum):
    """What the operator itself counts in the cluster. Namespaces are those in which the ClusterState has objects."""

    PODS_READY = "PodsReady"
    """Ratio, 0 to 1: ready Pods of those that the workloads of the ClusterState ask for."""
    RESTARTS = "Restarts"
    """Container restarts in the last hour, in its namespaces."""
    EVICTIONS = "Evictions"
    """Pods evicted in the last hour, in its namespaces."""
    PODS_PENDING = "PodsPending"
    """Pods that have not been scheduled for longer than a minute, in its namespaces."""
    SCHEDULING_SECONDS = "SchedulingSeconds"
    """The longest time that a Pod of its namespaces waited for a node, or has been waiting, in the last ten minutes."""
    NODES_READY = "NodesReady"
    """Ratio, 0 to 1: nodes of the cluster that are Ready and whose heartbeat is younger than a minute."""
    NODES_UNDER_PRESSURE = "NodesUnderPressure"
    """Nodes that are short of memory, disk or process ids, or have no network."""
    VOLUMES_BOUND = "VolumesBound"
    """Ratio, 0 to 1: bound PersistentVolumeClaims of its namespaces."""
    QUOTA_USED = "QuotaUsed"
    """The highest ratio, 0 to 1 and above, of used to hard in the ResourceQuotas of its namespaces."""
    API_ERRORS = "APIErrors"
    """Ratio, 0 to 1: requests of the operator that the API server failed (5xx, timeouts, no answer) in the last five minutes."""
    API_SECONDS = "APISeconds"
    """Seconds within which 99 % of the operator's requests were answered in the last five minutes."""


class Signal(ApiModel):
    """A number, and the range in which all is well. No data is Unknown: never well, never left out."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule("has(self.query) != has(self.indicator)", "set query (PromQL) or indicator, one of the two"),
                rule("has(self.min) || has(self.max)", "set min, max or both"),
                rule("duration(self.interval) < duration(self.staleAfter)", "interval must be shorter than staleAfter"),
            ]
        }
    )

    name: SignalName = Field(description="Its name, for example error-rate.")
    query: Query | None = Field(
        None, description="PromQL that gives a number, or one for each series: then the worst of them counts. Needs spec.vital.prometheus."
    )
    indicator: Indicator | None = Field(None, description="In place of a query: what the operator itself counts in the cluster.")
    min: DecimalText | None = Field(None, description="Lowest value that is well, as text, for example '0.99'.")
    max: DecimalText | None = Field(None, description="Highest value that is well, as text, for example '0.01'.")
    for_: LastingFor = Field("0s", alias="for", description="How long it has to be outside before that counts.")
    interval: Interval = Field("30s", description="How often it is asked for.")
    timeout: Timeout = Field("10s", description="How long an answer may take.")
    stale_after: Duration = Field("5m", description="Data whose newest sample is older is no data.")
    weight: Annotated[int, Field(ge=1, le=MAX_WEIGHT)] = Field(1, description="Its share in the score; the health of all objects has 10.")
    critical: bool = Field(False, description="Outside its range, it alone keeps the score below 50; Unknown, the confidence.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.query is None) == (self.indicator is None):
            raise ValueError("set query (PromQL) or indicator, one of the two")
        if self.min is None and self.max is None:
            raise ValueError("set min, max or both")
        if self.min is not None and self.max is not None and Decimal(self.min) > Decimal(self.max):
            raise ValueError(f"min {self.min} is above max {self.max}")
        if parse_seconds(self.interval) >= parse_seconds(self.stale_after):
            raise ValueError("interval must be shorter than staleAfter")
        return self


class SloSeries(ApiModel):
    """Series that another program keeps."""

    model_config = ConfigDict(
        json_schema_extra={"x-kubernetes-validations": [rule("has(self.sloth) != has(self.pyrra)", "set sloth or pyrra, one of the two")]}
    )

    sloth: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        None, description="Value of the label sloth_id of Sloth's recording rules, for example shop-requests-availability."
    )
    pyrra: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        None, description="Value of the label slo of Pyrra's recording rules: the name of its ServiceLevelObjective."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.sloth is None) == (self.pyrra is None):
            raise ValueError("set sloth or pyrra, one of the two")
        return self


def window_seconds(text: str) -> float:
    """Seconds of the window of an SLO: a Go duration, also in days, as SLOs are usually told: `30d`, `28d`, `720h`.

    Raises:
        ValueError: it is none, shorter than an hour, or longer than a year.
    """
    if not re.fullmatch(WINDOW_PATTERN, text):
        raise ValueError("is no duration; write it like 30d, 28d or 720h")
    seconds = sum(float(number) * _WINDOW_SECONDS[unit] for number, unit in _WINDOW_PART.findall(text))
    if not 3600.0 <= seconds <= MAX_SECONDS:
        raise ValueError("must be one hour or longer, and a year at most")
    return seconds


def _check_slo_window(text: str) -> str:
    window_seconds(text)
    return text


def _check_objective(text: str) -> str:
    if not 0 < Decimal(text) < 100:
        raise ValueError("must be above 0 and below 100 percent")
    return text


SloWindow = Annotated[str, Field(pattern=WINDOW_PATTERN, max_length=32), AfterValidator(_check_slo_window)]
"""A long Go duration, also in days."""


class Slo(ApiModel):
    """A service level objective: which share of events has to be good over a long time, and how fast the rest may be used up."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "has(self.series) ? !has(self.good) && !has(self.total) : has(self.good) && has(self.total)",
                    "set good and total, or series",
                ),
                rule("has(self.series) || has(self.objective)", "good and total need an objective"),
            ]
        }
    )

    name: SignalName = Field(description="Its name, for example availability.")
    objective: Annotated[DecimalText, AfterValidator(_check_objective)] | None = Field(
        None, description="Percentage of good events, as text, for example '99.9'. With series, theirs is taken."
    )
    window: SloWindow = Field("30d", description="Time over which the objective holds. Units up to d, a day.")
    good: Query | None = Field(
        None,
        description="Good events. A selector of a counter, as http_requests_total{code!~'5..'}; or PromQL with {{.window}} where the time belongs, "
        "as sum(increase(http_requests_total{code!~'5..'}[{{.window}}])).",
    )
    total: Query | None = Field(None, description="All events, in the same way.")
    series: SloSeries | None = Field(None, description="In place of good and total: recording rules that Sloth or Pyrra keep.")
    burn_limit: DecimalText = Field(
        "5",
        description="How many times faster than evenly the error budget may be used up. Above it, in the last hour and the last five minutes, the "
        "gate for new revisions closes (spec.gates.errorBudget).",
    )
    stale_after: Duration = Field("5m", description="Data whose newest sample is older is no data.")
    weight: Annotated[int, Field(ge=1, le=MAX_WEIGHT)] = Field(3, description="Its share in the score; the health of all objects has 10.")
    critical: bool = Field(False, description="Burning too fast or used up, it alone keeps the score below 50; Unknown, the confidence.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.series is None and (self.good is None or self.total is None):
            raise ValueError("set good and total, or series")
        if self.series is not None and (self.good is not None or self.total is not None):
            raise ValueError("set good and total, or series, not both")
        if self.series is None and self.objective is None:
            raise ValueError("good and total need an objective")
        if Decimal(self.burn_limit) <= 0:
            raise ValueError("burnLimit must be above zero")
        return self


class Acceptance(ApiModel):
    """What the whole has to reach to be called acceptable."""

    min_score: Annotated[int, Field(ge=0, le=100)] = Field(90, description="Lowest score.")
    min_confidence: Annotated[int, Field(ge=0, le=100)] = Field(80, description="Lowest confidence.")


class Vital(ApiModel):
    """How the health of what runs is judged."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "has(self.prometheus) || ((!has(self.slos) || size(self.slos) == 0) && (!has(self.signals) || self.signals.all(s, has(s.indicator))))",
                    "signals with a query, and slos, need prometheus.url",
                ),
            ]
        }
    )

    health_exprs: Annotated[list[HealthExpr], Field(max_length=64)] = Field(
        [], description="How objects of other kinds tell that they are ready."
    )
    degraded_after: LastingFor = Field(
        "5m",
        description="An object that was ready, and is not any more, is degraded after so long, or as soon as its controller gave up. Before, it is "
        "progressing: scaled, rolled, moved to another node.",
    )
    prometheus: Prometheus | None = Field(None, description="Where signals and SLOs are asked for.")
    signals: Annotated[
        list[Signal],
        Field(max_length=MAX_SIGNALS, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = Field([], description="Numbers, and the ranges in which all is well.")
    slos: Annotated[
        list[Slo],
        Field(max_length=MAX_SLOS, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = Field([], description="Service level objectives.")
    acceptance: Acceptance = Field(default_factory=Acceptance, description="What the whole has to reach to be called acceptable.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for what, named in (("signals", self.signals), ("slos", self.slos)):
            names = [each.name for each in named]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{what} has {twice[0]} twice")
        if self.prometheus is None and (self.slos or any(signal.query is not None for signal in self.signals)):
            raise ValueError("signals with a query, and slos, need prometheus.url")
        return self
