"""Run: `helm template` on a copy of a chart, and Helm's words turned into one of our errors."""

import json
import posixpath
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from cvstate_operator import errors
from cvstate_operator.objects.recipe import HelmRecipe
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import helm_chart, helm_documents, helm_values
from cvstate_operator.render import program as runner
from cvstate_operator.render.helm_chart import Chart
from cvstate_operator.render.helm_documents import Document

SPEC: Final = "spec.render.helm"
"""What values are called that are from no file."""
VENDOR: Final = "vendor dependencies: run helm dependency build and commit charts/"
NOT_ALLOWED: Final = "function not allowed: give the value in spec.render.helm.values"

_MEANING: Final[tuple[tuple[str, type[errors.BuildFailedError], str], ...]] = (
    ('function "env" not defined', errors.BuildFailedError, NOT_ALLOWED),
    ('function "expandenv" not defined', errors.BuildFailedError, NOT_ALLOWED),
    ("goroutine stack exceeds", errors.RenderTooLargeError, "a template calls itself without end; correct it"),
    (
        "release name check failed",
        errors.BuildFailedError,
        "the ClusterState's name is no name for a release; set spec.render.helm.releaseName to at most 53 letters, digits and -",
    ),
    ("socket: permission denied", errors.RemoteBaseRefusedError, "a render never asks the network; copy it into the repository"),
)
"""What Helm says, and what to do. Source: Helm v4.3.1, tried."""
_MISSING: Final = re.compile(r"missing in charts/ directory: (.*)")
_INCLUDE: Final = re.compile(r"(\S+:\d+):\d+: executing .{0,200}? error calling include: ")
_MAX_INCLUDES: Final = 100
"""Templates that include one another, in one error: beyond it, Helm gave up after 1,000."""
_TPL: Final = re.compile(r"error calling tpl")
_ADVICE: Final = "Use --debug flag to render out invalid YAML"
_LOCATION: Final = re.compile(r"[A-Za-z0-9_.-]+(?:/[^\s/:()\"'<>]+)+")
"""A template as Helm names it: `shop/charts/db/templates/x.yaml`."""
_ASIDE: Final = "\ue000"
"""Stands around what is put aside; a character for private use."""
_EXCERPT: Final = re.compile(r"(!!\w+ )`[^`]*`")
"""The beginning of a value that YAML's reader did not like."""


@dataclass(frozen=True, slots=True)
class Limits(runner.Limits):
    """What one render may use: the program, in all runs that it takes together, and the chart."""

    chart: helm_chart.Limits = field(default_factory=helm_chart.Limits)


@dataclass(frozen=True, slots=True)
class Values:
    """Values besides the chart's own, lowest first."""

    files: tuple[tuple[str, bytes], ...]
    """Path in the repository, and content."""
    documents: tuple[bytes, ...] = field(repr=False)
    """What the spec gives, as JSON."""

    @property
    def all(self) -> tuple[tuple[str, bytes], ...]:
        """Name for people and content of each, lowest first."""
        return (*self.files, *((SPEC, document) for document in self.documents))


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
            for number, (name, content) in enumerate(self._values.all):
                names[f"values-{number}"] = name
                (work / f"values-{number}").write_bytes(content)
            try:
                text = runner.run(
                    self._command(list(names)),
                    home=work,
                    cwd=work,
                    limits=replace(self._limits, seconds=self._remaining()),
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
        """One of our errors for what Helm said, with paths of the repository and without values that may be secret."""
        text = _one_error(failure.stderr)
        for place, name in sorted(names.items(), key=lambda item: -len(item[0])):
            text = text.replace(place, name)
        text = _located(text, chart, mask=lambda text: _without_values(text, self._recipe.values_documents))
        if found := _MISSING.search(text):
            return errors.BuildFailedError(f"{chart.where('Chart.yaml')}: {VENDOR} (missing: {one_line(found[1], 200)})")
        if text.count("error calling include: ") > _MAX_INCLUDES and (found := _INCLUDE.search(text)):
            return errors.BuildFailedError(f"{one_line(found[1], 200)}: a template includes itself without end; correct it")
        for words, kind, advice in _MEANING:
            if words in text:
                shown = "" if kind is errors.RenderTooLargeError else f" (helm: {runner.ending(text)})"
                return kind(f"{chart.where('Chart.yaml')}: {advice}{shown}")
        where = "" if chart.path in text else f"{chart.where('')}: "
        return errors.BuildFailedError(f"helm: {where}{runner.ending(text) or failure.message}")


def _one_error(said: str) -> str:
    """The last error of what Helm said, in one line; warnings may stand before it."""
    said = said.replace(_ADVICE, "")
    if "\nError: " in said:
        said = said[said.rfind("\nError: ") + 1 :]
    return " ".join(said.split()).removeprefix("Error: ")


def _located(text: str, chart: Chart, *, mask: Callable[[str], str]) -> str:
    """What Helm said, masked, but for its templates, which become paths in the repository: a value may well be the name of the chart."""
    places: list[str] = []

    def put_aside(found: re.Match[str]) -> str:
        place = located(chart, found[0])
        if place == found[0]:
            return place
        if place not in places:
            places.append(place)
        return f"{_ASIDE}{places.index(place)}{_ASIDE}"

    hidden = mask(_LOCATION.sub(put_aside, text.replace(_ASIDE, "")))
    return re.sub(f"{_ASIDE}([0-9]+){_ASIDE}", lambda found: places[int(found[1])], hidden)


def _without_values(text: str, documents: Sequence[tuple[str, str]]) -> str:
    """An error without anything that came from ConfigMaps and Secrets."""
    if documents and (found := _TPL.search(text)):
        # The parser of templates shows parts of the text, which may be a value.
        text = f"{text[: found.end()]} (the rest may hold a value, and is not shown)"
    return helm_values.masked(_EXCERPT.sub(r"\1value", text), documents)


def located(chart: Chart, name: str) -> str:
    """Path in the repository of what Helm calls by the chart's name; anything else as it is."""
    file = name.partition("/")[2]
    return posixpath.join(chart.path, file) if file in chart.files else name


def to_json(values: object) -> bytes:
    """As Helm reads it: JSON is YAML."""
    return json.dumps(values).encode()
