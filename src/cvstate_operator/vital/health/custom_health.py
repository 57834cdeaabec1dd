"""Custom health: an object judged by CEL expressions about it, in place of rules in Python.

Input are the rules of `spec.vital.healthExprs` and those of the library (`vital/health/library`), and live objects; the reader is `vital/health/readiness`. What holds
for every kind (`vital/health/generic.first`) is asked before the expressions, so they need not ask for deletion or for the observed generation.

Missing fields mean no: an object that nobody looked at yet is not Current, and has not Failed. Any other fault of an expression is no answer, and
makes the object Unknown: that a rule is wrong must not look like health. Source of the order and of that meaning of missing fields: Flux,
Kustomization, `spec.healthCheckExprs` (it asks for inProgress before failed; here who gave up is never called on its way).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cvstate_operator.api.vital import HealthExpr
from cvstate_operator.objects.identity import GroupKind, Gvk
from cvstate_operator.vital.facts.fields import Fields, MalformedError
from cvstate_operator.vital.health import account, generic, state, view
from cvstate_operator.vital.health.state import Readiness, Reason
from cvstate_operator.vital.language.expression import ExpressionError, compile_expression

_SELF: Final = ("self",)
_ABSENT: Final = ("Key not found in map", "Index error", "optional.none() dereference")
"""How the evaluator's faults begin where a field, an item of a list or an optional value is not there (cel-expr-python 0.1.3)."""


@dataclass(frozen=True, slots=True)
class HealthRule:
    """How objects of one kind tell that they are ready. Each expression is CEL about `self`, the object; an empty one never holds."""

    group_kind: GroupKind
    current: str
    """It is as asked for."""
    in_progress: str = ""
    """It is on its way. Without it, whatever is neither current nor failed."""
    failed: str = ""
    """Its controller gave up, or time alone does not heal it."""
    suspended: str = ""
    """Its spec says that it shall not be worked on. Asked before the observed generation, which many controllers leave as it was meanwhile."""
    waits: str = ""
    """It waits on purpose, and says so. Asked after failed and current."""

    @classmethod
    def of(cls, expression: HealthExpr) -> "HealthRule":
        """What a spec says, unchecked."""
        kind = Gvk.parse(expression.api_version, expression.kind).group_kind
        return cls(kind, expression.current, expression.in_progress, expression.failed)


class Rules(Mapping[GroupKind, HealthRule]):
    """Rules of one ClusterState by kind. Where it has none for a kind, `readiness` asks the built-in ones and then the library."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Iterable[HealthRule] = ()) -> None:
        self._rules = {rule.group_kind: rule for rule in rules}

    @classmethod
    def of(cls, expressions: Iterable[HealthExpr]) -> "Rules":
        """Those of `spec.vital.healthExprs`.

        Raises:
            ExpressionError: one of them is wrong (`check`), or a kind is there twice: in two versions it is the same kind.
        """
        rules = [HealthRule.of(expression) for expression in expressions]
        for at, rule in enumerate(rules):
            check(rule)
            if any(rule.group_kind == other.group_kind for other in rules[:at]):
                raise ExpressionError(f"{rule.group_kind} is there twice")
        return cls(rules)

    def __getitem__(self, kind: GroupKind) -> HealthRule:
        return self._rules[kind]

    def get(self, kind: GroupKind, default: Any = None) -> Any:
        """As of any mapping; asked for every object, so without the exception of the inherited one."""
        return self._rules.get(kind, default)

    def __iter__(self) -> Iterator[GroupKind]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)


def check(rule: HealthRule) -> None:
    """Compile all expressions of a rule.

    Raises:
        ExpressionError: one is no valid expression; the message names kind and field, as the spec spells it.
    """
    texts = {
        "failed": rule.failed,
        "current": rule.current,
        "inProgress": rule.in_progress,
        "suspended": rule.suspended,
        "waits": rule.waits,
    }
    for name, text in texts.items():
        if not text:
            continue
        try:
            compile_expression(text, _SELF)
        except ExpressionError as exc:
            raise ExpressionError(f"{rule.group_kind}: {name}: {exc}") from exc


def judge(rule: HealthRule, live: Mapping[str, Any]) -> Readiness:
    """Judge one object as the API server gave it; never raises, whatever is in it or in the rule."""
    try:
        found = _judged(rule, Fields.of(live))
    except MalformedError as exc:
        found = state.unknown(Reason.MALFORMED, str(exc))
    except ExpressionError as exc:
        found = state.unknown(Reason.EXPRESSION_FAILED, str(exc))
    return state.told(found, live)


def _judged(rule: HealthRule, live: Fields) -> Readiness:
    seen = view.of(live, (rule.suspended, rule.failed, rule.current, rule.waits, rule.in_progress))
    if not live.below("metadata").text("deletionTimestamp") and _holds("suspended", rule.suspended, seen):
        return state.current(Reason.SUSPENDED, "is suspended by its spec")
    if found := generic.first(live):
        return found
    if _holds("failed", rule.failed, seen):
        return state.failed(Reason.FAILURE_REPORTED, account.of_trouble(live) or "its status says that it failed")
    if _holds("current", rule.current, seen):
        if not live.has("status"):
            return state.current(Reason.NO_STATUS, "has no status, and needs none")
        return state.current(Reason.READY, account.of_success(live) or "its status says that it is ready")
    if not live.has("status"):
        return state.in_progress(Reason.NOT_OBSERVED, "its controller has not told anything yet")
    told = account.of_trouble(live)
    if _holds("waits", rule.waits, seen):
        return state.in_progress(Reason.WAITS, f"waits on purpose: {told}" if told else "waits on purpose")
    if not rule.in_progress or _holds("inProgress", rule.in_progress, seen):
        return state.in_progress(Reason.NOT_READY, told or "its status does not say that it is ready")
    return state.unknown(Reason.NO_EXPRESSION_HOLDS, f"no expression of {rule.group_kind} holds" + (f": {told}" if told else ""))


def _holds(name: str, text: str, seen: Mapping[str, Any]) -> bool:
    """Whether an expression is true. What is missing makes it false.

    Raises:
        ExpressionError: it gives no answer for another reason.
    """
    if not text:
        return False
    try:
        return compile_expression(text, _SELF).holds({"self": seen})
    except ExpressionError as exc:
        if str(exc).startswith(_ABSENT):
            return False
        raise ExpressionError(f"{name}: {exc}") from exc
