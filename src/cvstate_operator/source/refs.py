"""Refs: which of a repository's refs is meant. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from cvstate_operator import errors
from cvstate_operator.api.versions import VersionRange


@dataclass(frozen=True, slots=True)
class Chosen:
    """One ref of the server."""

    name: str
    """In full: `refs/tags/v1.2.7`."""
    short: str
    """As revisions spell it: `v1.2.7`."""
    commit: str
    """What it points at, tags followed."""
    tag_object: str | None
    """Id of the annotated tag; None for branches and lightweight tags."""


def choose(ref: Mapping[str, str], heads: Mapping[str, str], *, url: str) -> Chosen:
    """The ref that is meant: by name, else semver, else tag, else branch (main). A commit is no ref, and not looked for.

    Args:
        ref: what the ClusterState asks for: some of `name`, `semver`, `tag`, `branch`.
        heads: full name to object id, as the server lists them; `NAME^{}` is what an annotated tag points at.
        url: for messages.

    Raises:
        RefNotFoundError: there is none.
    """
    name, short = _name(ref, heads, url)
    if name not in heads:
        kind = {"refs/tags/": "tag ", "refs/heads/": "branch "}.get(name.removesuffix(short), "ref ")
        raise errors.RefNotFoundError(f"{kind}{short} is not in {url}; correct spec.source.git.ref, or push it")
    peeled = heads.get(name + "^{}")
    return Chosen(name, short, peeled or heads[name], heads[name] if peeled else None)


def _name(ref: Mapping[str, str], heads: Mapping[str, str], url: str) -> tuple[str, str]:
    if name := ref.get("name"):
        return name, name
    if wanted := ref.get("semver"):
        tag = _newest(wanted, heads, url)
        return f"refs/tags/{tag}", tag
    if tag := ref.get("tag", ""):
        return f"refs/tags/{tag}", tag
    branch = ref.get("branch") or "main"
    return f"refs/heads/{branch}", branch


def _newest(wanted: str, heads: Mapping[str, str], url: str) -> str:
    """The tag with the highest version in the range; between equal versions (build metadata does not order) the last by name."""
    import semantic_version  # loaded by the few that follow a range

    spec = VersionRange(wanted)
    found = []
    for name in heads:
        tag = name.removeprefix("refs/tags/")
        if tag == name or name.endswith("^{}"):
            continue
        try:
            version = semantic_version.Version(tag.removeprefix("v"))
        except ValueError:
            continue
        if spec.match(version):
            found.append((version.precedence_key, tag))
    if not found:
        raise errors.RefNotFoundError(f"no tag in {url} is a version in {wanted}; correct spec.source.git.ref.semver, or push a tag")
    return max(found)[1]
