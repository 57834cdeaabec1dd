"""Pruning against a reference that knows only the invariants (prune_reference.py).

Aspects: every fate of every object, the order of deletes, and what is let go, in histories of commits, partial failures, approvals and strangers · the
histories reach everything · faults put into the code are found.

`CVSTATE_SEED` (default 1) chooses the histories and `CVSTATE_PRUNE_STATES` (default 100,000) how many situations there are; a failure names the seed.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

from cvstate_operator.api.prune import Prune
from cvstate_operator.objects.directives import Directives
from cvstate_operator.objects.identity import ApiResource, Gvk, ObjectRef
from cvstate_operator.objects.live import Live
from cvstate_operator.plan import prune
from tests.unit.builders import CONFIG_MAP, CRD, DEPLOYMENT, NAMESPACE, OWNER, RIVAL, SECRET, WEBHOOK, WIDGET, ref
from tests.unit.plan.prune_reference import Fate, Situation, Verdict, judge

SEED = int(os.environ.get("CVSTATE_SEED", "1"))
STATES = int(os.environ.get("CVSTATE_PRUNE_STATES", "100000"))
STATES_PER_HISTORY = 10
STATES_PER_FAULT = 20_000

PROJECT = ApiResource(Gvk("example.io", "v1", "Namespace"), "namespaces", True)
"""A kind that only shares its name with the Namespace of the core group."""
KINDS = (CONFIG_MAP, CONFIG_MAP, CONFIG_MAP, DEPLOYMENT, DEPLOYMENT, SECRET, WIDGET, NAMESPACE, CRD, WEBHOOK, PROJECT)
PROTECTED = ((), ("Namespace",), ("Namespace.example.io",), ("Secret", "Widget.example.io"), ("ConfigMap.example.io", "Widget"))
ANNOTATIONS = ("Disabled", "Confirm", "Confirm", "Enabled", "confrim")
CLAIMANTS = ("ClusterState a/x", "ClusterState b/y")


@cache
def universe(size: int) -> dict[ObjectRef, ApiResource]:
    """All objects that a history of this size is about."""
    return {ref(f"o{number}", of=KINDS[number % len(KINDS)]): KINDS[number % len(KINDS)] for number in range(size)}


@cache
def member(of: ApiResource, wave: int = 0, **unusual: Any) -> Live:
    return replace(Live(of, "uid", "1", OWNER, "d", b"", directives=Directives(wave=wave)), **unusual)


def stranger(of: ApiResource, random: Random) -> Live:
    """An object with something unusual about it, or more than one thing."""
    return member(
        of,
        random.choice((-1, 0, 0, 7)),
        owner=RIVAL if random.random() < 0.2 else OWNER,
        applied=random.random() < 0.6,
        digest="d" if random.random() < 0.7 else "",
        controller="Database d" if random.random() < 0.2 else "",
        terminating=random.random() < 0.3,
    )


def histories(seed: int) -> Iterator[Situation]:
    """Situations without end."""
    random = Random(seed)
    while True:
        yield from history(random)


def history(random: Random) -> Iterator[Situation]:
    """One ClusterState from commit to commit: each situation follows from what the reference made of the one before, and from chance."""
    kinds = universe(random.choice((1, 2, 4, 6, 9, 12, 12, 20, 60)))
    declared = frozenset(random.sample(list(kinds), random.randint(0, len(kinds))))
    cluster = {one: member(kinds[one]) for one in kinds if one in declared or random.random() < 0.2}
    spec = random_spec(random)
    approvals: frozenset[ObjectRef] = frozenset()
    annotations = {one: random.choice(ANNOTATIONS) for one in some(cluster, random, 0.25)}
    claims = {one: random.choice(CLAIMANTS) for one in some(kinds, random, 0.15)}
    for _ in range(STATES_PER_HISTORY):
        if random.random() < 0.6:
            left = set(some(declared, random, random.choice((0.05, 0.2, 0.6, 1))))
            declared = declared - left | set(some(kinds, random, random.choice((0, 0, 0.1, 0.4))))
        if random.random() < 0.3:
            cluster |= {one: stranger(kinds[one], random) for one in some(kinds, random, 0.2)}
        cluster |= {
            one: member(kinds[one], random.choice((0, 0, 0, 3))) for one in sorted(declared) if one not in cluster and random.random() < 0.8
        }
        now = Situation(
            OWNER,
            dict(cluster),
            declared,
            *(random.random() < 0.92 for _ in range(4)),
            *spec,
            annotations,
            approvals,
            claims,
            "the window is closed" if random.random() < 0.15 else "",
        )
        yield now
        verdict = judge(now)
        for one in verdict.fates:
            match verdict.fates[one], random.random():
                case Fate.DELETED, luck if luck < 0.5:
                    del cluster[one]
                case Fate.DELETED, luck if luck < 0.7:
                    cluster[one] = member(kinds[one], terminating=True)
        approvals = frozenset(some(verdict.fates, random, random.choice((0, 0, 0.3, 0.8, 1))))


def random_spec(random: Random) -> tuple[bool, int, int, bool, tuple[str, ...]]:
    """enabled, max_deletes, max_percent, allow_empty and protected of a situation."""
    return (
        random.random() < 0.95,
        random.choice((0, 1, 2, 3, 5, 10, 1000)),
        random.choice((0, 1, 10, 20, 25, 33, 50, 60, 99, 100)),
        random.random() < 0.5,
        random.choice(PROTECTED),
    )


def some(of: Iterable[ObjectRef], random: Random, share: float) -> list[ObjectRef]:
    """Each of these with the probability `share`."""
    return [one for one in sorted(of) if random.random() < share]


def decided(module: ModuleType, world: Situation) -> Verdict:
    """What plan/prune.py, or a faulty copy of it, makes of a situation, in the words of the reference."""
    found = module.decide(
        world.cluster,
        world.declared,
        module.PruneGuard(complete=world.complete, fresh=world.fresh, applied=world.applied, observed=world.observed),
        owner=world.owner,
        spec=spec_of(world.enabled, world.max_deletes, world.max_percent, world.allow_empty, world.protected),
        claimant=lambda ref: world.claims.get(ref, ""),
        policy=lambda change: world.annotations.get(change.ref, "Enabled"),
        approved=lambda change: change.ref in world.approvals,
        deferral=world.closed,
    )
    fates = [
        *((change.ref, Fate.DELETED) for change in found.doomed),
        *((change.ref, Fate.PUT_OFF) for change in found.deferred),
        *((change.ref, WAITS[waiting.objection == module.CONFIRM]) for waiting in found.waiting for change in waiting.changes),
        *((ref, Fate.HELD) for ref in found.held),
        *((ref, KEEPERS.get(kept.by, Fate.HANDED_OVER)) for kept in found.kept for ref in kept.refs),
    ]
    handed_over = {ref for ref, fate in fates if fate is Fate.HANDED_OVER}
    assert len(dict(fates)) == len(fates), "an object is in two lists"
    assert handed_over == set(found.handed_over)
    assert all(change.live is world.cluster[change.ref] for change in (*found.doomed, *found.deferred))
    assert bool(found.deferral) == bool(found.deferred)
    assert bool(found.objection) == bool(found.held)
    return Verdict(dict(fates), tuple(change.ref for change in (*found.doomed, *found.deferred)), frozenset(found.free))


WAITS = (Fate.WAITS_WITH_ALL, Fate.WAITS_FOR_ITSELF)
KEEPERS = {prune.SWITCHED_OFF: Fate.KEPT_BY_SWITCH, prune.PROTECTED: Fate.KEPT_BY_KIND, prune.DISABLED: Fate.KEPT_BY_ANNOTATION}


@cache
def spec_of(enabled: bool, max_deletes: int, max_percent: int, allow_empty: bool, protected: tuple[str, ...]) -> Prune:
    return Prune(
        enabled=enabled, max_deletes=max_deletes, max_percent=max_percent, allow_empty=allow_empty, protected_kinds=list(protected)
    )


@pytest.mark.timeout(3600)
def test_every_object_meets_the_fate_that_the_reference_says() -> None:
    seen: Counter[Fate] = Counter()
    for number, world in enumerate(islice(histories(SEED), STATES)):
        expected, found = judge(world), decided(prune, world)
        assert deleted(found) <= deleted(expected), f"wrong deletes in situation {number} of CVSTATE_SEED={SEED}"
        assert found == expected, f"situation {number} of CVSTATE_SEED={SEED}"
        seen.update(set(expected.fates.values()))
    rare = {fate: seen[fate] for fate in Fate if fate is not Fate.UNTOUCHED and seen[fate] < STATES / 100}
    assert not rare, f"too few situations with a fate, of {STATES}: {rare}"


def deleted(verdict: Verdict) -> frozenset[ObjectRef]:
    return frozenset(ref for ref, fate in verdict.fates.items() if fate is Fate.DELETED)


# Faults: each replaces one piece of the code.
FAULTS = {
    "the count is no limit": ("if count > spec.max_deletes:", "if False:"),
    "the count is one too high": ("if count > spec.max_deletes:", "if count > spec.max_deletes + 1:"),
    "the count is one too low": ("if count > spec.max_deletes:", "if count >= spec.max_deletes:"),
    "the percentage is no limit": ("if count > by_percent:", "if False:"),
    "the percentage is one too low": ("if count > by_percent:", "if count >= by_percent:"),
    "the percentage is rounded up": ("of * spec.max_percent // 100", "-(-of * spec.max_percent // 100)"),
    "not even one may go": ("max(1, of * spec.max_percent // 100)", "of * spec.max_percent // 100"),
    "two may always go": ("max(1, of * spec.max_percent // 100)", "max(2, of * spec.max_percent // 100)"),
    "only what left Git counts as members": ("len(ours), spec)", "len(surplus), spec)"),
    "others' objects count as members": ("len(ours), spec)", "len(live), spec)"),
    "what was approved counts": ("sum(not approved(change) for change in rest)", "len(rest)"),
    "all that left Git counts": ("sum(not approved(change) for change in rest)", "len(surplus)"),
    "what is above the limit goes if anything was approved": (
        "excess = _excess(",
        "excess = '' if any(map(approved, rest)) else _excess(",
    ),
    "what was approved waits with the others": ('lambda change: "" if approved(change) else excess', "lambda change: excess"),
    "Confirm is ignored": ('"" if approved(change) or policy(change) == "Enabled" else CONFIRM', '""'),
    "Confirm is ignored if it is misspelt": ('or policy(change) == "Enabled" else CONFIRM', 'or policy(change) != "Confirm" else CONFIRM'),
    "Confirm cannot be approved": ('"" if approved(change) or policy', '"" if policy'),
    "Disabled is ignored": ('return DISABLED if wish == "Disabled" else ""', 'return ""'),
    "an approval overrides Disabled": ("spec, policy(change)))", "spec, '' if approved(change) else policy(change)))"),
    "an approval overrides doubt": ("lambda change: objection or (", 'lambda change: "" if approved(change) else objection or ('),
    "an approval makes the uncertain certain": (
        '"" if ours[change.ref].is_certain',
        '"" if ours[change.ref].is_certain or approved(change)',
    ),
    "what may not be our work goes": ('"" if ours[change.ref].is_certain else UNCERTAIN', '""'),
    "an incomplete render is no doubt": ("if not self.complete:", "if False:"),
    "a stale source is no doubt": ("if not self.fresh:", "if False:"),
    "a failed apply is no doubt": ("if not self.applied:", "if False:"),
    "a kind that cannot be seen is no doubt": ("if not self.observed:", "if False:"),
    "only doubt about Git counts": ("objection = doubt or guard.objection", "objection = doubt"),
    "an empty commit is no doubt": ('"" if desired or spec.allow_empty else EMPTY', '""'),
    "allowEmpty is ignored": ("if desired or spec.allow_empty else EMPTY", "if desired else EMPTY"),
    "allowEmpty overrides every doubt": (
        'doubt = guard.doubt or ("" if desired',
        'doubt = "" if spec.allow_empty else guard.doubt or ("" if desired',
    ),
    "what is desired goes": ("members.keys() - set(desired)", "members.keys()"),
    "one that is desired goes": ("members.keys() - set(desired)", "members.keys() - set(sorted(desired)[1:])"),
    "what is on its way out goes again": (" and not one.terminating}", "}"),
    "another owner's goes": ("if one.owner == owner and", "if"),
    "a copy of our label goes": (" and one.is_member and", " and"),
    "nothing is protected": ("return PROTECTED", 'return ""'),
    "a kind with its group is not protected": (" or str(kind) in spec.protected_kinds", ""),
    "a kind without a group protects only the core group": ("if kind.kind in spec.protected_kinds or", "if"),
    "the switch is ignored": ("if not spec.enabled:", "if False:"),
    "what another declares goes": ("claims = {ref: name for ref in free if (name := claimant(ref))}", "claims = {}"),
    "things are let go in doubt": ("free = () if doubt else", "free ="),
    "what a controller holds is let go": ("if not ours[change.ref].controller)", ")"),
    "what is kept is taken for gone": ("for ref in free if (name", "for ref in free if spec.enabled and (name"),
    "a closed window is ignored": ("doomed=() if deferral else rest,", "doomed=rest,"),
    "what is put off is lost": ("deferred=rest if deferral else ()", "deferred=()"),
    "namespaces go first": ("key=lambda change: change.wave, reverse=True)", "key=lambda change: change.wave)"),
    "waves count for nothing": ("key=lambda change: change.wave, reverse", "key=lambda change: change.wave[1], reverse"),
    "the order within a wave is left to chance": ("by_ref = sorted(changes, key=lambda change: change.ref)", "by_ref = list(changes)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_code_is_found(fault: str) -> None:
    faulty = with_fault(*FAULTS[fault])
    assert any(differs(faulty, world) for world in islice(histories(SEED), STATES_PER_FAULT)), f"CVSTATE_SEED={SEED}"


def test_a_copy_of_the_code_without_a_fault_is_not_found() -> None:
    same = with_fault("Action.PRUNE", "Action.PRUNE")
    assert not any(differs(same, world) for world in islice(histories(SEED), 1000))


def differs(module: ModuleType, world: Situation) -> bool:
    try:
        return decided(module, world) != judge(world)
    except AssertionError:
        return True


def with_fault(old: str, new: str) -> ModuleType:
    """A copy of plan/prune.py with a piece replaced."""
    source = Path(prune.__file__).read_text()
    assert source.count(old) == 1, f"{old!r} must stand in the code once, so that the fault is where it is meant to be"
    module = ModuleType("faulty_prune")
    exec(compile(source.replace(old, new), "faulty_prune", "exec"), module.__dict__)  # noqa: S102 - our own source
    return module
