"""Every error this program raises on purpose, split by what the caller should do.

    CvstateError
    ├── TransientError          retry with back-off; may carry retry_after_seconds
    │   ├── NetworkError            no answer: refused, reset, name not found
    │   │   └── TargetUnreachableError  the cluster of spec.target does not answer
    │   ├── FencedError             another replica may be at work in our place
    │   ├── ServerTimeoutError      no answer in time, or the server gave up (504)
    │   ├── ServerError             5xx that may pass
    │   ├── ThrottledError          429
    │   ├── WebhookUnavailableError an admission webhook could not be asked
    │   ├── QuotaExceededError      403 of the quota controller
    │   ├── StaleError              409: the object changed since we looked; look again
    │   │   └── NotFoundError           404: the object is not there
    │   ├── FetchFailedError        Git could not be read now
    │   ├── FetchTimeoutError       Git did not answer within the limit
    │   ├── SourceStaleError        Git could not be read for longer than spec.source.git.staleAfter
    │   └── CacheLostError          the operator's own cache was damaged; it is made again
    ├── WaitingError            something else has to happen first; look again later
    │   ├── KindUnknownError        the API server does not serve this kind (yet)
    │   ├── ReferenceMissingError   a Secret or ConfigMap that the ClusterState names is not there
    │   ├── NamespaceMissingError   the namespace is not there (yet)
    │   ├── NamespaceTerminatingError
    │   └── TerminatingError        the object is on its way out
    └── TerminalError           the same input fails again; wait for a change
        ├── InvalidError            the API server refuses the object as it is
        ├── ImmutableError          a field that cannot be changed would have to
        ├── AdmissionDeniedError    an admission webhook or policy says no
        ├── ForbiddenError          RBAC says no
        │   ├── ImpersonationRefusedError   the operator may not act as the ClusterState's account
    │   └── TooManyNamespacesError      the account may look in some namespaces only, and they are too many
        ├── KubeConfigInvalidError          the kubeconfig of a target cluster cannot be used
        ├── UnauthorizedError       the API server does not know us (401)
        ├── OwnerConflictError      somebody else owns the object
        ├── FieldConflictError      somebody else holds a field, with another value
        ├── InvalidSpecError        a ClusterState that cannot work
        │   └── ServiceAccountRequiredError     it names no account, and the operator does not lend its own rights
        ├── URLNotAllowedError, InvalidURLError, AuthFailedError, TLSInvalidError, HostKeyUnknownError,
        │   HostKeyMismatchError, RefNotFoundError, PathNotFoundError, RepoTooLargeError, SourceInvalidError,
        │   VerificationFailedError, RewindRefusedError                     (source)
        ├── BuildFailedError        the render as a whole gave nothing usable
        │   ├── RenderTimeoutError, RenderTooLargeError       a limit was reached
        │   ├── RemoteBaseRefusedError, PluginRefusedError    it would have run foreign code or asked the network
        │   ├── PathEscapesError, SymlinkEscapesError         it would have read outside the repository
        │   ├── VariableMissingError                          a ${variable} without a value
        │   └── ToolMissingError                              kustomize or Helm is not installed
        ├── InternalError           a fault of ours
        └── SettingsError           the operator itself is set up wrong

`reason` is one fixed CamelCase word: the same in condition, event, metric label, log and docs. Messages are one line: what, where, for which
input, what to do; they never hold a secret or a response body.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class CvstateError(Exception):
    """Base of all; never raised itself."""

    reason: ClassVar[str] = "Error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class TransientError(CvstateError):
    """Worth another try with the same input."""

    reason = "Transient"

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        """What the server asked for (Retry-After); None if it asked for nothing."""


class NetworkError(TransientError):
    """The connection failed before an answer came."""

    reason = "NetworkError"


class TargetUnreachableError(NetworkError):
    """The cluster of spec.target could not be reached, so that nothing is known of it."""

    reason = "TargetUnreachable"


class FencedError(TransientError):
    """The other replicas have not heard of this one for too long: it may have been replaced, and writes nothing until it knows better."""

    reason = "Fenced"


class ServerTimeoutError(TransientError):
    """No answer within our limit, or the server says it ran out of time."""

    reason = "Timeout"


class ServerError(TransientError):
    """The server failed; the same request may work later."""

    reason = "ServerError"


class ThrottledError(TransientError):
    """The server asks for fewer requests."""

    reason = "Throttled"


class WebhookUnavailableError(TransientError):
    """An admission webhook with failurePolicy Fail did not answer."""

    reason = "WebhookUnavailable"


class QuotaExceededError(TransientError):
    """A ResourceQuota leaves no room."""

    reason = "QuotaExceeded"


class StaleError(TransientError):
    """The object is not the one we planned for (resourceVersion or uid differs)."""

    reason = "Stale"


class NotFoundError(StaleError):
    """There is no such object."""

    reason = "NotFound"


class FetchFailedError(TransientError):
    """The Git repository could not be read."""

    reason = "FetchFailed"


class FetchTimeoutError(FetchFailedError):
    """The Git server did not finish within `spec.source.git.timeout`."""

    reason = "FetchTimeout"


class SourceStaleError(TransientError):
    """The last successful look at the source is longer ago than the ClusterState allows."""

    reason = "SourceStale"


class CacheLostError(TransientError):
    """The operator's own cache was damaged; what it held is made again."""

    reason = "CacheLost"


class WaitingError(CvstateError):
    """Nothing is wrong with this object; something else comes first."""

    reason = "Waiting"


class KindUnknownError(WaitingError):
    """No such kind is served."""

    reason = "KindUnknown"


class ReferenceMissingError(WaitingError):
    """A Secret or ConfigMap that the ClusterState names is not there, or lacks a key."""

    reason = "ReferenceMissing"


class NamespaceMissingError(WaitingError):
    """The object's namespace does not exist."""

    reason = "NamespaceMissing"


class NamespaceTerminatingError(WaitingError):
    """The object's namespace is being deleted."""

    reason = "NamespaceTerminating"


class TerminatingError(WaitingError):
    """The object itself is being deleted; applying to it would be lost (the API server answers 200 all the same)."""

    reason = "Terminating"


class TerminalError(CvstateError):
    """The same input will fail again."""

    reason = "Terminal"


class InvalidError(TerminalError):
    """The API server does not accept the object."""

    reason = "Invalid"

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field
        """The field named by the server, as it spells it (`spec.ports[0].port`); empty if it names none."""


class ImmutableError(InvalidError):
    """A field that is fixed at creation has another value in Git."""

    reason = "Immutable"


class AdmissionDeniedError(InvalidError):
    """An admission webhook or a ValidatingAdmissionPolicy refuses the object."""

    reason = "AdmissionDenied"


class ForbiddenError(TerminalError):
    """RBAC refuses the request."""

    reason = "Forbidden"


class ImpersonationRefusedError(ForbiddenError):
    """The operator may not act in the name of the account that the ClusterState names."""

    reason = "ImpersonationRefused"


class TooManyNamespacesError(ForbiddenError):
    """The account may not see a kind in the whole cluster, and the namespaces in which it would be looked for one by one are too many."""

    reason = "TooManyNamespaces"


class KubeConfigInvalidError(TerminalError):
    """The kubeconfig of a target cluster is none, or asks for what is not allowed there."""

    reason = "KubeConfigInvalid"


class UnauthorizedError(TerminalError):
    """The API server does not accept our credentials."""

    reason = "Unauthorized"


class OwnerConflictError(TerminalError):
    """The object belongs to another owner: a ClusterState, an ApplySet, Flux, Argo CD or Helm."""

    reason = "OwnerConflict"


class FieldConflictError(TerminalError):
    """Another field manager holds a field that Git declares with another value."""

    reason = "FieldConflict"

    def __init__(self, message: str, *, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields


class InvalidSpecError(TerminalError):
    """The ClusterState says something that cannot be carried out."""

    reason = "InvalidSpec"


class ServiceAccountRequiredError(InvalidSpecError):
    """The ClusterState names no account, and the operator does not lend its own rights."""

    reason = "ServiceAccountRequired"


class URLNotAllowedError(InvalidSpecError):
    """The operator does not allow this kind of Git URL."""

    reason = "URLNotAllowed"


class AuthFailedError(TerminalError):
    """The Git server wants other credentials."""

    reason = "AuthFailed"


class TLSInvalidError(TerminalError):
    """The Git server's certificate is not accepted."""

    reason = "TLSInvalid"


class RefNotFoundError(TerminalError):
    """The branch, tag or commit is not in the repository."""

    reason = "RefNotFound"


class PathNotFoundError(TerminalError):
    """The path is not in the commit, or is no directory."""

    reason = "PathNotFound"


class RepoTooLargeError(TerminalError):
    """A limit on the size of what is read from Git was reached."""

    reason = "RepoTooLarge"


class SourceInvalidError(TerminalError):
    """What the ref leads to is no commit, or cannot be read."""

    reason = "SourceInvalid"


class InvalidURLError(InvalidSpecError):
    """The Git URL is no URL that could be meant."""

    reason = "InvalidURL"


class HostKeyUnknownError(TerminalError):
    """The SSH server shows a key that known_hosts does not list."""

    reason = "HostKeyUnknown"


class HostKeyMismatchError(TerminalError):
    """The SSH server shows another key than known_hosts lists for it."""

    reason = "HostKeyMismatch"


class VerificationFailedError(TerminalError):
    """The commit or tag is not signed as spec.source.git.verify demands."""

    reason = "VerificationFailed"

    def __init__(self, message: str, *, verdict: str = "SignatureInvalid") -> None:
        super().__init__(message)
        self.verdict = verdict
        """SignatureMissing or SignatureInvalid: the reason of the condition SourceVerified."""


class RewindRefusedError(TerminalError):
    """The commit does not descend from the one that was applied last."""

    reason = "RewindRefused"


class BuildFailedError(TerminalError):
    """Rendering ended without a result."""

    reason = "BuildFailed"


class RenderTimeoutError(BuildFailedError):
    """Rendering took longer than its limit."""

    reason = "RenderTimeout"


class RenderTooLargeError(BuildFailedError):
    """Rendering read or gave more than its limit."""

    reason = "RenderTooLarge"


class RemoteBaseRefusedError(BuildFailedError):
    """A kustomization refers to something on the network."""

    reason = "RemoteBaseRefused"


class PluginRefusedError(BuildFailedError):
    """A kustomization or chart would run foreign code."""

    reason = "PluginRefused"


class PathEscapesError(BuildFailedError):
    """A path leads out of where files may be read."""

    reason = "PathEscapes"


class SymlinkEscapesError(PathEscapesError):
    """A symbolic link leads out of the repository, or in a circle."""

    reason = "SymlinkEscapes"


class VariableMissingError(BuildFailedError):
    """A ${variable} has neither a value nor a default."""

    reason = "VariableMissing"


class ToolMissingError(BuildFailedError):
    """A program that this kind of render needs is not installed."""

    reason = "ToolMissing"


class InternalError(TerminalError):
    """A fault of the operator itself, kept to the object it happened with."""

    reason = "InternalError"


class SettingsError(TerminalError):
    """A setting of the operator is wrong."""

    reason = "SettingsInvalid"


def to_data(error: CvstateError) -> dict[str, Any]:
    """An error as JSON data, to be told from one process to another; see `from_data`."""
    more = {name: value for name, value in vars(error).items() if name != "message"}
    return {"type": type(error).__name__, "message": error.message, "more": more}


def from_data(data: Mapping[str, Any]) -> CvstateError:
    """The error that `to_data` wrote; TerminalError for a class that this module does not have."""
    kind = globals().get(str(data["type"]))
    known = kind if isinstance(kind, type) and issubclass(kind, CvstateError) else TerminalError
    return known(str(data["message"]), **data["more"])
