"""The application of the demo: a web shop as a Git repository would hold it, and the changes that are made to it.

Input: the files below `webshop/`, which are package data. Readers: `steps`, which commits them, and the observer, which compares them with the cluster.
"""

import base64
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Final, NamedTuple

import yaml

PATH: Final = "deploy"
"""The directory of the repository that the ClusterState points at."""
SELECTOR: Final = "app.kubernetes.io/part-of=webshop"
"""Label of every object of the shop, put there by Git, so that the observer needs nothing of the operator's to find them."""

CRASH_LABEL: Final = "test.cvstate.io/fate"
CRASH_LOOP: Final = "crash-loop"
"""A Pod with this label and value runs and never becomes Ready. Source: tests/cluster/stages/pod-crash-loop.yaml, which kwok goes by."""

REVIEWS: Final = f"{PATH}/services/reviews.yaml"
RECOMMENDATIONS: Final = f"{PATH}/services/recommendations.yaml"
_CHECKOUT: Final = f"{PATH}/services/checkout.yaml"
_PAYMENT: Final = f"{PATH}/services/payment.yaml"
_STOREFRONT: Final = f"{PATH}/web/storefront.yaml"
_CART: Final = f"{PATH}/services/cart.yaml"
_UNPROFITABLE: Final = (
    REVIEWS,
    f"{PATH}/services/shipping.yaml",
    f"{PATH}/web/back-office.yaml",
    f"{PATH}/data/session-store.yaml",
    f"{PATH}/jobs/reports.yaml",
)

Files = Mapping[str, str]
"""Path in the repository → text."""
Changes = Mapping[str, str | None]
"""The same for a commit; None removes a file."""
Body = dict[str, Any]


class Key(NamedTuple):
    """Which object."""

    kind: str
    namespace: str
    """Empty for cluster-scoped objects."""
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def reference(self) -> str:
        """As the operator names it, without the API group: `Deployment/webshop-services/cart`."""
        return "/".join(part for part in self if part)


CATALOG: Final = Key("Deployment", "webshop-services", "catalog")
CHECKOUT: Final = Key("Deployment", "webshop-services", "checkout")
CART: Final = Key("Deployment", "webshop-services", "cart")
CART_SERVICE: Final = Key("Service", "webshop-services", "cart")
STOREFRONT: Final = Key("ConfigMap", "webshop-web", "storefront")


def files() -> dict[str, str]:
    """The first commit."""
    root = resources.files(__package__) / "webshop"
    return {"README.md": (root / "README.md").read_text(), **{f"{PATH}/{name}": text for name, text in _below(root / PATH)}}


def new_release(now: Files) -> dict[str, str]:
    """Another image and another limit for the checkout: two objects of one file."""
    text = _replaced(now[_CHECKOUT], "podinfo:6.9.1", "podinfo:6.9.2")
    return {_CHECKOUT: _replaced(text, 'MAX_ITEMS_PER_ORDER: "50"', 'MAX_ITEMS_PER_ORDER: "80"')}


def crashing_release(now: Files) -> dict[str, str]:
    """An image of the checkout that never runs. Kubelets that are simulated run anything: a label of the Pods tells them what this image would do."""
    text = _replaced(now[_CHECKOUT], "podinfo:6.9.2", "podinfo:6.9.3")
    end_of_labels = "        app.kubernetes.io/part-of: webshop\n    spec:\n"
    return {_CHECKOUT: _replaced(text, end_of_labels, f"        {CRASH_LABEL}: {CRASH_LOOP}\n{end_of_labels}")}


def larger_orders(now: Files) -> dict[str, str]:
    """The checkout as it is, with another limit: one object, and no Pod is replaced."""
    return {_CHECKOUT: _replaced(now[_CHECKOUT], 'MAX_ITEMS_PER_ORDER: "80"', 'MAX_ITEMS_PER_ORDER: "100"')}


def broken_reviews(now: Files) -> dict[str, str]:
    """A new service whose second document has a slip (no colon), and a sound change of another file."""
    banner = _replaced(now[_STOREFRONT], "Free shipping this week", "Read what others say")
    return {REVIEWS: _replaced(_reviews(), "  replicas: 2\n", "  replicas 2\n"), _STOREFRONT: banner}


def live_payments(now: Files) -> dict[str, str]:
    """From now on real money: one object, and a change that nobody should slip in."""
    return {_PAYMENT: _replaced(now[_PAYMENT], "value: sandbox", "value: live")}


def mended_reviews() -> dict[str, str]:
    """The new service as it was meant."""
    return {REVIEWS: _reviews()}


def tuned_cart(now: Files) -> dict[str, str]:
    """The number of the cart's replicas is left to somebody else."""
    return {_CART: _replaced(now[_CART], "  replicas: 2\n", "")}


def smaller_shop() -> dict[str, None]:
    """More than a quarter of all objects is removed."""
    return dict.fromkeys(_UNPROFITABLE)


def objects(now: Files) -> dict[Key, Body]:
    """What the files declare, as the API server will show it.

    Raises:
        yaml.YAMLError: a file is broken.
    """
    texts = (text for path, text in now.items() if path.startswith(f"{PATH}/"))
    documents = (_as_shown(body) for text in texts for body in yaml.load_all(text, Loader=yaml.CSafeLoader))
    return {key_of(body): body for body in documents}


def key_of(body: Body) -> Key:
    """Which object a manifest or a live object is."""
    meta = body["metadata"]
    return Key(body["kind"], meta.get("namespace", ""), meta["name"])


def collection(body: Body) -> str:
    """URL path of all objects of a manifest's kind, in all namespaces.

    Source: apimachinery, `meta.UnsafeGuessKindToResource`, for the plural; it is right for the kinds of the shop.
    """
    version, kind = body["apiVersion"], body["kind"].lower()
    plural = kind + "es" if kind.endswith("s") else kind[:-1] + "ies" if kind.endswith("y") else kind + "s"
    return f"/{'apis' if '/' in version else 'api'}/{version}/{plural}"


def address(body: Body) -> str:
    """URL path of one object."""
    root, _, plural = collection(body).rpartition("/")
    key = key_of(body)
    return f"{root}/namespaces/{key.namespace}/{plural}/{key.name}" if key.namespace else f"{root}/{plural}/{key.name}"


def counted_name(body: Body) -> str:
    """`deployments webshop-services/checkout`, as the audit log names it."""
    key = key_of(body)
    return f"{collection(body).rpartition('/')[2]} {key.namespace}/{key.name}"


def _as_shown(body: Body) -> Body:
    """Secrets are shown by `data` alone."""
    if "stringData" not in body:
        return body
    data = {name: base64.b64encode(text.encode()).decode() for name, text in body["stringData"].items()}
    return {**{field: value for field, value in body.items() if field != "stringData"}, "data": data}


def _reviews() -> str:
    return (resources.files(__package__) / "webshop" / "later" / "reviews.yaml").read_text()


def _below(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda found: found.name):
        if entry.is_dir():
            yield from _below(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry.read_text()


def _replaced(text: str, old: str, new: str) -> str:
    """Exactly one place is changed; anything else means that the files and this module have drifted apart."""
    if text.count(old) != 1:
        raise ValueError(f"{old!r} occurs {text.count(old)} times, not once")
    return text.replace(old, new)
