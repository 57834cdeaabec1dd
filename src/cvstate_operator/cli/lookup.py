"""What commands about one ClusterState share: the options that name it, finding it, and errors that say what the person can do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.api.model import NAME_PATTERN
from cvstate_operator.objects.redaction import one_line

if TYPE_CHECKING:
    from cvstate_operator.kube.client import Client
    from cvstate_operator.objects.manifest import Body

NameArgument = Annotated[str, typer.Argument(help="The ClusterState.", metavar="NAME")]
NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace of the ClusterState. Default: that of the context, else `default`.")
]

MANAGER: Final = "cvstate-cli"
"""Field manager of what commands write."""
_NAMES_SHOWN: Final = 10


def path(plural: str, name: str = "", *, namespace: str = "") -> str:
    """URL path of one of our kinds: an object, or the collection if there is no name.

    Raises:
        SettingsError: no object can have this name, or the namespace.
    """
    for text in filter(None, (namespace, name)):
        if not re.fullmatch(NAME_PATTERN, text):
            raise errors.SettingsError(f"{one_line(text)!r} cannot be the name of an object; correct NAME or --namespace")
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/{names.API_VERSION}{scope}/{plural}" + (f"/{name}" if name else "")


async def cluster_state(client: "Client", namespace: str, name: str) -> "Body":
    """The ClusterState that is meant.

    Raises:
        SettingsError: the name or the namespace is empty, as by a variable that is not set.
        NotFoundError: there is none; the message names those that are there.
        CvstateError: it cannot be read.
    """
    if not name:
        raise errors.SettingsError("NAME is empty; say which ClusterState, see: cvstate status")
    if not namespace:
        raise errors.SettingsError("the namespace is empty; correct --namespace")
    with explained("get", names.CLUSTER_STATES, namespace):
        found = await client.get(path(names.CLUSTER_STATES, name, namespace=namespace))
    if found is None:
        raise errors.NotFoundError(f"there is no ClusterState {namespace}/{name}; {await _others(client, namespace)}")
    return found


async def _others(client: "Client", namespace: str) -> str:
    """What there is instead, and how to go on."""
    there: list[str] = []
    with suppress(errors.CvstateError):  # the main thing is told anyway
        pages = client.pages(path(names.CLUSTER_STATES, namespace=namespace))
        there = sorted([item["metadata"]["name"] async for page in pages for item in page["items"]])
    if not there:
        return "name its namespace with --namespace; see: cvstate status"
    rest = f" and {len(there) - _NAMES_SHOWN} more" if len(there) > _NAMES_SHOWN else ""
    return f"in namespace {namespace} are: {', '.join(there[:_NAMES_SHOWN])}{rest}"


@contextmanager
def explained(verb: str, plural: str, namespace: str = "") -> Iterator[None]:
    """Let errors of a request say what the person at the command line can do, instead of what is to be done about Git.

    Args:
        verb: as in RBAC.
        plural: one of our kinds.
        namespace: empty for a kind without one.

    Raises:
        KindUnknownError: the CRD is not installed.
        ForbiddenError: RBAC says no.
        CvstateError: anything else, as it was.
    """
    where = f" in namespace {namespace}" if namespace else ""
    try:
        yield
    except errors.KindUnknownError as exc:
        raise errors.KindUnknownError(f"the cluster has no {plural}.{names.GROUP}; install them with: kubectl apply -f crds/") from exc
    except errors.ForbiddenError as exc:
        raise errors.ForbiddenError(
            f"your user may not {verb} {plural}.{names.GROUP}{where}; have it granted (docs/cli.md says what each command needs), or use another --context"
        ) from exc
