"""Notice targets: who is told when a ClusterState is in trouble, and how. A list of them stands in the operator's settings file, under `notices`.

It is no part of a ClusterState: whoever may write one cannot have the operator post to an address of his own. What is secret (a URL that lets anybody post,
tokens, keys) stands in files, which are read anew each time. What becomes of a target is decided in `plan/incidents.py` and `telemetry/notices.py`.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from cvstate_operator.api.duration import LastingFor, Timeout, parse_seconds
from cvstate_operator.api.model import ApiModel
from cvstate_operator.errors import SettingsError

MAX_TARGETS: Final = 16
"""Each has a connection and a queue of its own."""
MAX_LABELS: Final = 16
MIN_REPEAT_SECONDS: Final = 300.0
"""Shortest pause between two reminders of the same incident that is not zero: with less they are noise."""

_NAME: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_URL: Final = r"^https?://[^\s]+$"
_FILE: Final = r"^/[^\x00-\x1f]+$"
_LABEL: Final = r"^[a-zA-Z_][a-zA-Z0-9_]{0,62}$"
"""Name of a label. Source: Prometheus data model; those that begin with two underscores are its own."""
_TAKEN_LABELS: Final = frozenset({"alertname", "namespace", "name", "reason", "severity", "area"})
"""Labels of every alert that the operator itself sets."""
_NAMESPACE: Final = r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?|([a-z0-9][-a-z0-9]{0,62})?\*)$"
"""Of a Namespace, or the beginning of one with a star behind it."""


class NoticeType(StrEnum):
    """What listens at a target's URL."""

    WEBHOOK = "Webhook"
    """JSON of our own (docs/notices.md), signed if there is a key."""
    SLACK = "Slack"
    """Slack's incoming webhooks, and whatever takes the same JSON: Mattermost, Rocket.Chat, Discord at `/slack`."""
    ALERTMANAGER = "Alertmanager"
    """The alerts API, version 2, of Prometheus' Alertmanager; groups, routes and silences are its own."""


class NoticeSeverity(StrEnum):
    """How much an incident matters; from low to high."""

    INFO = "Info"
    """Something waits for a person, and nothing is wrong."""
    WARNING = "Warning"
    """Git and the cluster cannot be brought together, or are not known to be; what runs goes on."""
    CRITICAL = "Critical"
    """What runs is not well, or nobody can see whether it is."""

    @property
    def rank(self) -> int:
        """0 for Info to 2 for Critical, to compare by."""
        return list(NoticeSeverity).index(self)


class MuteInWindows(StrEnum):
    """What is not told of while a change window of the ClusterState is closed."""

    CHANGES = "Changes"
    """What cannot be mended before the window opens, such as drift while repairs are held. It is told then, if it still is."""
    ALL = "All"
    """Nothing is told that begins in that time."""
    NOTHING = "Nothing"
    """Windows make no difference."""


def _check_repeat(text: str) -> str:
    if 0 < parse_seconds(text) < MIN_REPEAT_SECONDS:
        raise ValueError("must be 5m or longer, or 0s for no reminders")
    return text


def _check_label(name: str) -> str:
    if name in _TAKEN_LABELS or name.startswith("__"):
        raise ValueError(f"{name} is a label that has a meaning already; take another name")
    return name


RepeatInterval = Annotated[LastingFor, AfterValidator(_check_repeat)]
File = Annotated[str, Field(pattern=_FILE, max_length=1024)]
"""An absolute path: the directory that the operator was started in is nobody's choice."""
LabelName = Annotated[str, Field(pattern=_LABEL), AfterValidator(_check_label)]


class NoticeTarget(ApiModel):
    """One place that is told of incidents."""

    model_config = ConfigDict(
        extra="forbid"
    )  # settings are read by the version that they were written for: a typing error is no field of the future

    name: Annotated[str, Field(pattern=_NAME, max_length=63)] = Field(description="Its name, in logs; no two may have the same.")
    type: NoticeType = Field(description="What listens there: Webhook, Slack or Alertmanager.")
    url: Annotated[str, Field(pattern=_URL, max_length=2048)] | None = Field(
        None,
        description="Where notices are posted to; of an Alertmanager its address without the path of the API. Set url or urlFile.",
        repr=False,
    )
    url_file: File | None = Field(None, description="File that holds the URL, for one that is secret, as Slack's are.")
    headers_file: File | None = Field(
        None, description="File with headers for each request, one `Name: value` a line, such as Authorization."
    )
    secret_file: File | None = Field(
        None,
        description="File with the key that requests are signed with (HMAC-SHA256, header X-Cvstate-Signature). Only for type Webhook.",
    )
    ca_file: File | None = Field(None, description="File with the PEM certificates that the server's is signed by. Default: the system's.")
    min_duration: LastingFor = Field(
        "1m", description="How long a ClusterState has to be in trouble before it is told; time in which it is well counts against that."
    )
    repeat_interval: RepeatInterval = Field(
        "24h", description="Pause between reminders of an incident that goes on; 0s: none. An Alertmanager repeats by its own settings."
    )
    timeout: Timeout = Field("10s", description="How long one request may take.")
    severities: Annotated[tuple[NoticeSeverity, ...], Field(min_length=1)] = Field(
        tuple(NoticeSeverity), description="Incidents of which severity are told: Info, Warning, Critical. Default: all."
    )
    namespaces: tuple[Annotated[str, Field(pattern=_NAMESPACE, max_length=64)], ...] = Field(
        (), description="Namespaces of the ClusterStates that are told of; a * at the end stands for any rest. Default: all."
    )
    mute_in_windows: MuteInWindows = Field(
        MuteInWindows.CHANGES, description="What is not told while a change window is closed: Changes that wait for it, All, or Nothing."
    )
    labels: Annotated[dict[LabelName, Annotated[str, Field(max_length=253)]], Field(max_length=MAX_LABELS)] = Field(
        {}, description="Labels of every notice, for example cluster: prod, for a receiver that serves several clusters."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("set url or urlFile, one of the two")
        if self.url is not None and (fault := url_fault(self.url, self.type)):
            raise ValueError(f"url {fault}")
        if self.secret_file is not None and self.type is not NoticeType.WEBHOOK:
            raise ValueError(f"secretFile signs requests of type Webhook only; {self.type.value} checks no signature")
        return self

    def takes(self, namespace: str) -> bool:
        """Whether ClusterStates of this namespace are told of."""
        return not self.namespaces or any(
            namespace.startswith(pattern[:-1]) if pattern.endswith("*") else namespace == pattern for pattern in self.namespaces
        )


def url_fault(url: str, kind: NoticeType) -> str:
    """What is wrong with a URL that notices go to, for people and without repeating it; empty if nothing is. Where it leads is judged when it is asked."""
    if not re.fullmatch(_URL, url) or not url.isprintable():
        return "is none; write https://HOST:PORT/PATH on one line"
    authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    if "@" in authority:
        return "holds a user or password, which would be logged; put an Authorization header into headersFile"
    if "#" in url:
        return "has a fragment, which is never sent"
    if kind is NoticeType.ALERTMANAGER and ("?" in url or url.rstrip("/").endswith("/alerts")):
        return "must be the Alertmanager's address alone, with its path prefix if it has one; /api/v2/alerts is added"
    return ""


_TARGETS: Final = TypeAdapter(Annotated[tuple[NoticeTarget, ...], Field(max_length=MAX_TARGETS)])


def parse_targets(raw: Any) -> tuple[NoticeTarget, ...]:
    """Read what stands under `notices` in the settings file; None and an empty list are no targets.

    Raises:
        SettingsError: names every field that is wrong, and why, separated by `; `; values are not repeated, they may be secret.
    """
    try:
        targets = _TARGETS.validate_python(() if raw is None else raw)
    except ValidationError as exc:
        told = (f"{_place(error['loc'])}: {_say(error)}" for error in exc.errors(include_input=False, include_url=False))
        raise SettingsError("; ".join(told)) from exc
    if twice := sorted({one.name for one in targets if sum(other.name == one.name for other in targets) > 1}):
        raise SettingsError(f"notices: two targets are called {', '.join(twice)}; give each a name of its own")
    return targets


def _place(location: Iterable[str | int]) -> str:
    return "notices" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def _say(error: Mapping[str, Any]) -> str:
    if error["type"] == "string_pattern_mismatch":
        return f"does not match {error['ctx']['pattern']}"
    if error["type"] == "extra_forbidden":
        known = ", ".join(str(field.alias) for field in NoticeTarget.model_fields.values())
        return f"there is no such field; there are {known}"
    return str(error["msg"]).removeprefix("Value error, ")
