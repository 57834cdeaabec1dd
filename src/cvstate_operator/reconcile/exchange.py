"""The exchange: how an object passes from one ClusterState to another that a different replica of the operator has, without being deleted.

Within one replica `Claims` are all it takes. Two replicas know nothing of each other but what stands in the cluster, so the object itself carries the request:

1. The replica that declares an object of somebody else's marks it: an annotation with the id of who wants it. One write, once.
2. The other one, when it would delete the object, puts it under the label of who wants it, in place of deleting it. From then on it is the other's, and is updated as any
   object of its own.

Who may not write, being suspended or behind a gate, marks nothing. But its status lists what it declares and cannot have, and for whoever else has that, to be listed there is to be
declared (`Claims.elsewhere`): it is kept, and given away when it is marked.

Neither deletes before those elsewhere that follow the same ref of the same repository have come to the same commit, or for as long as `claims.CATCH_UP_SECONDS`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cvstate_operator.api.names import CLAIMED_BY
from cvstate_operator.objects.live import Live
from cvstate_operator.objects.ownership import PART_OF_LABEL, OwnerLabels

Operations = Sequence[Mapping[str, Any]]
"""A JSON patch (RFC 6902)."""


def request(live: Live, owner: str, labels: OwnerLabels) -> Operations:
    """Mark an object as wanted by an ApplySet. It has annotations, since who applied it left the digest there; the patch is refused for one that only bears a copied label.

    Args:
        live: the object, which is another's.
        owner: who wants it.
        labels: of the cluster.
    """
    path = f"/metadata/annotations/{_escaped(CLAIMED_BY)}"
    return [*_as_it_is(live, labels), {"op": "add", "path": path, "value": labels.write(owner)}]


def grant(live: Live, labels: OwnerLabels) -> Operations:
    """Put an object of ours under the label of who wants it, as the labels of the cluster say that."""
    path = f"/metadata/labels/{_escaped(PART_OF_LABEL)}"
    return [*_as_it_is(live, labels), {"op": "replace", "path": path, "value": labels.write(live.claimed_by)}]


def asker(live: Live | None, owner: str, is_elsewhere: Callable[[str], bool]) -> str:
    """ApplySet id of the ClusterState of another replica that asked for an object of ours; empty if there is none.

    Args:
        live: the object; None if it is not there.
        owner: who we are.
        is_elsewhere: whether an ApplySet is a ClusterState's that another replica has.
    """
    if live is None or live.claimed_by in ("", owner) or not is_elsewhere(live.claimed_by):
        return ""
    return live.claimed_by


def _as_it_is(live: Live, labels: OwnerLabels) -> Operations:
    """Only this very object, and only as long as it is the one's that we think."""
    return [
        {"op": "test", "path": "/metadata/uid", "value": live.uid},
        {"op": "test", "path": f"/metadata/labels/{_escaped(PART_OF_LABEL)}", "value": labels.write(live.owner)},
    ]


def _escaped(name: str) -> str:
    """A name in a JSON pointer. Source: RFC 6901, section 3."""
    return name.replace("~", "~0").replace("/", "~1")
