"""What is known of signals and SLOs, as values.

Aspects: which of them are about to be breached, by the numbers that are known.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cvstate_operator.api.vital import Signal, Slo
from cvstate_operator.reconcile.vitals import Signals
from cvstate_operator.vital import signals
from cvstate_operator.vital.item import ItemKind
from cvstate_operator.vital.objectives import slo
from cvstate_operator.vital.objectives.slo import SloState
from cvstate_operator.vital.reading import Reading

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SPEC = Slo(name="availability", objective="99.9", good="ok", total="all", burn_limit="5")
MET = SloState("availability", slo.State.MET, NOW, "lasts", last_known=slo.State.MET, budget_left=0.5, burn_rate=1.0, short_burn_rate=1.0)


@pytest.mark.parametrize(
    ("numbers", "is_pending"),
    [
        pytest.param({}, False, id="as-it-should-be"),
        pytest.param({"short_burn_rate": 5.0, "burn_rate": 5.0}, False, id="at-its-limit"),
        pytest.param({"short_burn_rate": 5.1}, True, id="the-last-five-minutes-are-above-the-limit"),
        pytest.param({"burn_rate": 5.1}, True, id="the-last-hour-is-above-the-limit"),
        pytest.param({"budget_left": 0.011}, False, id="some-budget-is-left"),
        pytest.param({"budget_left": 0.01}, True, id="hardly-any-budget-is-left"),
        pytest.param({"exhausted_in": 3601.0}, False, id="it-lasts-for-more-than-an-hour"),
        pytest.param({"exhausted_in": 3600.0}, True, id="it-lasts-for-an-hour"),
        pytest.param({"budget_left": None, "burn_rate": None, "short_burn_rate": None}, False, id="nothing-is-known"),
        pytest.param({"state": slo.State.UNKNOWN, "short_burn_rate": 9.0}, True, id="it-was-above-when-it-was-known-last"),
    ],
)
def test_an_slo_is_about_to_be_breached_by_what_is_there_already(numbers: dict[str, Any], is_pending: bool) -> None:
    found = Signals(slos=((SPEC, replace(MET, **numbers)),)).pending
    assert found == ({(ItemKind.SLO, "availability")} if is_pending else set())


def test_a_signal_is_about_to_be_breached_while_it_is_outside_for_less_than_it_may_be() -> None:
    spec = Signal(name="errors", query="q", max="0.01", for_="3m")
    outside = signals.judge(spec, None, Reading(NOW, 0.5, 0.5, taken_at=NOW), NOW)
    inside = signals.judge(spec, None, Reading(NOW, 0.0, 0.0, taken_at=NOW), NOW)
    assert Signals(signals=((spec, outside),)).pending == {(ItemKind.SIGNAL, "errors")}
    assert Signals(signals=((spec, inside),)).pending == set()
    assert Signals(signals=((spec, None),), slos=((SPEC, None),)).pending == set()
