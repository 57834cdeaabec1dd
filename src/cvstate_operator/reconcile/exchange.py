"""The exchange: how an object passes from one ClusterState to another, without being deleted. Pure.

Who declares what, `Claims` know: of a ClusterState of this process since it said so, of any other by `status.claims` (`listed`), so also after a restart. Whoever has an object
deletes it for nobody who declares it and may write it. What else it takes between two replicas stands on the object itself:

1. The replica that declares an object of somebody else's marks it: an annotation with the id of who wants it. One write, once. A mark says that whoever wants the object may
   write it now; what it is worth, `status.claims` say. So one that nobody took away keeps nothing.
2. The other one, when it would delete the object or keep it for that claim, puts it under the label of who wants it, and takes the mark away. From then on it is the other's.
3. Whoever declares an object no more takes its own mark away. One write.

Of several the one with the lowest id has its mark there. What is only to be left as it is (`cvstate.io/apply`) is put under another label as well when it passes on within a replica, and
nothing else of it is written (`take`).

Who may not write, being suspended or behind a gate, marks nothing: what it claims is kept until it does.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from cvstate_operator.api.names import CLAIMED_BY
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.live import Live
from cvstate_operator.objects.ownership import PART_OF_LABEL, OwnerLabels

Operations = Sequence[Mapping[str, Any]]
"""A JSON patch (RFC 6902)."""

LISTED_BYTES: Final = 8 * 1024
"""Size of `status.claims` as JSON: some hundred objects. Above that, kinds are listed in place of objects."""
ALL: Final = "*"
"""In place of a name: every object of a kind in a namespace; in place of both: in every namespace. No object has such a name."""


def listed(refs: Iterable[ObjectRef]) -> list[str]:
    """What `status.claims` say of objects that a ClusterState declares and another one has; sorted.

    Where there are too many to be listed each by its name, more is claimed than is declared: nothing that is declared is ever left out.
    """
    exact = set(refs)
    of_kinds = {ref._replace(name=ALL) for ref in exact}
    anywhere = {ref._replace(namespace=ALL) if ref.namespace else ref for ref in of_kinds}
    for told in (exact, of_kinds, anywhere):
        if len(orjson.dumps(found := sorted(map(str, told)))) <= LISTED_BYTES:
            return found
    return [ALL]


def is_listed(ref: ObjectRef, claims: Collection[str]) -> bool:
    """Whether `status.claims` tell of an object."""
    if not claims:
        return False
    of_kind = ref._replace(name=ALL)
    told = (str(ref), str(of_kind), str(of_kind._replace(namespace=ALL)) if ref.namespace else ALL, ALL)
    return any(one in claims for one in told)


def request(live: Live, owner: str, labels: OwnerLabels) -> Operations:
    """Mark an object as wanted by an ApplySet. It has annotations, since who applied it left the digest there; the patch is refused for one that only bears a copied label.

    Args:
        live: the object, which is another's.
        owner: who wants it.
        labels: of the cluster.
    """
    return [*_as_it_is(live, labels), {"op": "add", "path": _MARK, "value": labels.write(owner)}]


def withdraw(live: Live, labels: OwnerLabels) -> Operations:
    """Take away the mark of an object."""
    return [*_as_it_is(live, labels), *_unmarked(live, labels)]


def grant(live: Live, labels: OwnerLabels) -> Operations:
    """Put an object of ours under the label of who wants it, as the labels of the cluster say that."""
    return [*_as_it_is(live, labels), *_unmarked(live, labels), _put_under(live.claimed_by, labels)]


def take(live: Live, owner: str, labels: OwnerLabels) -> Operations:
    """Put an object that its owner let go under the label of who declares it, and leave everything else of it as it is."""
    return [*_as_it_is(live, labels), *(_unmarked(live, labels) if live.claimed_by == owner else ()), _put_under(owner, labels)]


def asker(live: Live | None, claimants: Collection[str], is_elsewhere: Callable[[str], bool]) -> str:
    """ApplySet id of the ClusterState of another replica that asked for an object of ours; empty if there is none.

    Args:
        live: the object; None if it is not there.
        claimants: who declares it, and may have it.
        is_elsewhere: whether an ApplySet is a ClusterState's that another replica has.
    """
    return live.claimed_by if live and live.claimed_by in claimants and is_elsewhere(live.claimed_by) else ""


def _as_it_is(live: Live, labels: OwnerLabels) -> Operations:
    """Only this very object, and only as long as it is the one's that we think."""
    return [
        {"op": "test", "path": "/metadata/uid", "value": live.uid},
        {"op": "test", "path": f"/metadata/labels/{_escaped(PART_OF_LABEL)}", "value": labels.write(live.owner)},
    ]


def _put_under(owner: str, labels: OwnerLabels) -> Mapping[str, Any]:
    """The label of an owner, in place of the one that is there."""
    return {"op": "replace", "path": f"/metadata/labels/{_escaped(PART_OF_LABEL)}", "value": labels.write(owner)}


def _unmarked(live: Live, labels: OwnerLabels) -> Operations:
    """Without the mark that we know of, as long as it is that one."""
    return [{"op": "test", "path": _MARK, "value": labels.write(live.claimed_by)}, {"op": "remove", "path": _MARK}]


def _escaped(name: str) -> str:
    """A name in a JSON pointer. Source: RFC 6901, section 3."""
    return name.replace("~", "~0").replace("/", "~1")


_MARK: Final = f"/metadata/annotations/{_escaped(CLAIMED_BY)}"
