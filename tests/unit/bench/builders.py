"""Runs and requests for tests of the benchmark."""

import datetime

from bench.results import Record
from tests.cluster.audit import Request


def run(
    tool: str = "cvstate", seconds: float = 1.0, *, n: int = 1000, turn: int = 0, session: str = "s1", scenario: str = "S1", **rest: object
) -> Record:
    """A run that counts; `rest` are other fields of Record."""
    fields: dict[str, object] = {"figures": {"seconds": seconds}, "requests": {}, "faults": (), **rest}
    return Record(scenario=scenario, tool=tool, n=n, session=session, turn=turn, **{"world": "quiet", "m": 0, "seed": 7, **fields})  # type: ignore[arg-type]


def request(
    verb: str, resource: str = "configmaps", *, subresource: str = "", is_dry_run: bool = False, uri: str = "", code: int = 200
) -> Request:
    """A request as the audit log shows it."""
    return Request(
        verb=verb,
        resource=resource,
        subresource=subresource,
        namespace="",
        name="",
        user="u",
        user_agent="",
        code=code,
        is_dry_run=is_dry_run,
        timestamp=datetime.datetime.now(datetime.UTC),
        duration_seconds=0.0,
        uri=uri,
    )
