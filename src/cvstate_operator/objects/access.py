"""Access: what a ClusterState's Secrets give it for its source. Values are secret: they are never shown, logged or put on a command line."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Access:
    """Credentials and trusted keys of one look at a source."""

    secret: str = ""
    """`namespace/name` of the Secret with credentials; empty for none. Repositories are cached by it: who may not read one Secret does not get at what
    was fetched with it."""
    credentials: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Its data."""
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Data of the Secret with public keys, if signatures are asked for."""
    namespace: str = ""
    """Who asks: fetches at a time are counted by it."""

    @property
    def keys_digest(self) -> str:
        """Differs when a key does; empty without keys."""
        return _digest(self.keys)

    @property
    def credentials_digest(self) -> str:
        """Differs when a credential does; empty without credentials."""
        return _digest(self.credentials)


def _digest(data: Mapping[str, bytes]) -> str:
    parts = "".join(f"{name}\0{hashlib.sha256(value).hexdigest()}\n" for name, value in sorted(data.items()))
    return hashlib.sha256(parts.encode()).hexdigest()[:16] if parts else ""
