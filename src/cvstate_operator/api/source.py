"""ClusterState, `spec.source`: where the desired state comes from."""

import re
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from cvstate_operator.api.duration import Duration, Interval, Timeout, parse_seconds
from cvstate_operator.api.model import ApiModel, LocalReference, rule
from cvstate_operator.api.versions import VersionRange

URL_PATTERN: Final = r"^((https?|file)://[^\s@\x00-\x1f\x7f]+|ssh://([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[^\s@\x00-\x1f\x7f]+)$"
"""No password in the URL (it would end up in logs), no blanks, no control characters; a user name for ssh alone."""

_REF_NAME: Final = r"^[A-Za-z0-9_][A-Za-z0-9_./+-]*$"
_FULL_REF_NAME: Final = r"^refs/[A-Za-z0-9_./+-]+$"
_REF_FORBIDDEN: Final = re.compile(r"\.\.|//|/\.|\.lock$|\.lock/|/$|\.$")
_COMMIT: Final = r"^[0-9a-f]{40}$"
_VERSION_RANGE: Final = r"^[0-9A-Za-z.*^~<>=|, +-]+$"
PATH_PATTERN: Final = r"^[^/\\:\x00-\x1f][^\\\x00-\x1f]*$"
_GLOB: Final = r"^[^/\\\x00-\x1f][^\\\x00-\x1f]*$"


def _check_ref_name(name: str) -> str:
    """Source: git-check-ref-format(1), narrowed to printable ASCII."""
    if _REF_FORBIDDEN.search(name):
        raise ValueError("must not contain '..', '//' or '/.', nor end in '/', '.' or '.lock'")
    return name


def check_path(path: str) -> str:
    """Accept only paths that stay inside the repository."""
    if any(part in ("", "..") for part in path.rstrip("/").split("/")):
        raise ValueError("must stay inside the repository: relative, without '..' and empty parts")
    return path


def _check_range(text: str) -> str:
    VersionRange(text)
    return text


RefName = Annotated[str, Field(pattern=_REF_NAME, max_length=250), AfterValidator(_check_ref_name)]
RepositoryPath = Annotated[str, Field(pattern=PATH_PATTERN, max_length=1024), AfterValidator(check_path)]
Glob = Annotated[str, Field(pattern=_GLOB, max_length=256)]


class GitRef(ApiModel):
    """Which commit. If several are set: commit wins over name, name over semver, semver over tag, tag over branch (as in Flux)."""

    branch: RefName | None = Field(None, description="Newest commit of this branch. Default if nothing else is set: main.")
    tag: RefName | None = Field(None, description="The commit this tag points at.")
    semver: Annotated[str, Field(pattern=_VERSION_RANGE, max_length=128), AfterValidator(_check_range)] | None = Field(
        None,
        description="The tag with the highest version in this range, for example '>=1.2.0 <2.0.0' or '^1.2'. Pre-releases only if the range names one.",
    )
    name: Annotated[str, Field(pattern=_FULL_REF_NAME, max_length=250), AfterValidator(_check_ref_name)] | None = Field(
        None, description="A ref by its full name, for example refs/heads/main or refs/pull/420/head."
    )
    commit: Annotated[str, Field(pattern=_COMMIT)] | None = Field(None, description="This commit, by its full SHA-1 in lower case.")

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "[has(self.branch) ? self.branch : 'x', has(self.tag) ? self.tag : 'x', has(self.name) ? self.name : 'x'].all(n,"
                    " !n.contains('..') && !n.contains('//') && !n.contains('/.') && !n.endsWith('/') && !n.endsWith('.') && !n.endsWith('.lock'))",
                    "branch, tag and name must be valid Git names: no '..', '//' or '/.', not ending in '/', '.' or '.lock'",
                )
            ]
        }
    )

    @property
    def selector(self) -> str:
        """What is followed, for people and for comparing: `branch main`, `semver ^1.2`, `commit 4c1f…`."""
        for kind in ("commit", "name", "semver", "tag", "branch"):
            if value := getattr(self, kind):
                return f"{kind} {value}"
        return "branch main"


class VerifyMode(StrEnum):
    """What has to be signed."""

    HEAD = "HEAD"
    TAG = "Tag"
    TAG_AND_HEAD = "TagAndHEAD"


class Verify(ApiModel):
    """Signatures that must be there before anything is rendered."""

    mode: VerifyMode = Field(
        VerifyMode.HEAD,
        description="HEAD: the commit; Tag: the annotated tag; TagAndHEAD: both. Tag modes need ref.tag, ref.semver or a tag in ref.name.",
    )
    secret_ref: LocalReference = Field(description="Secret with public keys: *.asc (OpenPGP) and *.sshpub (SSH).")


class Webhook(ApiModel):
    """Who may tell us of a push."""

    secret_ref: LocalReference = Field(
        description="Secret whose key 'token' signs the deliveries (GitHub, Gitea, generic) or comes with them (GitLab)."
    )


class GitSource(ApiModel):
    """A Git repository."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "!has(self.staleAfter) || !has(self.interval) || duration(self.staleAfter) >= duration(self.interval) + duration(self.interval)",
                    "staleAfter must be twice the interval or longer: a source is not stale because nobody looked",
                )
            ]
        }
    )

    url: Annotated[str, Field(pattern=URL_PATTERN, max_length=2048)] = Field(
        description="Address of the repository: https://, ssh://, http://, or file:// where the operator allows it. No password in it; see secretRef."
    )
    ref: GitRef = Field(default_factory=GitRef, description="Which commit to take.")
    path: RepositoryPath = Field(
        ".",
        description="Directory in the repository. Relative, '.' is the whole repository.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule("!self.split('/').exists(part, part == '..')", "path must stay inside the repository: it may not contain '..'")
            ]
        },
    )
    include: list[Glob] = Field(
        [],
        description="Plain YAML: only these files, relative to the path, for example '**/*.yaml' or 'apps/*'. Empty: all *.yaml, *.yml and *.json.",
        max_length=64,
    )
    exclude: list[Glob] = Field([], description="Plain YAML: not these files; wins over include.", max_length=64)
    secret_ref: LocalReference | None = Field(
        None,
        description="Secret with credentials: username and password, or bearerToken, for https; identity, known_hosts and optionally password for ssh; "
        "ca.crt; tls.crt and tls.key.",
    )
    verify: Verify | None = Field(None, description="Signatures that must be there. What is not signed is never rendered.")
    webhook: Webhook | None = Field(None, description="Push notifications for this repository. Absent: only polling.")
    interval: Interval = Field("1m", description="How often to look for a new commit.")
    timeout: Timeout = Field("1m", description="How long one look may take before it is stopped and counted as failed; 10m at most.")
    stale_after: Duration | None = Field(
        None, description="Without a successful look for so long the source is stale: SourceReady is False with reason SourceStale."
    )
    allow_rewind: bool = Field(
        False, description="Take a commit that does not descend from the one applied last, as after a force-push. Otherwise it is refused."
    )

    @model_validator(mode="after")
    def _looks_before_it_is_stale(self) -> Self:
        if self.stale_after and parse_seconds(self.stale_after) < 2 * parse_seconds(self.interval):
            raise ValueError("staleAfter must be twice the interval or longer: a source is not stale because nobody looked")
        return self


class Source(ApiModel):
    """Where the desired state comes from."""

    git: GitSource = Field(description="A Git repository.")
