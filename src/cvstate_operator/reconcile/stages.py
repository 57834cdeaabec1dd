"""The stages of one ClusterState: everything that remembers something from one pass to the next, and how the parts know each other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.plan import adoption
from cvstate_operator.reconcile.consent_stage import ConsentStage
from cvstate_operator.reconcile.decide_stage import DecideStage
from cvstate_operator.reconcile.drift_stage import DriftStage
from cvstate_operator.reconcile.gate_stage import GateStage
from cvstate_operator.reconcile.ledger import Ledger
from cvstate_operator.reconcile.left_stage import LeftStage
from cvstate_operator.reconcile.observe_stage import ObserveStage
from cvstate_operator.reconcile.place_stage import PlaceStage
from cvstate_operator.reconcile.ports import World
from cvstate_operator.reconcile.prune_stage import PruneStage
from cvstate_operator.reconcile.recreation import Recreations
from cvstate_operator.reconcile.render_stage import RenderStage
from cvstate_operator.reconcile.revision_stage import RevisionStage
from cvstate_operator.reconcile.source_stage import SourceStage, baseline_of, seen_of
from cvstate_operator.reconcile.teardown_stage import TeardownStage
from cvstate_operator.reconcile.vital_side import VitalSide
from cvstate_operator.reconcile.writer import Writer


@dataclass(frozen=True, slots=True)
class Identity:
    """Which ClusterState it is."""

    owner: str
    """ApplySet id."""
    uid: str
    name: str
    namespace: str
    """Namespaced objects that name no namespace go there."""


@dataclass(frozen=True, slots=True)
class Stages:
    """In the order in which a pass goes through them, more or less; each changes in itself."""

    ledger: Ledger
    gates: GateStage
    source: SourceStage
    revision: RevisionStage
    render: RenderStage
    left: LeftStage
    place: PlaceStage
    observe: ObserveStage
    drift: DriftStage
    decide: DecideStage
    writer: Writer
    prune: PruneStage
    recreations: Recreations
    consent: ConsentStage
    teardown: TeardownStage
    vital: VitalSide


def assemble(
    world: World,
    who: Identity,
    *,
    name_owner: adoption.NameOwner,
    known_kinds: frozenset[GroupKind],
    known_namespaces: frozenset[str] = frozenset(),
    status: Mapping[str, Any],
    generation: int | None,
    is_superseded: Callable[[], bool],
) -> Stages:
    """Make the stages, and tell each which of the others it needs.

    Args:
        world: everything outside.
        who: the ClusterState.
        name_owner: names other ApplySets for people.
        known_kinds: kinds that members may be of, from before this process.
        known_namespaces: other namespaces that members may be in, likewise.
        status: of an earlier life of the operator; what was going on is taken up from it.
        generation: of the ClusterState as it is now; None: the one that the status told of.
        is_superseded: whether the pass in progress is to end with the objects in hand.
    """
    owner, name, namespace = who.owner, who.name, who.namespace
    baseline, ledger = baseline_of(status), Ledger()
    revision = RevisionStage(world, namespace=namespace, status=status)
    observe = ObserveStage(world, owner=owner, namespace=namespace, known_kinds=known_kinds, known_namespaces=known_namespaces)
    drift = DriftStage(world, owner=owner, status=status)
    writer = Writer(world, ledger, drift, owner=owner, name_owner=name_owner, is_superseded=is_superseded)
    return Stages(
        ledger=ledger,
        gates=GateStage(world, namespace=namespace),
        source=SourceStage(world, namespace=namespace, baseline=baseline, seen=seen_of(status)),
        revision=revision,
        render=RenderStage(world, name=name, namespace=namespace, former=(baseline.path, baseline.type)),
        left=LeftStage(world, name=name, namespace=namespace),
        place=PlaceStage(world, namespace=namespace),
        observe=observe,
        drift=drift,
        decide=DecideStage(world, ledger, drift, writer.fail, owner=owner, name_owner=name_owner, status=status),
        writer=writer,
        prune=PruneStage(world, ledger, writer, owner=owner, name_owner=name_owner),
        recreations=Recreations(world, owner=owner),
        consent=ConsentStage(world, uid=who.uid, namespace=namespace),
        teardown=TeardownStage(world, observe, owner=owner),
        vital=VitalSide(world, revision, owner=owner, namespace=namespace, status=status, generation=generation),
    )
