"""ClusterState, `spec.drift`: what is done about fields that are not as declared."""

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from cvstate_operator.api.duration import MAX_SECONDS, PATTERN, LastingFor, parse_seconds
from cvstate_operator.api.label_selector import LabelSelector
from cvstate_operator.api.model import ApiModel, rule
from cvstate_operator.api.path_pattern import PathPattern

MIN_WINDOW_SECONDS: Final = 10.0
"""Shortest `within` and `halfOpenAfter`: with less, a breaker would let writes through nearly as fast as somebody undoes them."""
MAX_REVERSALS: Final = 20
"""With more, a fight would go on for long; and each is remembered with its time."""

_KIND: Final = r"^[A-Z][A-Za-z0-9]{0,62}(\.[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"
_NAMES: Final = r"^[^*]*\*?$"

KindName = Annotated[str, Field(pattern=_KIND, max_length=253)]
"""`Deployment`, or with its API group `Deployment.apps`."""
Wildcard = Annotated[str, Field(pattern=_NAMES, min_length=1, max_length=253)]
"""A name; a `*` at its end stands for any rest."""


class Severity(StrEnum):
    """How much a drift matters; from low to high."""

    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"
    CRITICAL = "Critical"

    @property
    def rank(self) -> int:
        """0 for Low to 3 for Critical, to compare by."""
        return list(Severity).index(self)


class DriftAction(StrEnum):
    """What is done about a drift."""

    AUTO = "Auto"
    ALERT = "Alert"
    APPROVE = "Approve"
    IGNORE = "Ignore"


class ExtraFields(StrEnum):
    """What is done about fields that no declared owner set."""

    IGNORE = "Ignore"
    REPORT = "Report"
    REMOVE = "Remove"


def _check_window(text: str) -> str:
    if not MIN_WINDOW_SECONDS <= parse_seconds(text) <= MAX_SECONDS:
        raise ValueError("must be ten seconds or longer")
    return text


Window = Annotated[
    str,
    Field(
        pattern=PATTERN,
        max_length=32,
        json_schema_extra={"x-kubernetes-validations": [rule("duration(self) >= duration('10s')", "must be ten seconds or longer")]},
    ),
    AfterValidator(_check_window),
]


class IgnoreTarget(ApiModel):
    """Objects; what is left out is not looked at, what is set must all hold."""

    kind: KindName | None = Field(None, description="Their kind, for example Deployment.")
    group: Annotated[str, Field(max_length=253)] | None = Field(None, description="Their API group; '' is the core group.")
    name: Wildcard | None = Field(None, description="Their name; a '*' at the end stands for any rest.")
    namespace: Wildcard | None = Field(None, description="Their namespace; a '*' at the end stands for any rest.")
    label_selector: LabelSelector | None = Field(
        None, description="Labels they have in Git, for example 'autoscale=true' or 'tier in (web, api)'."
    )


class Ignore(ApiModel):
    """Fields that are left to others: never reported as drift, and never written once the object exists."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "(has(self.paths) && size(self.paths) > 0) != (has(self.managers) && size(self.managers) > 0)",
                    "set paths or managers, one of the two; a rule with action Ignore matches by both",
                )
            ]
        }
    )

    paths: list[PathPattern] = Field(
        [],
        description="JSON pointers, for example /spec/replicas, each with everything in it. Steps may be '*' (any), 'name*' (names that start so), "
        "'**' (any number of steps) and '[name=app]' (the list item with this key).",
        max_length=64,
    )
    managers: list[Wildcard] = Field(
        [], description="Field managers whose fields are left alone, for example vpa*; a '*' at the end stands for any rest.", max_length=64
    )
    target: IgnoreTarget = Field(default_factory=IgnoreTarget, description="Only in these objects. Default: in all.")

    @model_validator(mode="after")
    def _check_either(self) -> Self:
        if bool(self.paths) == bool(self.managers):
            raise ValueError("set paths or managers, one of the two; a rule with action Ignore matches by both")
        return self


class RuleMatch(ApiModel):
    """Which drifts a rule is about; a list that is empty is not looked at, in every other one must match. Empty as a whole: all."""

    kinds: list[KindName] = Field([], description="Kinds, for example StatefulSet or Role.rbac.authorization.k8s.io.", max_length=64)
    namespaces: list[Wildcard] = Field(
        [], description="Namespaces; a '*' at the end stands for any rest. Objects without namespace are in none.", max_length=64
    )
    paths: list[PathPattern] = Field([], description="Path patterns, as in ignore.", max_length=64)
    managers: list[Wildcard] = Field(
        [], description="Field managers that made the drift, for example kubectl*; a '*' at the end stands for any rest.", max_length=64
    )


class Rule(ApiModel):
    """What is done about some drifts."""

    match: RuleMatch = Field(default_factory=RuleMatch, description="Which ones. Default: all.")
    severity: Severity | None = Field(None, description="How much they matter. Default: by kind and field.")
    action: DriftAction = Field(
        DriftAction.AUTO,
        description="Auto: repaired at once. Alert: reported, left as it is. Approve: waits for a StateApproval. Ignore: neither reported nor repaired.",
    )


class Breaker(ApiModel):
    """When a fight over a field is given up."""

    reversals: Annotated[int, Field(ge=1, le=MAX_REVERSALS)] = Field(
        3, description="So often a repair of a field may be undone; then the field is left alone. Everything else goes on."
    )
    within: Window = Field(
        "10m", description="In this time; so long a repair must last, too, for a fight to be over. Ten seconds at least."
    )
    half_open_after: Window = Field(
        "30m", description="After this time the field is repaired once more, to see whether it lasts. Ten seconds at least."
    )


class Drift(ApiModel):
    """What is done about fields that are not as declared."""

    transient_for: LastingFor = Field(
        "0s", description="Younger drift is recorded, not repaired: what passes by itself needs no repair. Zero: repaired at once."
    )
    extra_fields: ExtraFields = Field(
        ExtraFields.IGNORE, description="Fields that no declared owner set. Ignore; Report: shown as drift; Remove: taken away."
    )
    ignore: list[Ignore] = Field([], description="Fields that are left to others.", max_length=64)
    rules: list[Rule] = Field(
        [], description="What is done about which drift; the first one that matches decides. Default: repaired at once.", max_length=64
    )
    breaker: Breaker = Field(default_factory=Breaker, description="When a fight over a field is given up.")
