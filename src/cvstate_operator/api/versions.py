"""Version ranges, as npm, Flux and Argo CD write them. Apart from the models, since child processes need nothing else of the API.

The library is loaded by the first range: few follow one, and it takes half a megabyte in each process (measured).
"""

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import semantic_version

_OPERATOR_BLANK: Final = re.compile(r"([<>=^~])\s+(?=[\dvxX*])")
_TILDE_PRE_RELEASE: Final = re.compile(r"~(\d+)\.(\d{1,9})\.(\d+-\S+)")
"""semantic-version 2.10 takes the end of this range for its beginning."""
_PRE_RELEASE: Final = re.compile(r"\d-[0-9A-Za-z]")


class VersionRange:
    """A range over semantic versions: `^1.2`, `~1.2.3`, `1.x`, `>=1.0 <2`, `1.2 - 1.4`, joined by `||`; a comma is an and.

    Pre-releases are in it only if it names one: `>=1.0.0-0` takes `1.1.0-rc.1`, as Masterminds/semver does it for Flux and Argo CD. npm, from which the
    grammar is, would take `1.0.0-rc.1` alone.
    """

    def __init__(self, text: str) -> None:
        """Read a range.

        Raises:
            ValueError: it is none.
        """
        try:
            self._clauses = [_clause(part) for part in text.replace(",", " ").split("||")]
        except ValueError:
            raise ValueError("is no version range; write it like ^1.2, ~1.4.0, 1.x or >=1.0.0 <2.0.0") from None

    def match(self, version: "semantic_version.Version") -> bool:
        """Whether the version is in the range."""
        return any(clause.match(version) for clause in self._clauses)


def _clause(part: str) -> Any:
    import semantic_version

    part = _TILDE_PRE_RELEASE.sub(
        lambda m: f">={m[1]}.{m[2]}.{m[3]} <{m[1]}.{int(m[2]) + 1}.0", _OPERATOR_BLANK.sub(r"\1", " ".join(part.split()))
    )
    if not part:
        raise ValueError("an alternative is empty")
    clause = semantic_version.NpmSpec(part).clause
    return _with_pre_releases(clause) if _PRE_RELEASE.search(part) else clause


def _with_pre_releases(clause: Any) -> Any:
    from semantic_version.base import AllOf, AnyOf, Range

    if isinstance(clause, AllOf | AnyOf):
        return type(clause)(*(_with_pre_releases(each) for each in clause.clauses))
    if isinstance(clause, Range) and clause.prerelease_policy == Range.PRERELEASE_SAMEPATCH:
        return Range(clause.operator, clause.target, prerelease_policy=Range.PRERELEASE_NATURAL)
    return clause
