"""Helm: make objects of a chart in the repository with the official binary, as `helm template` does.

Works on a directory on disk: an export of the commit, or the working directory of `cvstate check`. Helm gets a copy of the chart and its values, and nothing
else: no network, no plugins, no cluster. A chart that gives something else each time is refused; what only an installing Helm could do is told.
"""

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cvstate_operator import errors
from cvstate_operator.objects.recipe import HelmRecipe
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import helm_chart, helm_documents, helm_repeat, helm_uses, helm_values, paths, yaml_reader
from cvstate_operator.render import program as runner
from cvstate_operator.render.files import DiskFiles, Files
from cvstate_operator.render.helm_chart import Chart
from cvstate_operator.render.helm_documents import Document, Hook
from cvstate_operator.render.helm_run import Limits, Runs, Values, located, to_json
from cvstate_operator.render.helm_uses import Uses

HELM_VERSION: Final = "v4.3.1"
"""The version that is tested and shipped. A test holds it in step with the go.mod it is built from."""
DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True, order=True)
class Notice:
    """What somebody should know though the render is good."""

    reason: str
    """LookupIgnored or HooksLeftOut."""
    message: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a chart gives."""

    text: bytes
    """A stream of YAML documents, each with a comment that names its template; empty if the chart makes no object."""
    notices: tuple[Notice, ...]


def template(
    root: Path, path: str, recipe: HelmRecipe, *, program: Path, files: Files | None = None, limits: Limits = DEFAULT_LIMITS
) -> Rendered:
    """Render the chart at `path` below `root`. The same repository and recipe give the same objects.

    Values: the chart's values.yaml, then `recipe.values_files` in order, then `recipe.values_documents` in order, then `recipe.values`; later ones win.

    Args:
        root: the repository, or as much of it as the chart needs.
        path: directory of the chart, relative to `root`.
        recipe: name, namespace and values; and what the target cluster serves, as far as it is known.
        program: the helm binary.
        files: where values files are read; by default `root`.
        limits: of this render.

    Raises:
        PathNotFoundError: there is no such directory.
        PathEscapesError: a path, a link or a schema leads out of the repository, or .Files out of the chart.
        RemoteBaseRefusedError: a schema is on the network.
        ToolMissingError: helm is not there.
        RenderTimeoutError: not finished in time.
        RenderTooLargeError: more files, memory or output than the limits.
        BuildFailedError: a file has a name that no file should have, a dependency is not in charts/, a function is not allowed, the result is another each time, or Helm says no.
    """
    chart = helm_chart.read(root, path, limits=limits.chart)
    values = _values(chart, recipe, files or DiskFiles(root))
    uses = helm_uses.find(chart, values, limits.chart)
    runs = Runs(recipe, values, program, limits)
    documents, hooks = helm_documents.without_hooks(runs.render(chart))
    _refuse_unreadable(chart, documents, recipe)
    helm_repeat.check(runs, chart, documents, uses, limits.chart)
    notices = (*_lookup_notices(chart, uses), *_hook_notices(chart, hooks, uses))
    return Rendered(helm_documents.joined(documents), notices)


def version(program: Path) -> str:
    """What the binary says its version is, like `v4.3.1`.

    Raises:
        ToolMissingError: Helm is not there, or is something else.
    """
    return runner.version([str(program), "version", "--template", "{{.Version}}"], wanted=f"helm {HELM_VERSION}")


def _values(chart: Chart, recipe: HelmRecipe, files: Files) -> Values:
    given = []
    for name in recipe.values_files:
        path = paths.inside(posixpath.join(chart.path, name), f"values file {name}")
        content = files.read(path)
        if content is None:
            raise errors.BuildFailedError(f"values file {one_line(path)} is not in the repository; correct spec.render.helm.valuesFiles")
        given.append((one_line(path, 200), content))
    return Values(tuple(given), tuple(map(to_json, helm_values.layers(recipe.values_documents, recipe.values))))


def _refuse_unreadable(chart: Chart, documents: Sequence[Document], recipe: HelmRecipe) -> None:
    """Refuse what our reader will not take, as long as it is known which template made it. Helm lets keys stand twice, for one."""
    for document in documents:
        _, faults = yaml_reader.read(document.text)
        if not faults:
            continue
        fault = faults[0]
        # A value that stands in the text without quotes can be a tag or an alias, which the fault names.
        said = f"{fault.reason} (what is wrong is not shown, since it may be secret)" if recipe.values_documents else fault.message
        kind = errors.RenderTooLargeError if fault.reason == errors.RenderTooLargeError.reason else errors.BuildFailedError
        raise kind(f"{one_line(located(chart, document.source), 200)}: what Helm made of it cannot be used: {one_line(said, 200)}")


def _lookup_notices(chart: Chart, uses: Uses) -> Iterator[Notice]:
    places = [helm_uses.place(chart, use) for use in uses.of({helm_uses.LOOKUP}) if not use.is_quoted]
    if places:
        shown = helm_uses.listed(places)
        yield Notice("LookupIgnored", f"lookup finds nothing in a render: {shown}; give what it looks for in values")


def _hook_notices(chart: Chart, hooks: Sequence[Hook], uses: Uses) -> Iterator[Notice]:
    """Tests are left out without a word: nobody expects an apply to run them."""
    told = [hook for hook in hooks if not helm_documents.TEST_EVENTS.issuperset(hook.events)]
    told.sort(key=lambda hook: not hook.is_running)  # stable: what would have done something comes first
    if told:
        shown = helm_uses.listed(f"{hook.name} ({', '.join(hook.events)}, {one_line(located(chart, hook.source))})" for hook in told)
        remedy = "to have one applied, remove helm.sh/hook from it"
        yield Notice("HooksLeftOut", f"hooks that only Helm could run were left out: {shown}; {remedy}")
    if uses.dropped:
        shown = helm_uses.listed(chart.where(file) for file in uses.dropped)
        yield Notice("HooksLeftOut", f"Helm leaves out objects with the hook crd-install: {shown}; move them to crds/")
