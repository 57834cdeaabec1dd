"""Requests to the fetch child, and repositories to fetch from."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from cvstate_operator import errors
from cvstate_operator.isolation.room import NO_LIMIT
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.source import fetch

POLICY = AddressPolicy(files=True, insecure=True)


def request_for(url: str, cache: Path, *, ref: dict[str, str] | None = None) -> dict[str, Any]:
    """A request that wants the root of `url`, with the bare repository `cache`."""
    ref = ref or {"branch": "main"}
    kind = next(kind for kind in ("commit", "name", "semver", "tag", "branch") if kind in ref)
    return {
        "repository": str(cache),
        "url": url,
        "ref": ref,
        "selector": f"{kind} {ref[kind]}",
        "at": None,
        "recall": "",
        "secret": "",
        "credentials": {},
        "verify": None,
        "policy": asdict(POLICY),
        "room": NO_LIMIT,
        "refused": [],
        "wants": [{"path": ".", "known": "", "baseline": ""}],
    }


def look(cache: Path, url: str, *, ref: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """One look at `url`, with the bare repository `cache`; `more` are further members of the request, or of what is wanted."""
    request = request_for(url, cache, ref=ref)
    [want] = request["wants"]
    want = {name: more.pop(name, default) for name, default in want.items()}
    found = fetch.handle({**request, **more, "wants": [want]})
    [answer] = found["answers"]
    if error := answer.get("error"):
        raise errors.from_data(error)
    return {**found["look"], **answer["ok"]}
