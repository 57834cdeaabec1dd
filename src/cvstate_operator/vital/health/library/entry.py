"""Entry: one kind of the library with its source; and the parts that its expressions are made of.

All parts are CEL about `self`. Where a field is missing they have no value, which `vital/health/custom_health` takes for no.
"""

from dataclasses import dataclass

from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.vital.health.custom_health import HealthRule

_NEWEST = (
    "(has(self.status.observedGeneration) || c.?observedGeneration.orValue(0) == 0 || c.observedGeneration >= self.metadata.generation)"
)
"""A condition of an older generation does not count, as in `vital/health/generic`; Go writes what is not set as 0."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of the library."""

    rule: HealthRule
    current_when: str
    """For docs/health.md, in words."""
    failed_when: str
    """For docs/health.md, in words; empty if the kind never says so."""
    source: str
    """Project, type and fields."""


def entry(
    group: str,
    kind: str,
    *,
    current: str,
    ready: str,
    source: str,
    failed: str = "",
    broken: str = "",
    suspended: str = "",
    waits: str = "",
) -> Entry:
    """One kind.

    Args:
        group: its API group.
        kind: its kind.
        current: when it is as asked for, in CEL.
        ready: the same in words.
        source: project, type and fields.
        failed: when its controller gave up, in CEL.
        broken: the same in words.
        suspended: when its spec says that it shall not be worked on, in CEL.
        waits: when its controller holds it back on purpose, and time alone says nothing against it, in CEL.
    """
    return Entry(HealthRule(GroupKind(group, kind), current, failed=failed, suspended=suspended, waits=waits), ready, broken, source)


def is_(field: str, *values: str) -> str:
    """A field, as `status.phase`, has one of these values."""
    return f"self.{field} == '{values[0]}'" if len(values) == 1 else f"self.{field} in [{_listed(values)}]"


def condition(kind: str, status: str, *reasons: str) -> str:
    """A condition has this status, and one of these reasons if there are any."""
    why = f" && c.reason in [{_listed(reasons)}]" if reasons else ""
    return f"self.status.conditions.exists(c, c.type == '{kind}' && c.status == '{status}'{why})"


def true(kind: str) -> str:
    """A condition is True, and speaks of the newest generation if it speaks of one."""
    return f"self.status.conditions.exists(c, c.type == '{kind}' && c.status == 'True' && {_NEWEST})"


def not_true(kind: str) -> str:
    """A condition is absent, or not True."""
    return f"!self.?status.?conditions.orValue([]).exists(c, c.type == '{kind}' && c.status == 'True')"


def annotated(name: str, value: str) -> str:
    """An annotation has this value."""
    return f"self.metadata.annotations['{name}'] == '{value}'"


def count(field: str, default: int = 0) -> str:
    """A number in the spec or status, as `status.readyReplicas`; `default` where it is missing, as Go leaves out zeros."""
    return "self.?" + field.replace(".", ".?") + f".orValue({default})"


def both(*parts: str) -> str:
    """All of them hold."""
    return " && ".join(f"({part})" for part in parts)


def either(*parts: str) -> str:
    """One of them holds."""
    return " || ".join(f"({part})" for part in parts)


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)
