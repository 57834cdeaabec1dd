"""What is told of a ClusterState beside its status: the operator's metrics, and the words of the command line."""

from prometheus_client.parser import text_string_to_metric_families

from tests.support import commands
from tests.support.world import World


def metrics(world: World, name: str = "state") -> dict[str, float]:
    """Metrics of one ClusterState, by their name and the word of their label, as `cvstate_signals Unknown`."""
    code, answer = world.operator.http("/metrics")
    assert code == 200
    samples = [sample for family in text_string_to_metric_families(answer) for sample in family.samples]
    return {
        f"{one.name} {one.labels.get('result') or one.labels.get('reason') or ''}".strip(): one.value
        for one in samples
        if (one.labels.get("namespace"), one.labels.get("name")) == (world.name, name)
    }


def status(world: World, name: str = "state") -> str:
    """What `cvstate status NAME` prints."""
    return commands.run(world, "status", name, "-n", world.name, columns=200)[1]
