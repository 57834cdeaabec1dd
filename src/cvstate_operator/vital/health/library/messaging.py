"""Messaging: Strimzi and RabbitMQ."""

from typing import Final

from cvstate_operator.vital.health.library.entry import Entry, annotated, both, condition, entry, true

_GROUP: Final = "kafka.strimzi.io"
_PAUSED: Final = annotated("strimzi.io/pause-reconciliation", "true")

ENTRIES: Final[tuple[Entry, ...]] = (
    *(
        entry(
            _GROUP,
            kind,
            current=true("Ready"),
            failed=condition("NotReady", "True", "InvalidResourceException", "InvalidConfigurationException"),
            suspended=_PAUSED,
            ready="Ready is True",
            broken="NotReady is True since the resource or its configuration is invalid; other errors are tried again",
            source=f"Strimzi, {kind}Status: conditions Ready, NotReady (the reason is the exception), ReconciliationPaused",
        )
        for kind in ("Kafka", "KafkaConnect", "KafkaConnector", "KafkaTopic", "KafkaUser", "KafkaBridge", "KafkaMirrorMaker2")
    ),
    entry(
        _GROUP,
        "KafkaRebalance",
        current="self.status.conditions.exists(c, c.type in ['Ready', 'Stopped'] && c.status == 'True')",
        failed=condition("NotReady", "True"),
        suspended=_PAUSED,
        ready="Ready or Stopped is True; a proposal waits for its approval",
        broken="NotReady is True",
        source="Strimzi, KafkaRebalanceStatus: the state is the type of a condition",
    ),
    entry(
        "rabbitmq.com",
        "RabbitmqCluster",
        current=both(condition("ReconcileSuccess", "True"), condition("ClusterAvailable", "True"), condition("AllReplicasReady", "True")),
        ready="ReconcileSuccess, ClusterAvailable and AllReplicasReady are True",
        source="RabbitMQ Cluster Operator, v1beta1 RabbitmqClusterStatus: conditions; it has none that sums up",
    ),
)
