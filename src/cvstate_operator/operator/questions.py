"""The questions of one ClusterState: signals, SLOs and causes are asked for beside its passes, a batch at a time, so that a slow Prometheus delays no repair.

What is asked, and when it is due, the pipeline says; the actor asks here before each pass, and is woken by the answers.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.reconcile.pipeline import Pipeline

REST_SECONDS: Final = 10.0
"""Nothing is asked for so long after a fault of ours."""

_log = logging.getLogger(__name__)


class Questions:
    """At most one batch is under way."""

    def __init__(self, pipeline: Pipeline, *, wake: Callable[[], None], label: str, about: Callable[[], Mapping[str, str]]) -> None:
        """
        Args:
            pipeline: what asks.
            wake: called when answers are there.
            label: of the ClusterState, for the name of the task.
            about: fields of log lines.
        """
        self._pipeline = pipeline
        self._wake = wake
        self._label = label
        self._about = about
        self._task: asyncio.Task[bool] | None = None
        self._rest_until = 0.0
        self.due_at: float | None = None
        """When to go on, by the event loop's clock; None if there is nothing to ask, or an answer is awaited."""

    @property
    def under_way(self) -> Iterator[asyncio.Task[bool]]:
        """What has to be ended with the ClusterState."""
        return (task for task in (self._task,) if task)

    def hold(self) -> None:
        """Ask for nothing more until `go_on`; what is under way ends by itself."""
        self.due_at = None

    def go_on(self, spec: ClusterStateSpec) -> bool:
        """Take answers in that are there, and ask for what is due; whether there is news that is worth a pass."""
        is_news = self._taken_in()
        now, due = _now(), None if self._task else self._pipeline.ask_at(spec)
        due = max(due, self._rest_until) if due is not None else None
        if due is not None and now >= due:
            self._task, due = asyncio.create_task(self._pipeline.ask(spec), name=f"ask {self._label}"), None
            self._task.add_done_callback(lambda task: self._wake())
        self.due_at = due
        return is_news

    def _taken_in(self) -> bool:
        if self._task is None or not self._task.done():
            return False
        task, self._task = self._task, None
        try:
            return task.result()
        except Exception:  # repairs go on, whatever becomes of questions
            _log.exception("internal error while asking, trying again", extra=self._about())
            self._rest_until = _now() + REST_SECONDS
            return False


def _now() -> float:
    return asyncio.get_running_loop().time()
