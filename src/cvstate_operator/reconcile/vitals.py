"""Vitals: how well what runs is doing, as values: what is known of signals and SLOs, and what that comes to together with configuration and health."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cvstate_operator.api.vital import Signal, Slo
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.vital import saved, signals
from cvstate_operator.vital.facts.replicas import NONE, Replicas
from cvstate_operator.vital.health.lapse import HealthCounts, Level
from cvstate_operator.vital.item import Item, ItemKind
from cvstate_operator.vital.objectives import burn, slo
from cvstate_operator.vital.objectives.slo import SloState
from cvstate_operator.vital.reading import Gap
from cvstate_operator.vital.signals import SignalState
from cvstate_operator.vital.verdicts.completeness import Completeness, Source, SourceKind
from cvstate_operator.vital.verdicts.compliance import Configuration
from cvstate_operator.vital.verdicts.score import Score
from cvstate_operator.vital.verdicts.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of all signals and SLOs, in the order of the spec; None of one that nobody asked for yet."""

    signals: tuple[tuple[Signal, SignalState | None], ...] = ()
    slos: tuple[tuple[Slo, SloState | None], ...] = ()

    @property
    def items(self) -> tuple[Item, ...]:
        """What the score reads of them."""
        return (*(signals.item(*one) for one in self.signals), *(slo.item(*one) for one in self.slos))

    @property
    def pending(self) -> frozenset[tuple[ItemKind, str]]:
        """Signals that are outside their range, and not for long enough yet to be breached; and SLOs that are about to burn, or to be used up; by kind and name."""
        states = (state for _, state in self.signals if state)
        outside = {(ItemKind.SIGNAL, state.name) for state in states if state.last_known is signals.State.PENDING}
        return frozenset(outside | {(ItemKind.SLO, spec.name) for spec, budget in self.slos if budget and _is_near(spec, budget)})

    @property
    def taken(self) -> Mapping[tuple[ItemKind, str], datetime]:
        """When the newest data behind them was taken, by kind and name, UTC."""
        known = [(ItemKind.SIGNAL, state.name, state.taken_at) for _, state in self.signals if state]
        known += [(ItemKind.SLO, budget.name, budget.taken_at) for _, budget in self.slos if budget]
        return {(kind, name): at for kind, name, at in known if at}

    @property
    def values(self) -> Mapping[tuple[ItemKind, str], str]:
        """What was measured last, for people, by kind and name."""
        measured = {
            (ItemKind.SIGNAL, state.name): saved.number_text(state.value) for _, state in self.signals if state and state.value is not None
        }
        burns = {
            (ItemKind.SLO, state.name): f"burn rate {saved.number_text(state.burn_rate)}"
            for _, state in self.slos
            if state and state.burn_rate is not None
        }
        return {**measured, **burns}

    @property
    def sources(self) -> tuple[Source, ...]:
        """What was expected to be told, and what was."""
        return (
            *(Source(SourceKind.SIGNAL, spec.name, _gap(state)) for spec, state in self.signals),
            *(Source(SourceKind.SLO, spec.name, _gap(state)) for spec, state in self.slos),
        )


@dataclass(frozen=True)
class Vitals:
    """How well what runs is doing, and how far it may be called acceptable."""

    known: Signals
    score: Score
    completeness: Completeness
    verdict: Verdict
    objects: HealthCounts = field(default_factory=HealthCounts)
    """The declared objects by their level, those included that were never made."""
    hidden: Mapping[ObjectRef, Level] = field(default_factory=dict)
    """Objects that were not well when the file could last be read that declares them."""
    pods: Replicas = NONE
    """Of all workloads."""
    causes: Mapping[ObjectRef, str] = field(default_factory=dict)
    """Which Pods and containers keep objects from being ready, for people; of the worst ones, as far as it was looked for."""
    compared: Configuration = field(default_factory=lambda: Configuration(0, is_evaluated=False))
    """How the declared objects compare with the cluster, as the score counts them."""


def _is_near(spec: Slo, state: SloState) -> bool:
    """Whether an SLO may be breached soon by what is there already, by the last known numbers. One of these holds:

    - it burns faster than its limit in the last five minutes or in the last hour, where the limit needs both;
    - of its budget no more is left than a used-up one has to get back (slo.BUDGET_BACK, 1 %);
    - what is left lasts for an hour at most, at the rate of the last hour (burn.GATE_LONG).
    """
    rates = (rate for rate in (state.short_burn_rate, state.burn_rate) if rate is not None)
    if any(rate > float(spec.burn_limit) for rate in rates):
        return True
    is_little = state.budget_left is not None and state.budget_left <= slo.BUDGET_BACK
    return is_little or (state.exhausted_in is not None and state.exhausted_in <= burn.GATE_LONG)


def _gap(state: SignalState | SloState | None) -> Gap | None:
    """Why nothing is known; None if something is."""
    return state.gap if state else Gap.NOT_ASKED
