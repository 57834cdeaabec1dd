"""Run: `helm template` on a copy of a chart, and Helm's words turned into one of our errors."""

import json
import posixpath
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cvstate_operator import errors
from cvstate_operator.objects.recipe import HelmRecipe
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import helm_chart, helm_documents, helm_values
from cvstate_operator.render import program as runner
from cvstate_operator.render.helm_chart import Chart
from cvstate_operator.render.helm_documents import Document

MAX_MESSAGE_CHARACTERS: Final = 500
VENDOR: Final = "vendor dependencies: run helm dependency build and commit charts/"
NOT_ALLOWED: Final = "function not allowed: give the value in spec.render.helm.values"

_MEANING: Final[tuple[tuple[str, type[errors.BuildFailedError], str], ...]] = (
    ('function "env" not defined', errors.BuildFailedError, NOT_ALLOWED),
    ('function "expandenv" not defined', errors.BuildFailedError, NOT_ALLOWED),
    ("goroutine stack exceeds", errors.RenderTooLargeError, "a template calls itself without end; correct it"),
    ("socket: permission denied", errors.RemoteBaseRefusedError, "a render never asks the network; copy it into the repository"),
)
"""What Helm says, and what to do. Source: Helm v4.3.1, tried."""
_MISSING: Final = re.compile(r"missing in charts/ directory: (.*)")
_INCLUDE: Final = re.compile(r"(\S+:\d+):\d+: executing .{0,200}? error calling include: ")
_MAX_INCLUDES: Final = 100
"""Templates that include one another, in one error: beyond it, Helm gave up after 1,000."""
_ADVICE: Final = "Use --debug flag to render out invalid YAML"
_LOCATION: Final = re.compile(r"[A-Za-z0-9_.-]+(?:/[^\s/:()\"'<>]+)+")
"""A template as Helm names it: `shop/charts/db/templates/x.yaml`."""
_EXCERPT: Final = re.compile(r"(!!\w+ )`[^`]*`")
"""The beginning of a value that YAML's reader did not like."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one render may use."""

    seconds: float = 60.0
    """Wall clock, of all runs that it takes. The chart of `helm create` takes 0.1 s."""
    max_output_bytes: int = 64 * 2**20
    """YAML that is written; 5,000 Deployments are 20 MiB."""
    memory_bytes: int = runner.MEMORY_BYTES
    chart: helm_chart.Limits = field(default_factory=helm_chart.Limits)


@dataclass(frozen=True, slots=True)
class Values:
    """Values besides the chart's own, lowest first."""

    files: tuple[tuple[str, bytes], ...]
    """Path in the repository, and content."""
    document: bytes = field(repr=False)
    """Everything that the spec gives, as JSON."""


class Runs:
    """Renders of one recipe, within one time limit."""

    def __init__(self, recipe: HelmRecipe, values: Values, program: Path, limits: Limits) -> None:
        self._recipe = recipe
        self._values = values
        self._program = program
        self._limits = limits
        self._deadline = time.monotonic() + limits.seconds

    def render(self, chart: Chart) -> list[Document]:
        """The documents that Helm makes of a chart.

        Raises:
            BuildFailedError: Helm says no, or a limit was reached.
        """
        with tempfile.TemporaryDirectory() as home:
            work = Path(home)
            chart.write(work / "chart")
            names = {}
            for number, (name, content) in enumerate((*self._values.files, ("spec.render.helm", self._values.document))):
                names[f"values-{number}"] = name
                (work / f"values-{number}").write_bytes(content)
            try:
                text = runner.run(
                    self._command(list(names)),
                    home=work,
                    cwd=work,
                    seconds=self._remaining(),
                    max_output_bytes=self._limits.max_output_bytes,
                    memory_bytes=self._limits.memory_bytes,
                    environment={"HELM_NO_PLUGINS": "1"},
                )
            except errors.RenderTimeoutError as exc:
                raise self._too_slow() from exc
            except runner.ProgramFailedError as exc:
                raise self._translate(exc, chart, {str(work / file): name for file, name in names.items()} | names) from exc
        return helm_documents.parted(text)

    def _remaining(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._too_slow()
        return left

    def _too_slow(self) -> errors.RenderTimeoutError:
        return errors.RenderTimeoutError(f"helm did not finish within {self._limits.seconds:g} s; make the chart smaller")

    def _command(self, values: Sequence[str]) -> list[str]:
        recipe = self._recipe
        return [
            str(self._program),
            "template",
            f"--namespace={recipe.namespace}",
            "--include-crds",
            *([f"--kube-version={recipe.kube_version}"] if recipe.kube_version else ()),
            *(f"--api-versions={version}" for version in recipe.api_versions),
            *(f"--values={file}" for file in values),
            "--",
            recipe.release_name,
            "./chart",
        ]

    def _translate(self, failure: runner.ProgramFailedError, chart: Chart, names: dict[str, str]) -> errors.BuildFailedError:
        """One of our errors for what Helm said, in one line, with paths of the repository and without values that may be secret."""
        said = failure.stderr.replace(_ADVICE, "")
        said = said[said.rfind("\nError: ") + 1 :] if "\nError: " in said else said
        text = " ".join(said.split()).removeprefix("Error: ")
        for place, name in sorted(names.items(), key=lambda item: -len(item[0])):
            text = text.replace(place, name)
        text = helm_values.masked(_EXCERPT.sub(r"\1value", text), self._recipe.values_documents)
        text = _LOCATION.sub(lambda found: located(chart, found[0]), text)
        if found := _MISSING.search(text):
            return errors.BuildFailedError(f"{chart.where('Chart.yaml')}: {VENDOR} (missing: {one_line(found[1], 200)})")
        if text.count("error calling include: ") > _MAX_INCLUDES and (found := _INCLUDE.search(text)):
            return errors.BuildFailedError(f"{one_line(found[1], 200)}: a template includes itself without end; correct it")
        for words, kind, advice in _MEANING:
            if words in text:
                shown = "" if kind is errors.RenderTooLargeError else f" (helm: {one_line(text, MAX_MESSAGE_CHARACTERS)})"
                return kind(f"{chart.where('Chart.yaml')}: {advice}{shown}")
        if len(text) > MAX_MESSAGE_CHARACTERS:  # the cause stands at the end
            text = "…" + text[-MAX_MESSAGE_CHARACTERS + 1 :]
        where = "" if chart.path in text else f"{chart.where('')}: "
        return errors.BuildFailedError(f"helm: {where}{one_line(text, MAX_MESSAGE_CHARACTERS) or failure.message}")


def located(chart: Chart, name: str) -> str:
    """Path in the repository of what Helm calls by the chart's name; anything else as it is."""
    file = name.partition("/")[2]
    return posixpath.join(chart.path, file) if file in chart.files else name


def to_json(values: object) -> bytes:
    """As Helm reads it: JSON is YAML."""
    return json.dumps(values).encode()
