"""Questions: what ClusterStates want to know of a ref, and what its server said, to be shared by all that follow it. Pure but for the locks they stand in line at."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from cvstate_operator import errors
from cvstate_operator.api.source import VerifyMode

LONGEST_ASKED_SECONDS: Final = 600.0
"""A server that asks for a longer pause is asked again after this one all the same."""


class Demand(NamedTuple):
    """What is asked of signatures."""

    mode: VerifyMode
    keys: tuple[tuple[str, str], ...]
    """Names and texts."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a server said of one ref, to be shared by all that follow it."""

    began: float
    """Monotonic seconds."""
    found: Mapping[str, Any]
    error: errors.CvstateError | None
    patience_seconds: float
    """Of whoever asked. That it took too long for him is no news for one who has more."""

    @property
    def until(self) -> float:
        """The server asked for peace until then (Retry-After), whoever wants to know what."""
        asked = self.error.retry_after_seconds if isinstance(self.error, errors.TransientError) else None
        return self.began + min(asked or 0.0, LONGEST_ASKED_SECONDS)

    def will_do(self, want: "Want") -> bool:
        """Whether one who asks need not have the server asked anew."""
        is_hasty = isinstance(self.error, errors.FetchTimeoutError) and self.patience_seconds < want.patience_seconds
        return max(self.began, self.until) >= want.since and not is_hasty


@dataclass(slots=True, eq=False)
class Want:
    """What one ClusterState wants to know of a ref."""

    since: float
    """What the server said before that will not do (monotonic seconds)."""
    patience_seconds: float
    """How long a look may take."""
    details: Mapping[str, Any]
    """For the child, but for what is asked of signatures; see `fetch.handle`."""
    demand: Demand | None = None
    look: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, Any] | None = None
    """None until there is one."""

    def take(self, look: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """This is the answer."""
        self.look, self.answer = look, answer

    @property
    def is_lacking(self) -> bool:
        """Only the server could tell, if it is asked on behalf of this one."""
        return bool((self.answer or {}).get("error", {}).get("type") == errors.FetchFailedError.__name__)

    def result(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The look, and what more there is to say of it.

        Raises:
            CvstateError: the commit is not acceptable.
        """
        answer = self.answer or {}
        if error := answer.get("error"):
            raise errors.from_data(error)
        return self.look, answer.get("ok", {})


@dataclass(slots=True)
class Line:
    """Everyone who waits for an answer about the same ref. Who is first asks for all, so that a push costs one child, however many follow the ref."""

    turns: dict[str, asyncio.Lock] = field(default_factory=dict)
    """By namespace: who asks may have to wait for other looks of his namespace, and that is no concern of others."""
    wants: list[Want] = field(default_factory=list)
