"""What a spec declares of vital state, checked before anything is asked. Aspects: what is refused, and that it is named · what passes."""

from typing import Any

import pytest

from cvstate_operator.api.vital import Vital
from cvstate_operator.errors import InvalidSpecError
from cvstate_operator.vital import declared

PROMETHEUS = {"url": "http://prometheus:9090"}


def vital(**fields: Any) -> Vital:
    return Vital.model_validate({"prometheus": PROMETHEUS, **fields})


def signal(query: str, **more: Any) -> dict[str, Any]:
    return {"name": "errors", "query": query, "max": "1", **more}


def slo(good: str, total: str = "requests_total") -> dict[str, Any]:
    return {"name": "availability", "objective": "99.9", "good": good, "total": total}


def rule(**fields: str) -> dict[str, str]:
    return {"apiVersion": "example.io/v1", "kind": "Db", "current": "self.status.ok", **fields}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        pytest.param(vital(signals=[signal("sum(")]), "spec.vital.signals[errors].query", id="no PromQL"),
        pytest.param(vital(signals=[signal("requests_total[5m]")]), "spec.vital.signals[errors].query", id="a range"),
        pytest.param(vital(slos=[slo("sum(rate(good[5m]))")]), "spec.vital.slos[availability]", id="no window to put in"),
        pytest.param(vital(slos=[slo("good_total", total="sum(")]), "spec.vital.slos[availability]", id="total is no PromQL"),
        pytest.param(vital(healthExprs=[rule(current="self.status.ok &&")]), "spec.vital.healthExprs", id="no CEL"),
        pytest.param(vital(healthExprs=[rule(failed="1 + 1")]), "spec.vital.healthExprs", id="never true or false"),
        pytest.param(vital(healthExprs=[rule(), rule()]), "twice", id="a kind twice"),
    ],
)
def test_what_can_never_give_an_answer_is_refused_by_name(told: Vital, words: str) -> None:
    with pytest.raises(InvalidSpecError) as refused:
        declared.check(told)
    assert words in refused.value.message
    assert "correct the ClusterState" in refused.value.message


def test_what_can_be_asked_passes() -> None:
    template = "sum(increase(good_total[{{.window}}]))"
    indicator = {"name": "pods", "indicator": "PodsReady", "min": "0.99"}
    declared.check(
        vital(
            signals=[signal("sum(rate(errors_total[5m]))"), indicator],
            slos=[slo(template), {**slo("good_total"), "name": "b"}],
            healthExprs=[rule()],
        )
    )
    declared.check(Vital())
