"""Databases and search: CloudNativePG, Zalando, Crunchy, Percona, MongoDB, Cassandra, Elastic."""

from typing import Final

from cvstate_operator.vital.health.library.entry import Entry, annotated, both, condition, entry, is_

_CNPG: Final = "postgresql.cnpg.io"
_UNRECOVERABLE: Final = (
    "Cluster is in an unrecoverable state, needs manual intervention",
    "Cluster cannot execute instance online upgrade due to missing architecture binary",
)

ENTRIES: Final[tuple[Entry, ...]] = (
    entry(
        _CNPG,
        "Cluster",
        current=both(is_("status.phase", "Cluster in healthy state"), condition("Ready", "True")),
        failed=is_("status.phase", *_UNRECOVERABLE),
        suspended=annotated("cnpg.io/hibernation", "on"),
        waits=is_("status.phase", "Waiting for user action", "Cluster upgrade delayed"),
        ready="phase is Cluster in healthy state and Ready is True",
        broken="its phase says that it needs manual intervention, or an image with another architecture",
        source="CloudNativePG, v1 ClusterStatus: phase (constants Phase...), condition Ready",
    ),
    entry(
        _CNPG,
        "Backup",
        current=is_("status.phase", "completed"),
        failed=is_("status.phase", "failed"),
        ready="phase is completed",
        broken="phase is failed",
        source="CloudNativePG, v1 BackupStatus: phase, error",
    ),
    *(
        entry(
            _CNPG,
            kind,
            current="self.status.applied == true",
            ready="applied is true",
            source=f"CloudNativePG, v1 {kind}Status: applied, message, observedGeneration",
        )
        for kind in ("Database", "Publication", "Subscription")
    ),
    entry(
        "acid.zalan.do",
        "postgresql",
        current=is_("status.PostgresClusterStatus", "Running"),
        failed=is_("status.PostgresClusterStatus", "CreateFailed", "UpdateFailed", "SyncFailed", "Invalid"),
        ready="PostgresClusterStatus is Running",
        broken="PostgresClusterStatus is CreateFailed, UpdateFailed, SyncFailed or Invalid",
        source="Zalando Postgres Operator, acid.zalan.do/v1 PostgresStatus",
    ),
    entry(
        "postgres-operator.crunchydata.com",
        "PostgresCluster",
        current="size(self.status.instances) > 0 && self.status.instances.all(i, i.replicas == i.?readyReplicas.orValue(0) "
        "&& i.replicas == i.?updatedReplicas.orValue(0))",
        suspended="self.spec.paused || self.spec.shutdown",
        ready="every set of instances is ready and updated in full",
        source="Crunchy Postgres for Kubernetes, v1beta1 PostgresClusterStatus: instances[].replicas, readyReplicas, updatedReplicas",
    ),
    *(
        entry(
            group,
            kind,
            current=is_("status.state", "ready"),
            failed=is_("status.state", "error"),
            suspended="self.spec.pause && self.status.state == 'paused'",
            ready="state is ready",
            broken="state is error",
            source=f"Percona, {kind}Status: state (AppState)",
        )
        for group, kind in (("pxc.percona.com", "PerconaXtraDBCluster"), ("psmdb.percona.com", "PerconaServerMongoDB"))
    ),
    entry(
        "mongodbcommunity.mongodb.com",
        "MongoDBCommunity",
        current=is_("status.phase", "Running"),
        failed=is_("status.phase", "Failed"),
        ready="phase is Running",
        broken="phase is Failed",
        source="MongoDB Community Operator, v1 MongoDBCommunityStatus: phase (Running, Pending, Failed)",
    ),
    entry(
        "cassandra.datastax.com",
        "CassandraDatacenter",
        current=both(is_("status.cassandraOperatorProgress", "Ready"), condition("Ready", "True")),
        suspended="self.spec.stopped",
        ready="cassandraOperatorProgress and the condition say Ready",
        source="cass-operator, v1beta1 CassandraDatacenterStatus: cassandraOperatorProgress, condition Ready",
    ),
    entry(
        "elasticsearch.k8s.elastic.co",
        "Elasticsearch",
        current=both(is_("status.phase", "Ready"), is_("status.health", "green")),
        failed=is_("status.phase", "Invalid"),
        suspended=annotated("eck.k8s.elastic.co/managed", "false"),
        ready="phase is Ready and health is green; yellow says that replicas of shards are missing",
        broken="phase is Invalid",
        source="Elastic Cloud on Kubernetes, v1 ElasticsearchStatus: phase, health",
    ),
    *(
        entry(
            f"{kind.lower()}.k8s.elastic.co",
            kind,
            current=is_("status.health", "green"),
            suspended=annotated("eck.k8s.elastic.co/managed", "false"),
            ready="health is green",
            source=f"Elastic Cloud on Kubernetes, {kind}Status: health",
        )
        for kind in ("Kibana", "Logstash", "Beat", "Agent")
    ),
)
