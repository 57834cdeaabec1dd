"""How large a run is, and how long it may take."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Parameters:
    """How large and how long."""

    n: int = 1000
    """Declared objects."""
    m: int = 0
    """Objects of the declared kinds that nobody declares, besides the bystanders."""
    variant: str = ""
    """Which form of the scenario, one of its VARIANTS; empty for a scenario that has only one."""
    seed: int = 7
    rounds: int = 10
    """How often a scenario that measures single events makes one."""
    changes: int = 1
    """Objects that change in each round."""
    drift_seconds: float = 30.0
    """How long somebody changes what is declared, in scenarios about drift; at most 120."""
    idle_seconds: float = 120.0
    """How long an idle tool is watched at least; less than its `period_seconds`, since full looks are measured apart."""
    rest_seconds: float = 3.0
    """Idle time before anything is measured, so that work that was left over is done."""
    patience_seconds: float = 600.0
    """How long anything may take before the run is given up."""

    def settings(self) -> Mapping[str, str]:
        """Return all of them as text, as a record keeps them."""
        return {name: str(value) for name, value in asdict(self).items()}

    @classmethod
    def of_settings(cls, settings: Mapping[str, str]) -> Self:
        """Return what `settings` were made from; what they do not say is as by default."""
        known = asdict(cls())
        return cls(**{name: type(known[name])(text) for name, text in settings.items() if name in known})
