"""Globs: which files of a path are manifests. Pure.

`*` and `?` stay within one name, `**` goes over any number of directories, `[abc]` is one of these characters; a pattern without a slash is matched against
the file's name wherever it stands. Source: gitignore(5), without its negation.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from cvstate_operator import errors

MANIFEST_SUFFIXES: Final = (".yaml", ".yml", ".json")

_DIRECTORIES: Final = "(?:[^/]+/)*?"


def matcher(include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path, relative to the source's path, is to be read.

    Args:
        include: globs; empty means all. Files with another suffix than those of manifests are never read.
        exclude: globs; they win. One that matches a directory leaves out everything in it.

    Raises:
        InvalidSpecError: a glob with a range of characters that goes backwards.
    """
    wanted, unwanted = _any_of(include), _any_of(exclude, below="(?:/.*)?")

    def matches(path: str) -> bool:
        if not path.endswith(MANIFEST_SUFFIXES):
            return False
        return (wanted is None or bool(wanted.fullmatch(path))) and not (unwanted and unwanted.fullmatch(path))

    return matches


def _any_of(globs: Sequence[str], *, below: str = "") -> re.Pattern[str] | None:
    try:
        return re.compile("|".join(f"(?:{_translate(glob)}){below}" for glob in globs), re.DOTALL) if globs else None
    except re.error as exc:
        raise errors.InvalidSpecError(f"a glob of spec.source.git.include or exclude cannot be read: {exc.msg}") from exc


def _translate(glob: str) -> str:
    """A regular expression that takes time in proportion to the path: what stands between two stars is matched at the first place it fits, for good.

    That loses nothing, since a star takes whatever is left; without it `*a*a*a*b` would try every way to share a name out among the stars.
    """
    glob = glob.removeprefix("./")
    if "/" not in glob.rstrip("/"):
        glob = "**/" + glob
    names = glob.split("/")
    if names[-1] in ("", "**"):
        names[-1:] = ["**", "*"]
    runs: list[list[str]] = [[]]
    for name in names:
        if name == "**":
            runs.append([])
        else:
            runs[-1].append(_translate_name(name))
    first, *others = runs
    if not others:
        return "/".join(first)
    *middle, last = others
    expressions = ["".join(f"{name}/" for name in first)]
    expressions += [f"(?>{_DIRECTORIES}{''.join(f'{name}/' for name in run)})" for run in middle if run]
    return "".join(expressions) + _DIRECTORIES + "/".join(last)


def _translate_name(name: str) -> str:
    runs = [""]
    i = 0
    while i < len(name):
        end = name.find("]", i + 2) if name[i] == "[" else -1
        if name[i] == "*":
            runs.append("")
        elif name[i] == "?":
            runs[-1] += "[^/]"
        elif end > 0:
            runs[-1] += _one_of(name[i + 1 : end])
            i = end
        else:
            runs[-1] += re.escape(name[i])
        i += 1
    first, *others = runs
    if not others:
        return first
    *middle, last = others
    return first + "".join(f"(?>[^/]*?{run})" for run in middle if run) + "[^/]*" + last


def _one_of(characters: str) -> str:
    """A set of characters; a slash is never one of them."""
    negated = "^" if characters[0] in "!^" else ""
    members = re.sub(
        "(.)-(.)|.",
        lambda found: f"{re.escape(found[1])}-{re.escape(found[2])}" if found[1] else re.escape(found[0]),
        characters[len(negated) :],
        flags=re.DOTALL,
    )
    return f"(?!/)[{negated}{members}]"
