"""Globs: which files of a path are manifests. Pure.

`*` and `?` stay within one name, `**` goes over any number of directories, `[abc]` is one of these characters; a pattern without a slash is matched against
the file's name wherever it stands. Source: gitignore(5), without its negation.
"""

import re
from collections.abc import Callable, Sequence

MANIFEST_SUFFIXES = (".yaml", ".yml", ".json")


def matcher(include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path, relative to the source's path, is to be read.

    Args:
        include: globs; empty means all. Files with another suffix than those of manifests are never read.
        exclude: globs; they win.
    """
    wanted, unwanted = _any_of(include), _any_of(exclude)

    def matches(path: str) -> bool:
        if not path.endswith(MANIFEST_SUFFIXES):
            return False
        return (wanted is None or bool(wanted.fullmatch(path))) and not (unwanted and unwanted.fullmatch(path))

    return matches


def _any_of(globs: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{_translate(glob)})" for glob in globs)) if globs else None


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
            body = glob[i + 1 : end].replace("\\", "\\\\").replace("/", "")
            parts.append(f"[{'^' + body[1:] if body[0] in '!^' else body}]")
            i = end + 1
        else:
            parts.append(re.escape(glob[i]) if glob[i] != "/" else "/")
            i += 1
    return "".join(parts)
