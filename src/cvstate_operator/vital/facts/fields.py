"""Fields: reading an object whose form nobody checked.

A custom resource may hold anything where a rule expects a count. Every read says what type it needs, and what is otherwise is told by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

LARGEST_INTEGER: Final = 2**63 - 1
"""Integers of the Kubernetes API are 64 bits at most (API conventions, "Primitive types")."""


class MalformedError(ValueError):
    """A field is not of the type that it should have; the message names it, and never its value."""


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and where it stands in the live object. A null field is an absent one, as for the API server."""

    values: Mapping[str, Any]
    path: str = ""
    """JSON pointer; empty for the live object itself."""

    @classmethod
    def of(cls, value: Any, path: str = "") -> "Fields":
        """The fields of `value`.

        Raises:
            MalformedError: it is no JSON object.
        """
        if not isinstance(value, dict):
            raise MalformedError(f"{path or 'the object'} is no map")
        return cls(value, path)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(name) is not None

    def below(self, name: str) -> "Fields":
        """The object in a field; without fields if it is absent."""
        value = self.values.get(name)
        return Fields.of({} if value is None else value, self._path(name))

    def items(self, name: str) -> tuple["Fields", ...]:
        """The objects in a list; empty if it is absent."""
        value = self.values.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise MalformedError(f"{self._path(name)} is no list")
        return tuple(Fields.of(item, f"{self._path(name)}/{index}") for index, item in enumerate(value))

    def texts(self, name: str) -> tuple[str, ...]:
        """The strings in a list; empty if it is absent."""
        value = self.values.get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise MalformedError(f"{self._path(name)} is no list of strings")
        return tuple(value)

    def text(self, name: str) -> str:
        """A string; empty if it is absent."""
        value = self.values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise MalformedError(f"{self._path(name)} is no string")
        return value

    def flag(self, name: str) -> bool:
        """A boolean; false if it is absent."""
        value = self.values.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise MalformedError(f"{self._path(name)} is no boolean")
        return value

    def count(self, name: str, default: int = 0) -> int:
        """A whole number from 0 to 2**63-1; `default` if it is absent."""
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_INTEGER:
            raise MalformedError(f"{self._path(name)} is no count")
        return value

    def generation(self, name: str) -> int | None:
        """A generation, also as decimal text; None if it is absent.

        Flux starts with -1. Argo Rollouts writes `status.observedGeneration` as text, for which kstatus gives an error.
        """
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < len(str(LARGEST_INTEGER)):
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_INTEGER:
            raise MalformedError(f"{self._path(name)} is no generation")
        return value

    def _path(self, name: str) -> str:
        return f"{self.path}/{name}"
