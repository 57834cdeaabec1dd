"""ClusterState: what a user declares, and what we report.

The CRD is generated from these models (`api/crd.py`), so every description here is read by users in `kubectl explain`. A field exists only if
the code behind it works. The API server enforces the same rules by the generated schema; the models check again, since objects may be older than it.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from cvstate_operator.api.duration import Duration
from cvstate_operator.errors import InvalidSpecError

URL_PATTERN: Final = r"^(https?|file)://[^\s@]+$"
"""No user information in the URL (it would end up in logs), no blanks, no control characters."""

_REF_NAME: Final = r"^[A-Za-z0-9_][A-Za-z0-9_./+-]*$"
_REF_FORBIDDEN: Final = re.compile(r"\.\.|//|/\.|\.lock$|\.lock/|/$|\.$")
_COMMIT: Final = r"^[0-9a-f]{40}$"
PATH_PATTERN: Final = r"^[^/\\:\x00-\x1f][^\\\x00-\x1f]*$"


def _check_ref_name(name: str) -> str:
    """Source: git-check-ref-format(1), narrowed to printable ASCII."""
    if _REF_FORBIDDEN.search(name):
        raise ValueError("must not contain '..', '//' or '/.', nor end in '/', '.' or '.lock'")
    return name


def _check_path(path: str) -> str:
    if any(part in ("", "..") for part in path.rstrip("/").split("/")):
        raise ValueError("must stay inside the repository: relative, without '..' and empty parts")
    return path


RefName = Annotated[str, Field(pattern=_REF_NAME, max_length=250), AfterValidator(_check_ref_name)]
RepositoryPath = Annotated[str, Field(pattern=PATH_PATTERN, max_length=1024), AfterValidator(_check_path)]


def _rule(expression: str, message: str) -> JsonDict:
    """One CEL rule of the CRD (x-kubernetes-validations)."""
    return {"rule": expression, "message": message}


class ApiModel(BaseModel):
    """Base of everything in the API: camelCase outside, immutable inside, unknown fields tolerated (rolling upgrades)."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class GitRef(ApiModel):
    """Which commit. If several are set, commit wins over tag, and tag over branch."""

    branch: RefName | None = Field(None, description="Newest commit of this branch. Default if nothing else is set: main.")
    tag: RefName | None = Field(None, description="The commit this tag points at.")
    commit: Annotated[str, Field(pattern=_COMMIT)] | None = Field(None, description="This commit, by its full SHA-1 in lower case.")

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                _rule(
                    "[has(self.branch) ? self.branch : 'x', has(self.tag) ? self.tag : 'x'].all(n, !n.contains('..') && !n.contains('//')"
                    " && !n.contains('/.') && !n.endsWith('/') && !n.endsWith('.') && !n.endsWith('.lock'))",
                    "branch and tag must be valid Git names: no '..', '//' or '/.', not ending in '/', '.' or '.lock'",
                )
            ]
        }
    )


class GitSource(ApiModel):
    """A Git repository."""

    url: Annotated[str, Field(pattern=URL_PATTERN, max_length=2048)] = Field(
        description="Address of the repository: https://, http://, or file:// where the operator allows it. No user name or password in it."
    )
    ref: GitRef = Field(default_factory=GitRef, description="Which commit to take.")
    path: RepositoryPath = Field(
        ".",
        description="Directory in the repository; all *.yaml, *.yml and *.json files below it are read. Relative, '.' is the whole repository.",
        json_schema_extra={
            "x-kubernetes-validations": [
                _rule("!self.split('/').exists(part, part == '..')", "path must stay inside the repository: it may not contain '..'")
            ]
        },
    )
    interval: Duration = Field("1m", description="How often to look for a new commit.")
    timeout: Duration = Field("1m", description="How long one look may take before it is stopped and counted as failed.")


class Source(ApiModel):
    """Where the desired state comes from."""

    git: GitSource = Field(description="A Git repository.")


class Prune(ApiModel):
    """What happens to objects that left Git."""

    enabled: bool = Field(True, description="Delete objects that are no longer in Git. Never done after a failed, partial or empty render.")
    protected_kinds: list[str] = Field(
        ["Namespace", "PersistentVolumeClaim", "CustomResourceDefinition"],
        description="Kinds that are kept when they leave Git, because other objects or data go with them.",
        max_length=64,
    )


class ClusterStateSpec(ApiModel):
    """What the cluster should look like, and how to get there."""

    interval: Duration = Field(
        "10m", description="Full resync: every object is listed and compared again. Between resyncs watches report drift at once."
    )
    source: Source = Field(description="Where the desired state comes from.")
    prune: Prune = Field(default_factory=Prune, description="What happens to objects that left Git.")


class ConditionStatus(ApiModel):
    """One condition (metav1.Condition)."""

    type: str = Field(description="Ready, SourceReady, Drifted; Reconciling and Stalled only while True.")
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})] = Field(description="True, False or Unknown.")
    reason: str = Field(description="One fixed CamelCase word, explained in docs/reasons.md.")
    message: str = Field(description="For people: what, where, and what to do.")
    observed_generation: int | None = Field(None, description="Generation of the spec this speaks of.")
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = Field(
        description="When the status last changed."
    )


class SourceStatus(ApiModel):
    """The newest commit that was read."""

    revision: str = Field(description="Ref and commit, as in main@sha1:4c1f….")
    commit_time: str = Field(description="When the commit was made.")
    fetched_at: str = Field(description="When this commit was first fetched.")


class DriftSample(ApiModel):
    """One field that is not as declared."""

    object: str = Field(description="The object, as in apps/Deployment/web/api.")
    path: str = Field(description="JSON pointer of the field.")
    manager: str = Field(description="Field manager that wrote it.")


class DriftStatus(ApiModel):
    """Drift that is open, that is found and not repaired yet."""

    objects: int = Field(description="Objects with drift.")
    fields: int = Field(description="Fields that drifted.")
    sample: list[DriftSample] = Field(description="The first few.", max_length=20)


class ProblemStatus(ApiModel):
    """One file, document or object that could not be brought into the cluster."""

    reason: str = Field(description="One fixed CamelCase word, explained in docs/reasons.md.")
    message: str = Field(description="What is wrong, and what to do.")
    file: str | None = Field(None, description="Path in the repository.")
    document: int | None = Field(None, description="Number of the YAML document in the file, from 1.")
    object: str | None = Field(None, description="The object, as in apps/Deployment/web/api.")
    field: str | None = Field(None, description="Path of the field to blame.")


class InventoryStatus(ApiModel):
    """The objects that belong to this ClusterState; they carry the ApplySet label."""

    objects: int = Field(description="How many there are in the cluster.")
    digest: str = Field(description="Digest of the desired objects: equal digests, equal desired state.")


class ClusterStateStatus(ApiModel):
    """What is, as far as we know."""

    observed_generation: int | None = Field(None, description="Generation of the spec that was last acted on.")
    last_handled_reconcile_at: str | None = Field(
        None, description="The value of the annotation reconcile.cvstate.io/requestedAt that was last handled."
    )
    conditions: list[ConditionStatus] | None = Field(
        None, description="What is true now.", json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    )
    source: SourceStatus | None = Field(None, description="The newest commit that was read.")
    last_attempted_revision: str | None = Field(None, description="The revision that was last tried.")
    last_applied_revision: str | None = Field(None, description="The revision that was last applied without a problem.")
    inventory: InventoryStatus | None = Field(None, description="The objects that belong to this ClusterState.")
    drift: DriftStatus | None = Field(None, description="Drift that is open now; absent if there is none.")
    problems: list[ProblemStatus] | None = Field(
        None, description="What could not be done, sorted by file; Ready counts them all.", max_length=20
    )


def parse_spec(raw: Mapping[str, Any]) -> ClusterStateSpec:
    """Read a spec as it came from the API server.

    Raises:
        InvalidSpecError: names every field that is wrong, and why; values are not repeated, they may be secret.
    """
    try:
        return ClusterStateSpec.model_validate(raw)
    except ValidationError as exc:
        faults = "; ".join(f"spec.{'.'.join(map(str, e['loc']))}: {_say(e)}" for e in exc.errors(include_input=False, include_url=False))
        raise InvalidSpecError(f"{faults}; correct the ClusterState") from exc


def _say(error: Any) -> str:
    if error["type"] == "string_pattern_mismatch":
        return f"does not match {error['ctx']['pattern']}"
    return str(error["msg"]).removeprefix("Value error, ")
