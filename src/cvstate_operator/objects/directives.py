"""Directives: what the annotations of a managed object ask of whoever applies and prunes it. For users: docs/directives.md. Pure.

Annotations of `cvstate.io` are our own language: a word in it that is not known is a fault of the document. Those of Flux, Argo CD and Helm that mean the
same are read too, so that manifests can move here unchanged; what is not known in them is none of our business. Ours wins over theirs, and of theirs the
one that does less. Flux reads its own from labels as well, so its labels count here.

The renderer reads the directives of what stands in Git (`parse`), and `plan` those of live objects (`of_live`): an object that was removed from Git can
say only there that it must stay.
"""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

from cvstate_operator.api.names import GROUP
from cvstate_operator.api.propagation import PropagationPolicy
from cvstate_operator.objects.redaction import one_line

_T = TypeVar("_T")

MAX_WAVE: Final = 1_000_000
"""Waves are between minus this and this: room for any numbering by hand. Ours, no convention."""
KEPT_APART: Final = 1024
"""Different directives that objects share; a repository has a handful, and a hostile one cannot make us keep more."""

_SHOWN_CHARACTERS: Final = 60
_NONE: Final[Mapping[str, Any]] = {}
_FLUX: Final = "kustomize.toolkit.fluxcd.io"
"""Source: Flux, Kustomization API, "Controlling the apply behavior of resources" and "Garbage collection"."""
_FLUX_APPLY: Final = f"{_FLUX}/ssa"
_FLUX_PRUNE: Final = f"{_FLUX}/prune"
_FLUX_FORCE: Final = f"{_FLUX}/force"
_FLUX_RECONCILE: Final = f"{_FLUX}/reconcile"
_FLUX_MARKS: Final = frozenset({_FLUX_APPLY, _FLUX_PRUNE, _FLUX_FORCE, _FLUX_RECONCILE})
_ARGO_OPTIONS: Final = "argocd.argoproj.io/sync-options"
"""Comma-separated. Source: Argo CD, "Sync Options". Not read: `skip-reconcile`, which speaks to Argo CD about its own Applications, not about who writes
the annotated object."""
_ARGO_WAVE: Final = "argocd.argoproj.io/sync-wave"
"""Source: Argo CD, "Sync Phases and Waves"."""
_HELM_POLICY: Final = "helm.sh/resource-policy"
"""Source: Helm, "Chart Development Tips and Tricks": with `keep` no operation of Helm deletes the object."""
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,19}")
"""As many digits as Argo CD reads, which takes 64 bits."""


class Apply(StrEnum):
    """How an object is written."""

    OVERRIDE = "Override"
    """Created, updated, and repaired when it drifts."""
    IF_NOT_PRESENT = "IfNotPresent"
    """Created if it is not there; never updated."""
    IGNORE = "Ignore"
    """Never written. It is still declared, and so not pruned."""


class Prune(StrEnum):
    """Whether an object goes when it is no longer declared."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    """Never."""
    CONFIRM = "Confirm"
    """Only after an approval."""


class Recreate(StrEnum):
    """Whether an object may be deleted and made anew when a field that cannot be changed would have to."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class DirectiveError(ValueError):
    """An annotation of ours that says something we do not know."""

    def __init__(self, annotation: str, value: Any, expected: str) -> None:
        """`expected`: what it could say, to be read after "is not"."""
        super().__init__(f"annotation {annotation}: {one_line(str(value), _SHOWN_CHARACTERS)!r} is not {expected}")
        self.annotation = annotation
        self.discreet = f"annotation {annotation}: its value is not {expected} (it may be secret, and is not shown)"
        """The message without the value, for values that may come from a Secret."""

    @property
    def field(self) -> str:
        """Where it stands in the object."""
        return f"metadata.annotations[{self.annotation}]"


@dataclass(frozen=True, slots=True)
class Directives:
    """What one object asks for. Shared between objects that ask for the same."""

    apply: Apply = Apply.OVERRIDE
    prune: Prune = Prune.ENABLED
    """DISABLED also if `reconcile` is false."""
    delete_with_parent: bool = True
    """Whether it goes when its ClusterState is deleted, if that deletes objects at all. Only with `prune` ENABLED: nobody is there any more to approve."""
    recreate: Recreate | None = None
    """None: as the ClusterState says."""
    reconcile: bool = True
    """False: neither written nor pruned, whatever else is asked for."""
    wave: int = 0
    """Lower waves are applied first, and pruned last; -MAX_WAVE to MAX_WAVE."""
    propagation: PropagationPolicy | None = None
    """What becomes of its dependents when it is deleted; None: as the ClusterState says."""

    def to_json(self) -> dict[str, Any]:
        """What differs from the default; empty if nothing does."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) != field.default}

    @staticmethod
    def from_json(told: Mapping[str, Any]) -> "Directives":
        """What `to_json` gave.

        Raises:
            ValueError: it holds a word that is not known.
        """
        recreate, propagation = told.get("recreate"), told.get("propagation")
        return _shared(
            Apply(told.get("apply", Apply.OVERRIDE)),
            Prune(told.get("prune", Prune.ENABLED)),
            bool(told.get("delete_with_parent", True)),
            None if recreate is None else Recreate(recreate),
            bool(told.get("reconcile", True)),
            int(told.get("wave", 0)),
            None if propagation is None else PropagationPolicy(propagation),
        )


DEFAULT: Final = Directives()
"""Of an object that asks for nothing: the same for all of them."""


def parse(annotations: Mapping[str, Any] | None, labels: Mapping[str, Any] | None = None) -> Directives:
    """The directives of an object in Git. One that has none costs 0.2 µs.

    Raises:
        DirectiveError: one of ours has a value that is not known.
    """
    annotations, labels = annotations or _NONE, labels or _NONE
    if _READ.isdisjoint(annotations) and _FLUX_MARKS.isdisjoint(labels):
        return DEFAULT
    return _read(annotations, labels, is_live=False)


def of_live(annotations: Any, labels: Any = None) -> Directives:
    """The directives of a live object; never raises, whatever its annotations and labels are.

    Of a value of ours that is not known the meaning is taken that changes least, since somebody wanted something other than the usual: Ignore, no
    pruning, no recreating, no reconciling. A wave is about order alone, and is 0.
    """
    annotations = annotations if isinstance(annotations, Mapping) else _NONE
    labels = labels if isinstance(labels, Mapping) else _NONE
    if _READ.isdisjoint(annotations) and _FLUX_MARKS.isdisjoint(labels):
        return DEFAULT
    return _read(annotations, labels, is_live=True)


@dataclass(frozen=True)
class _Annotation(Generic[_T]):
    """One of ours, and the words that it may hold."""

    name: str
    words: Mapping[str, _T]
    cautious: _T
    """What any other word means on a live object."""

    def of(self, annotations: Mapping[str, Any], *, is_live: bool) -> _T | None:
        """What it says; None if it is not there."""
        if self.name not in annotations:
            return None
        value = annotations[self.name]
        said = _word(value)
        for word, meaning in self.words.items():
            if word.lower() == said:
                return meaning
        if is_live:
            return self.cautious
        raise DirectiveError(self.name, value, f"one of {', '.join(self.words)}")


_APPLY: Final = _Annotation(f"{GROUP}/apply", {word.value: word for word in Apply}, Apply.IGNORE)
_PRUNE: Final = _Annotation(f"{GROUP}/prune", {word.value: word for word in Prune}, Prune.DISABLED)
_RECREATE: Final = _Annotation(f"{GROUP}/recreate", {word.value: word for word in Recreate}, Recreate.DISABLED)
_RECONCILE: Final = _Annotation(f"{GROUP}/reconcile", {"Enabled": True, "Disabled": False}, False)
_WAVE: Final = f"{GROUP}/wave"

_READ: Final = frozenset(
    {_APPLY.name, _PRUNE.name, _RECREATE.name, _RECONCILE.name, _WAVE} | {_ARGO_OPTIONS, _ARGO_WAVE, _HELM_POLICY} | _FLUX_MARKS
)
"""Every annotation that is looked at."""


def _read(annotations: Mapping[str, Any], labels: Mapping[str, Any], *, is_live: bool) -> Directives:
    flux = {mark: {_word(annotations.get(mark)), _word(labels.get(mark))} for mark in _FLUX_MARKS}
    options = _argo_options(annotations)
    is_kept = "disabled" in flux[_FLUX_PRUNE] or _word(annotations.get(_HELM_POLICY)) == "keep"
    apply = _APPLY.of(annotations, is_live=is_live) or _flux_apply(flux[_FLUX_APPLY])
    prune = _PRUNE.of(annotations, is_live=is_live) or (Prune.DISABLED if is_kept else _argo_prune(options))
    recreate = _RECREATE.of(annotations, is_live=is_live) or _foreign_recreate(flux[_FLUX_FORCE], options)
    reconcile = _RECONCILE.of(annotations, is_live=is_live)
    if reconcile is None:
        reconcile = "disabled" not in flux[_FLUX_RECONCILE]
    if not reconcile:
        prune = Prune.DISABLED
    goes = prune is Prune.ENABLED and options.isdisjoint(("delete=false", "delete=confirm"))
    return _shared(apply, prune, goes, recreate, reconcile, _wave(annotations, is_live=is_live), _propagation(options))


def _flux_apply(said: Set[str]) -> Apply:
    """`Merge` differs from `Override` in what becomes of fields that others set, which `spec.drift` decides here."""
    return next((word for word in (Apply.IGNORE, Apply.IF_NOT_PRESENT) if word.lower() in said), Apply.OVERRIDE)


def _argo_prune(options: Set[str]) -> Prune:
    if "prune=false" in options:
        return Prune.DISABLED
    return Prune.CONFIRM if "prune=confirm" in options else Prune.ENABLED


def _propagation(options: Set[str]) -> PropagationPolicy | None:
    """Of several the one by which the least is deleted, and that last."""
    policies = (PropagationPolicy.ORPHAN, PropagationPolicy.FOREGROUND, PropagationPolicy.BACKGROUND)
    return next((policy for policy in policies if f"prunepropagationpolicy={policy.value.lower()}" in options), None)


def _foreign_recreate(said: Set[str], options: Set[str]) -> Recreate | None:
    """Argo CD deletes an object only if both options are there; each of them alone is something else."""
    if "disabled" in said:
        return Recreate.DISABLED
    return Recreate.ENABLED if "enabled" in said or {"force=true", "replace=true"} <= options else None


def _argo_options(annotations: Mapping[str, Any]) -> Set[str]:
    value = annotations.get(_ARGO_OPTIONS)
    return frozenset(map(_word, value.split(","))) if isinstance(value, str) else frozenset()


def _wave(annotations: Mapping[str, Any], *, is_live: bool) -> int:
    if _WAVE in annotations:
        number = _number(annotations[_WAVE])
        if number is not None and abs(number) <= MAX_WAVE:
            return number
        if is_live:
            return 0
        raise DirectiveError(_WAVE, annotations[_WAVE], f"a whole number from {-MAX_WAVE} to {MAX_WAVE}")
    return max(-MAX_WAVE, min(_number(annotations.get(_ARGO_WAVE)) or 0, MAX_WAVE))


def _number(value: Any) -> int | None:
    text = value.strip() if isinstance(value, str) else ""
    return int(text) if _NUMBER.fullmatch(text) else None


def _word(value: Any) -> str:
    """A value as it is compared; empty if it is no text."""
    return value.strip().lower() if isinstance(value, str) else ""


@lru_cache(maxsize=KEPT_APART)
def _shared(
    apply: Apply,
    prune: Prune,
    delete_with_parent: bool,
    recreate: Recreate | None,
    reconcile: bool,
    wave: int,
    propagation: PropagationPolicy | None,
) -> Directives:
    made = Directives(apply, prune, delete_with_parent, recreate, reconcile, wave, propagation)
    return DEFAULT if made == DEFAULT else made
