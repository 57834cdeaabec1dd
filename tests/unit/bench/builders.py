"""Runs for tests of the benchmark."""

from bench.results import Record


def run(
    tool: str = "cvstate", seconds: float = 1.0, *, n: int = 1000, turn: int = 0, session: str = "s1", scenario: str = "S1", **rest: object
) -> Record:
    """A run that counts; `rest` are other fields of Record."""
    fields: dict[str, object] = {"figures": {"seconds": seconds}, "requests": {}, "faults": (), **rest}
    return Record(scenario=scenario, tool=tool, world="quiet", n=n, m=0, seed=7, session=session, turn=turn, **fields)  # type: ignore[arg-type]
