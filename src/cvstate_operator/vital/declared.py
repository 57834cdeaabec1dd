"""What `spec.vital` declares, checked as far as a schema cannot: expressions are CEL, queries are PromQL."""

from cvstate_operator.api.vital import Vital
from cvstate_operator.errors import InvalidSpecError
from cvstate_operator.vital.health.custom_health import Rules
from cvstate_operator.vital.language import promql
from cvstate_operator.vital.language.expression import ExpressionError
from cvstate_operator.vital.objectives import slo_queries


def check(vital: Vital) -> None:
    """Refuse what can never give an answer.

    Raises:
        InvalidSpecError: names the field, and what is wrong with it.
    """
    if vital.health_exprs:
        try:
            Rules.of(vital.health_exprs)
        except ExpressionError as exc:
            raise InvalidSpecError(f"spec.vital.healthExprs: {exc}; correct the ClusterState") from exc
    for signal in vital.signals:
        if signal.query is not None:
            try:
                promql.check(signal.query)
            except promql.PromqlError as exc:
                raise InvalidSpecError(f"spec.vital.signals[{signal.name}].query: {exc}; correct the ClusterState") from exc
    for slo in vital.slos:
        try:
            slo_queries.queries(slo)
        except promql.PromqlError as exc:
            raise InvalidSpecError(f"spec.vital.slos[{slo.name}]: {exc}; correct the ClusterState") from exc
