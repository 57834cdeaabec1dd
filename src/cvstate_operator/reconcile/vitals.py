"""Vitals: how well what runs is doing, as values: what is known of signals and SLOs, and what that comes to together with configuration and health."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cvstate_operator.api.vital import Signal, Slo
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.vital import saved, signals, slo
from cvstate_operator.vital.completeness import Completeness, Source, SourceKind
from cvstate_operator.vital.item import Item, ItemKind
from cvstate_operator.vital.reading import Gap
from cvstate_operator.vital.replicas import NONE, Replicas
from cvstate_operator.vital.score import Score
from cvstate_operator.vital.signals import SignalState
from cvstate_operator.vital.slo import SloState
from cvstate_operator.vital.verdict import Verdict


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
        """Signals that are outside their range, and not for long enough yet to be breached; by kind and name."""
        states = (state for _, state in self.signals if state)
        return frozenset((ItemKind.SIGNAL, state.name) for state in states if state.last_known is signals.State.PENDING)

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
            *(Source(SourceKind.SIGNAL, spec.name, *_missing(state)) for spec, state in self.signals),
            *(Source(SourceKind.SLO, spec.name, *_missing(state)) for spec, state in self.slos),
        )


@dataclass(frozen=True)
class Vitals:
    """How well what runs is doing, and how far it may be called acceptable."""

    known: Signals
    score: Score
    completeness: Completeness
    verdict: Verdict
    pods: Replicas = NONE
    """Of all workloads."""
    causes: Mapping[ObjectRef, str] = field(default_factory=dict)
    """Which Pods and containers keep objects from being ready, for people; of the worst ones, as far as it was looked for."""


def _missing(state: SignalState | SloState | None) -> tuple[Gap | None, datetime | None]:
    """Why nothing is known, and since when; None if something is."""
    if state is None:
        return Gap.NOT_ASKED, None
    return (state.gap, state.since) if state.gap else (None, None)
