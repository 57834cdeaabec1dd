"""Adoption: whether an object that was there before us may become ours, and how.

Nothing of another ClusterState or of a controller is ever taken. What nobody owns is adopted unless the user says Never, and no value of another field
manager is overwritten then; what is declared equally by both is shared. With Force it is overwritten, and objects of Flux, Argo CD and Helm are taken too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cvstate_operator.api.apply import Adoption
from cvstate_operator.api.names import DIGEST
from cvstate_operator.errors import OwnerConflictError, TerminatingError
from cvstate_operator.objects.ownership import PART_OF_LABEL, controller_of, foreign_owner, is_applied_by

NameOwner = Callable[[str], str]
"""Turns an ApplySet id into a name for people: `ClusterState default/shop`, or the id itself if it is not known."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the user consented to, where others have a say."""

    adoption: Adoption = Adoption.UNOWNED
    may_force: bool = True
    """Whether fields of our own objects are taken back from other managers."""
    only_if_absent: bool = False
    """Whether an object that is there already is left as it is, whoever made it."""


def may_force(live: Mapping[str, Any], *, owner: str, manager: str, name_owner: NameOwner, terms: Terms) -> bool:
    """Decide on an object that exists although we did not know it.

    Returns:
        Whether fields may be forced: of what we applied before, if the terms allow it; of what has no owner, or is another tool's, by consent only.
        Without force it is adopted, but a field that someone holds with another value is a conflict. Our label alone is no proof: labels are copied,
        and controllers copy annotations too.

    Raises:
        OwnerConflictError: it belongs to another owner; both are named by the caller's context and the message.
        TerminatingError: it is being deleted.
    """
    meta = live.get("metadata", {})
    if meta.get("deletionTimestamp"):
        raise TerminatingError("the object is being deleted; it is applied again when it is gone")
    part_of = (meta.get("labels") or {}).get(PART_OF_LABEL)
    if part_of and part_of != owner:
        raise conflict(name_owner(part_of))
    applied = is_applied_by(live, manager)
    if part_of == owner and (applied or (DIGEST in (meta.get("annotations") or {}) and not controller_of(live))):
        return terms.may_force
    if other := controller_of(live) or ("" if terms.adoption is Adoption.FORCE else foreign_owner(live)):
        raise conflict(other)
    if applied:
        return terms.may_force
    if terms.adoption is Adoption.NEVER:
        raise OwnerConflictError("was there before, and spec.apply.adoption is Never; delete it, take it out of Git, or allow its adoption")
    return terms.adoption is Adoption.FORCE


def remedy(*, is_ours: bool) -> str:
    """What to do about fields that others hold with other values, which are not overwritten.

    Args:
        is_ours: whether the object was ours before.
    """
    if is_ours:
        return "let Git win by spec.apply.conflicts: Force, leave them to who holds them by Yield, or take them out of Git"
    return "the object is not ours yet: let Git win by spec.apply.adoption: Force, or take them out of Git"


def conflict(other: str) -> OwnerConflictError:
    """The error for an object that `other` owns."""
    return OwnerConflictError(f"belongs to {other}; take it out of one of the two, or remove the owner's mark from the object")
