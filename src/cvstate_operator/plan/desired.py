"""Desired state: the manifests of one commit, told apart and placed into the cluster's kinds and namespaces.

Input is what the renderer found; readers are the decisions (`plan/changes.py`). What cannot be placed becomes a problem and is left out; then the
set is incomplete, and nothing may be pruned by it.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Final

from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk, ObjectRef
from cvstate_operator.objects.live import Live
from cvstate_operator.objects.manifest import Manifest
from cvstate_operator.objects.problem import Problem

PLACES_NAMED: Final = 5
"""Places of a duplicate that its problem spells out."""

Resolve = Callable[[Gvk], ApiResource | None]
"""How a kind is served; None if it is not."""


@dataclass(frozen=True)
class Desired:
    """What should be in the cluster."""

    objects: Mapping[ObjectRef, Manifest] = field(default_factory=dict)
    resources: Mapping[Gvk, ApiResource] = field(default_factory=dict)
    """How each kind in `objects` is served."""
    problems: tuple[Problem, ...] = ()
    """What is left out of `objects`, and why; empty means complete."""
    left: Mapping[ObjectRef, Manifest | None] = field(default_factory=dict)
    """Of `objects`, those that a rollback leaves at the revision that was given up, whose manifest is in `objects`; and what the good revision declares,
    None for nothing."""
    unknown: frozenset[ObjectRef] = frozenset()
    """Of `objects`, those that a rollback leaves at that revision without it being known what it declares; of these the good one's is in `objects`."""

    @cached_property
    def digest(self) -> str:
        """`sha256:…` over all objects: independent of files and their order."""
        # The render takes no name with a NUL or a line break, so that no two sets have the same lines.
        lines = sorted([f"{group}\0{kind}\0{place}\0{name}\0{m.digest}\n" for (group, kind, place, name), m in self.objects.items()])
        return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()

    @cached_property
    def kinds(self) -> frozenset[GroupKind]:
        """Of all objects."""
        return frozenset(gvk.group_kind for gvk in self.resources)

    @cached_property
    def numbers(self) -> Mapping[GroupKind, int]:
        """How many objects there are of each kind."""
        return Counter(ref.group_kind for ref in self.objects)

    @cached_property
    def namespaces(self) -> Mapping[GroupKind, frozenset[str]]:
        """By kind: the namespaces of its objects; none for cluster-scoped kinds."""
        found: dict[GroupKind, set[str]] = {}
        for group, kind, namespace, _ in self.objects:
            if namespace:
                found.setdefault(GroupKind(group, kind), set()).add(namespace)
        return {kind: frozenset(names) for kind, names in found.items()}

    @cached_property
    def waves(self) -> Mapping[int, Sequence[ObjectRef]]:
        """Objects by the number of their wave, in order."""
        numbers = {manifest.directives.wave for manifest in self.objects.values()}
        if len(numbers) <= 1:
            return {number: list(self.objects) for number in numbers}
        found: dict[int, list[ObjectRef]] = {}
        for ref, manifest in self.objects.items():
            found.setdefault(manifest.directives.wave, []).append(ref)
        return {number: sorted(found[number]) for number in sorted(found)}

    def news(self, before: "Desired") -> list[ObjectRef]:
        """Objects that are declared otherwise than before, or not any more. Where in Git they stand does not matter."""
        if self is before:
            return []
        now, then = self.objects, before.objects
        changed = [ref for ref, manifest in now.items() if (other := then.get(ref)) is not manifest and not _is_same(manifest, other)]
        kept = len(now) - sum(ref not in then for ref in changed)
        return changed if kept == len(then) else [*changed, *(ref for ref in then if ref not in now)]

    def manifest_for(self, ref: ObjectRef, live: Live | None) -> Manifest | None:
        """What an object is to be compared with; None if it is not desired, or that is not known.

        Of those that a rollback leaves alone, one is compared with the manifest that it was applied from: the given-up revision may never have come to it.
        """
        manifest, former = self.objects.get(ref), self.left.get(ref)
        if former and live and is_applied_from(former, live):
            return former
        if ref in self.unknown and not (manifest and live and is_applied_from(manifest, live)):
            return None
        return manifest

    def is_left(self, ref: ObjectRef, live: Live | None) -> bool:
        """Whether an object is, or is to be made, as the given-up revision declares it."""
        if ref not in self.left or (live is None and not self.may_be_new(ref)):
            return False
        return self.manifest_for(ref, live) is self.objects[ref]

    def may_be_new(self, ref: ObjectRef) -> bool:
        """Whether an object may be made that was never seen; a revision that was given up brings nothing new."""
        return ref not in self.left or self.left[ref] is not None


def place(
    manifests: Iterable[Manifest], problems: Iterable[Problem], *, resolve: Resolve, namespace: str, target_namespace: str = ""
) -> Desired:
    """Bring manifests into their kinds and namespaces.

    Args:
        manifests: all that were rendered.
        problems: what the render could not make sense of.
        resolve: how kinds are served, those included that a CRD among the manifests will bring.
        namespace: where namespaced objects go that name no namespace.
        target_namespace: where all namespaced objects go, whatever they name; empty for none.
    """
    found = list(problems)
    resources: dict[Gvk, ApiResource] = {}
    placed: list[Manifest] = []
    for manifest in manifests:
        gvk, named = manifest.gvk, manifest.namespace
        resource = resources.get(gvk) or resolve(gvk)
        if resource is None:
            found.append(_kind_unknown(manifest))
        elif named and not resource.namespaced:
            found.append(_has_namespace(manifest))
        else:
            resources[gvk] = resource
            place_of = (target_namespace or named or namespace) if resource.namespaced else ""
            placed.append(manifest if place_of == named else manifest.in_namespace(place_of))
    objects, duplicates = _unique(placed)
    return Desired(objects, resources, tuple(sorted([*found, *duplicates])))


def leave(wanted: Desired, given_up: Desired | None, leaves: Callable[[ObjectRef], bool]) -> Desired:
    """The same in a rollback: objects that it leaves alone are to be as the revision has them that was given up.

    Args:
        wanted: what the good revision declares.
        given_up: what the other one declares; None if that is not known.
        leaves: whether an object is left alone.
    """
    if given_up is None:
        return replace(wanted, unknown=frozenset(filter(leaves, wanted.objects)))
    newer = {ref: manifest for ref, manifest in given_up.objects.items() if leaves(ref) and _differs(manifest, wanted.objects.get(ref))}
    if not newer:
        return wanted
    kinds = {manifest.gvk: given_up.resources[manifest.gvk] for manifest in newer.values()}
    return replace(
        wanted,
        objects={**wanted.objects, **newer},
        resources={**wanted.resources, **kinds},
        left={ref: wanted.objects.get(ref) for ref in newer},
    )


def is_applied_from(manifest: Manifest, live: Live) -> bool:
    """Whether an object was applied last from exactly this manifest, fields left out or not."""
    return live.digest == manifest.digest or live.digest.startswith(f"{manifest.digest}+")


def _is_same(manifest: Manifest, other: Manifest | None) -> bool:
    """Whether both ask for the same."""
    return other is not None and (manifest.digest, manifest.directives) == (other.digest, other.directives)


def _differs(manifest: Manifest, other: Manifest | None) -> bool:
    return other is None or other.digest != manifest.digest


def _unique(manifests: list[Manifest]) -> tuple[dict[ObjectRef, Manifest], list[Problem]]:
    """Objects that are declared once; each of the others is a problem that names every place. None of the places wins."""
    objects = {manifest.ref: manifest for manifest in manifests}
    if len(objects) == len(manifests):
        return objects, []
    objects.clear()
    twice = [manifest for manifest in manifests if objects.setdefault(manifest.ref, manifest) is not manifest]
    problems = []
    for ref, group in groupby(sorted(twice, key=lambda m: (m.ref, m.origin)), key=lambda m: m.ref):
        places = sorted(m.origin for m in (objects.pop(ref), *group))
        where = " and ".join(f"{o.file} document {o.document} (line {o.line})" for o in places[:PLACES_NAMED])
        if len(places) > PLACES_NAMED:
            where += f" and {len(places) - PLACES_NAMED} more"
        problems.append(
            Problem(
                file=places[-1].file,
                document=places[-1].document,
                object=str(ref),
                reason="DuplicateObject",
                message=f"declared more than once: {where}; keep one of them",
            )
        )
    return objects, problems


def _kind_unknown(manifest: Manifest) -> Problem:
    gvk = manifest.gvk
    return Problem(
        file=manifest.origin.file,
        document=manifest.origin.document,
        object=str(manifest.ref),
        reason="KindUnknown",
        message=f"the API server serves no {gvk.kind} in {gvk.api_version}; install its CustomResourceDefinition or correct apiVersion and kind",
        field="kind",
        retryable=True,
    )


def _has_namespace(manifest: Manifest) -> Problem:
    return Problem(
        file=manifest.origin.file,
        document=manifest.origin.document,
        object=str(manifest.ref),
        reason="Invalid",
        message=f"{manifest.gvk.kind} is cluster-scoped; remove metadata.namespace",
        field="metadata.namespace",
    )
