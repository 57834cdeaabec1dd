"""Globs: which files of a path are manifests. Pure.

`*` and `?` stay within one name, `**` goes over any number of directories, `[abc]` is one of these characters; a pattern without a slash is matched against
the file's name wherever it stands. Source: gitignore(5), without its negation.
"""

import re
from collections.abc import Callable, Sequence

from cvstate_operator import errors

MANIFEST_SUFFIXES = (".yaml", ".yml", ".json")


def matcher(include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path, relative to the source's path, is to be read.

    Args:
        include: globs; empty means all. Files with another suffix than those of manifests are never read.
        exclude: globs; they win.

    Raises:
        InvalidSpecError: a glob with a range of characters that goes backwards.
    """
    wanted, unwanted = _any_of(include), _any_of(exclude)

    def matches(path: str) -> bool:
        if not path.endswith(MANIFEST_SUFFIXES):
            return False
        return (wanted is None or bool(wanted.fullmatch(path))) and not (unwanted and unwanted.fullmatch(path))

    return matches


def _any_of(globs: Sequence[str]) -> re.Pattern[str] | None:
    try:
        return re.compile("|".join(f"(?:{_translate(glob)})" for glob in globs)) if globs else None
    except re.error as exc:
        raise errors.InvalidSpecError(f"a glob of spec.source.git.include or exclude cannot be read: {exc.msg}") from exc


def _translate(glob: str) -> str:
    glob = glob.removeprefix("./")
    if "/" not in glob.rstrip("/"):
        glob = "**/" + glob
    if glob.endswith("/"):
        glob += "**"
    parts: list[str] = []
    i = 0
    while i < len(glob):
        if glob.startswith("**/", i):
            parts.append("(?:[^/]+/)*" if not parts or parts[-1] == "/" else "[^/]*/")
            i += 3
        elif glob.startswith("**", i):
            parts.append(".*+" if i + 2 == len(glob) else "[^/]*")
            i += 2
        elif glob[i] == "*":
            parts.append("[^/]*")
            i += 1
        elif glob[i] == "?":
            parts.append("[^/]")
            i += 1
        elif glob[i] == "[" and (end := glob.find("]", i + 2)) > 0:
            body, negated = glob[i + 1 : end], glob[i + 1] in "!^"
            inside = re.sub(r"[\\^\[\]&~|]", r"\\\g<0>", body[1:] if negated else body)
            parts.append(f"[{'^/' if negated else ''}{inside}]")
            i = end + 1
        else:
            parts.append(re.escape(glob[i]) if glob[i] != "/" else "/")
            i += 1
    return "".join(parts)
