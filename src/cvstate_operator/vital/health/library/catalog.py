"""Catalogue: all kinds of the library. Readers are `vital/health/readiness`, and docs/health.md by way of `table`."""

from collections.abc import Mapping
from itertools import chain
from types import MappingProxyType
from typing import Final

from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.vital.health.custom_health import HealthRule
from cvstate_operator.vital.health.library import (
    argo,
    batch,
    cert_manager,
    cluster_api,
    crossplane,
    databases,
    flux,
    gateway_api,
    messaging,
    networking,
    operations,
    secret_stores,
    serverless,
    storage,
)
from cvstate_operator.vital.health.library.entry import Entry

_FAMILIES: Final = (
    argo, batch, cert_manager, cluster_api, crossplane, databases, flux, gateway_api, messaging, networking, operations, secret_stores, serverless, storage,
)  # fmt: skip

ENTRIES: Final[tuple[Entry, ...]] = tuple(
    sorted(chain.from_iterable(family.ENTRIES for family in _FAMILIES), key=lambda entry: entry.rule.group_kind)
)
"""Sorted by group and kind."""

LIBRARY: Final[Mapping[GroupKind, HealthRule]] = MappingProxyType({entry.rule.group_kind: entry.rule for entry in ENTRIES})


def table() -> str:
    """The library as a table in Markdown."""
    rows = (
        f"| `{entry.rule.group_kind.kind}` · {entry.rule.group_kind.group} | {entry.current_when} | {entry.failed_when or '–'} | {entry.source} |\n"
        for entry in ENTRIES
    )
    return "| kind | Current when | Failed when | source |\n|---|---|---|---|\n" + "".join(rows)
