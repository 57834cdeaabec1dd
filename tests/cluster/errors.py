"""The one error of this package: what happened, and what to do about it."""

from __future__ import annotations


class ClusterError(Exception):
    """A cluster or one of its programs cannot be built, started or reached.

    Attributes:
        message: What happened, where, for which input. May have several lines when it quotes the end of a log.
        remedy: What the reader can do about it, one sentence.
    """

    def __init__(self, message: str, *, remedy: str) -> None:
        """Keep both parts; ``str()`` gives them joined, so a failing test shows the remedy too."""
        super().__init__(f"{message}\nRemedy: {remedy}")
        self.message = message
        self.remedy = remedy
