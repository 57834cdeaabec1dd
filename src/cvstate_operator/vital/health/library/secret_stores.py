"""Secrets that others keep: External Secrets, Sealed Secrets, HashiCorp's Vault Secrets Operator."""

from typing import Final

from cvstate_operator.vital.health.library.entry import Entry, both, condition, either, entry, true

_EXTERNAL: Final = "external-secrets.io"
_VAULT: Final = "secrets.hashicorp.com"
_SYNCED: Final = "self.status.syncedResourceVersion.startsWith(string(self.metadata.generation) + '-')"
"""The generation and a hash of labels and annotations (pkg/controllers/util, GetResourceVersion); it is all that tells of a generation."""
_ONCE: Final = "self.spec.refreshPolicy == 'CreatedOnce' || self.spec.refreshInterval in ['0', '0s', '0h', '0m', '0h0m0s']"
"""Nothing is read again, whatever the spec says since."""

ENTRIES: Final[tuple[Entry, ...]] = (
    entry(
        _EXTERNAL,
        "ExternalSecret",
        current=both(true("Ready"), either(_SYNCED, _ONCE)),
        ready="Ready is True, and syncedResourceVersion tells of the newest generation, unless it is read only once",
        source="External Secrets, v1 ExternalSecretStatus: condition Ready, syncedResourceVersion",
    ),
    entry(
        "external-secrets.io",
        "PushSecret",
        current=both(true("Ready"), _SYNCED),
        ready="Ready is True, and syncedResourceVersion tells of the newest generation",
        source="External Secrets, v1alpha1 PushSecretStatus: condition Ready, syncedResourceVersion",
    ),
    *(
        entry(
            _EXTERNAL,
            kind,
            current=true("Ready"),
            ready="Ready is True",
            source=f"External Secrets, v1 {kind}Status: condition Ready; a new one has no status",
        )
        for kind in ("SecretStore", "ClusterSecretStore", "ClusterExternalSecret")
    ),
    entry(
        "bitnami.com",
        "SealedSecret",
        current=true("Synced"),
        failed=condition("Synced", "False"),
        ready="Synced is True",
        broken="Synced is False: no key opens it, or the Secret belongs to somebody else",
        source="Sealed Secrets, v1alpha1 SealedSecretStatus: condition Synced",
    ),
    *(
        entry(
            _VAULT,
            kind,
            current="self.status.valid == true",
            ready="valid is true",
            source=f"Vault Secrets Operator, v1beta1 {kind}Status: valid",
        )
        for kind in ("VaultConnection", "VaultAuth")
    ),
    entry(
        _VAULT,
        "VaultStaticSecret",
        current=both(
            "self.status.lastGeneration >= self.metadata.generation",
            "!self.status.?conditions.orValue([]).exists(c, c.type in ['Ready', 'Healthy', 'SecretSynced'] && c.status == 'False')",
        ),
        ready="lastGeneration is the newest, and none of Ready, Healthy and SecretSynced is False",
        source="Vault Secrets Operator, v1beta1 VaultStaticSecretStatus: lastGeneration, conditions",
    ),
)
