"""Conditions: `status.conditions` of an object.

Source: Kubernetes API conventions, "Typical status properties"; the type metav1.Condition.
"""

from dataclasses import dataclass

from cvstate_operator.vital.facts.fields import Fields, MalformedError

TRUE = "True"
FALSE = "False"
UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; what is absent is empty."""

    type: str
    status: str
    reason: str
    message: str
    generation: int | None
    """Of the spec that it speaks of; None if it does not say."""

    @property
    def told(self) -> str:
        """What it says, for people: its message, else its reason, else its type and status."""
        return self.message or self.reason or f"{self.type} is {self.status or 'not told'}"


@dataclass(frozen=True, slots=True)
class Conditions:
    """All conditions of an object, in its order."""

    entries: tuple[Condition, ...]

    @classmethod
    def of(cls, status: Fields) -> "Conditions":
        """Those in `status.conditions`.

        Entries without a type are left out: some kinds keep another list under this name (ClusterServiceVersion: a history of phases).

        Raises:
            MalformedError: they are not a list of objects with texts.
        """
        return cls(tuple(_condition(item) for item in status.items("conditions") if item.has("type")))

    def find(self, kind: str) -> Condition | None:
        """The condition of this type; None if there is none.

        Raises:
            MalformedError: it is there more than once, and says different things. Which one is the newest is nowhere promised.
        """
        found = [entry for entry in self.entries if entry.type == kind]
        if len({entry.status for entry in found}) > 1:
            raise MalformedError(f"condition {kind} is there twice, with different values")
        return found[0] if found else None

    def true(self, kind: str) -> Condition | None:
        """The condition of this type if it is True."""
        found = self.find(kind)
        return found if found and found.status == TRUE else None


def _condition(item: Fields) -> Condition:
    generation = item.generation("observedGeneration") or None  # Go writes what is not set as 0
    return Condition(item.text("type"), item.text("status"), item.text("reason"), item.text("message"), generation)
