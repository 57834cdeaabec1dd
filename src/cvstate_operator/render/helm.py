"""Helm: make objects of a chart in the repository with the official binary, as `helm template` does.

Works on a directory on disk: an export of the commit, or the working directory of `cvstate check`. Helm gets a copy of the chart and its values, and nothing
else: no network, no plugins, no cluster. A chart that gives something else each time is refused; what only an installing Helm could do is told.
"""

import posixpath
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cvstate_operator import errors
from cvstate_operator.objects.recipe import HelmRecipe
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import helm_chart, helm_documents, helm_scan, helm_schema, helm_values
from cvstate_operator.render import program as runner
from cvstate_operator.render.export import LFS_POINTER
from cvstate_operator.render.files import DiskFiles, Files
from cvstate_operator.render.helm_chart import Chart
from cvstate_operator.render.helm_documents import Document, Hook
from cvstate_operator.render.helm_run import NOT_ALLOWED, Limits, Runs, Values, located, to_json

HELM_VERSION: Final = "v4.3.1"
"""The version that is tested and shipped. A test holds it in step with the go.mod it is built from."""

FORBIDDEN: Final = frozenset({"env", "expandenv", "getHostByName"})
"""They ask the machine, not the repository. Helm has the first two removed, and gives an empty text for the third."""
CHANGING: Final = frozenset(
    {
        *("now", "ago", "date", "dateInZone", "date_in_zone", "htmlDate", "htmlDateInZone"),
        *("randAlpha", "randAlphaNum", "randAscii", "randBytes", "randInt", "randNumeric", "shuffle", "uuidv4"),
        *("bcrypt", "encryptAES", "genCA", "genCAWithKey", "genPrivateKey", "genSelfSignedCert", "genSelfSignedCertWithKey"),
        *("genSignedCert", "genSignedCertWithKey", "htpasswd"),
    }
)
"""Functions that may give something else each time. Source: sprig v3, functions.go, and the code of those it names."""
UNORDERED: Final = frozenset({"keys", "values"})
"""Lists in the order of a Go map, which is another each time unless the template sorts them: two entries are swapped once in 8 times (measured)."""
ANOTHER_DAY: Final = b'(toDate "2006-01-02" "2001-02-03")'
"""What `now` is from the second run on: two runs within a second would show the same day."""
DEFAULT_LIMITS: Final = Limits()
MAX_NAMED: Final = 5
"""Places or objects that one message names."""

_VERSION_SECONDS: Final = 20.0
_TEMPLATE: Final = re.compile(r"(?:^|/)templates/")
_LOOKUP: Final = "lookup"
_FILE_OUTSIDE: Final = re.compile(rb"""\.Files\.(?:Get|GetBytes|Lines|Glob)[ \t]+["`](?:/|(?:[^"`\n]{0,1000}/)?\.\./)""")
_CRD_INSTALL: Final = re.compile(rb"""helm\.sh/hook["']?[ \t]*:[ \t]*["']?[ \t]*crd-install\b""")
"""A hook of Helm 2, with which Helm leaves an object out without a word."""


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
    """A stream of YAML documents, each with a comment that names its template."""
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class Use:
    """A function that a template calls."""

    name: str
    file: str
    """In the chart."""
    line: int
    is_quoted: bool
    """In a text that may be a template for `tpl`."""


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
        BuildFailedError: a dependency is not in charts/, a function is not allowed, the result is another each time, or Helm says no.
    """
    chart = helm_chart.read(root, path, limits=limits.chart)
    values = _values(chart, recipe, files or DiskFiles(root))
    uses, dropped = _scan(chart, values, limits)
    _refuse_forbidden(chart, uses)
    runs = Runs(recipe, values, program, limits)
    documents, hooks = helm_documents.without_hooks(runs.render(chart))
    _check_repeatable(runs, chart, documents, uses, limits)
    notices = (*_lookup_notices(chart, uses), *_hook_notices(chart, hooks, dropped))
    return Rendered(helm_documents.joined(documents), notices)


def version(program: Path) -> str:
    """What the binary says its version is, like `v4.3.1`.

    Raises:
        ToolMissingError: Helm is not there, or is something else.
    """
    command = [str(program), "version", "--template", "{{.Version}}"]
    with tempfile.TemporaryDirectory() as home:
        try:
            told = runner.run(command, home=Path(home), cwd=Path(home), seconds=_VERSION_SECONDS, max_output_bytes=4096)
        except runner.ProgramFailedError as exc:
            raise errors.ToolMissingError(f"{program} does not tell a version; install helm {HELM_VERSION} there") from exc
    return one_line(told.decode(errors="replace").strip(), 40)


def _values(chart: Chart, recipe: HelmRecipe, files: Files) -> Values:
    given = []
    for name in recipe.values_files:
        path = helm_chart.inside(posixpath.join(chart.path, name), f"values file {name}")
        content = files.read(path)
        if content is None:
            raise errors.BuildFailedError(f"values file {one_line(path)} is not in the repository; correct spec.render.helm.valuesFiles")
        _refuse_pointer(one_line(path, 200), content)
        given.append((one_line(path, 200), content))
    return Values(tuple(given), to_json(helm_values.merged(recipe.values_documents, recipe.values)))


# -- what is seen before anything runs -----------------------------------------------------------------------------------


def _scan(chart: Chart, values: Values, limits: Limits) -> tuple[list[Use], list[str]]:
    """Functions that matter, in templates and in texts that could be templates for `tpl`; and templates with hooks that Helm forgets."""
    names = FORBIDDEN | CHANGING | UNORDERED | {_LOOKUP}
    uses, dropped = list[Use](), list[str]()

    def look(file: str, content: bytes) -> bytes:
        _refuse_pointer(chart.where(file), content)
        is_template = _TEMPLATE.search(file) is not None
        if posixpath.basename(file) == helm_schema.SCHEMA_FILE:
            helm_schema.check(content, chart.where(file))
        if is_template:
            _refuse_outside(chart, file, content)
            if _CRD_INSTALL.search(content):
                dropped.append(file)
        uses.extend(Use(call.name, file, call.line, call.is_quoted or not is_template) for call in helm_scan.calls(content, names))
        return content

    chart.changed(look, limits.chart)
    for file, content in (*values.files, ("spec.render.helm", values.document)):
        uses.extend(Use(call.name, file, call.line, True) for call in helm_scan.calls(content, names))
    return uses, dropped


def _refuse_pointer(where: str, content: bytes) -> None:
    """To Helm it would be a map with the key `version`."""
    if content.startswith(LFS_POINTER):
        raise errors.BuildFailedError(f"{where} is a Git LFS pointer, not the file itself; commit the file without LFS")


def _refuse_outside(chart: Chart, file: str, content: bytes) -> None:
    """Helm would give an empty text for the file, and the render would be smaller than it was meant."""
    if found := _FILE_OUTSIDE.search(content):
        line = content.count(b"\n", 0, found.start()) + 1
        raise errors.PathEscapesError(f"{chart.where(file)}:{line}: .Files reads only what is in the chart; move the file into it")


def _refuse_forbidden(chart: Chart, uses: Iterable[Use]) -> None:
    for use in uses:
        # A dashboard may hold a text like {{env}}; if it is a template after all, Helm refuses it, but not getHostByName.
        if use.name in FORBIDDEN and (not use.is_quoted or use.name == "getHostByName"):
            raise errors.BuildFailedError(f"{_place(chart, use)}: {NOT_ALLOWED} instead of {use.name}")


# -- the same each time ------------------------------------------------------------------------------------------------


def _check_repeatable(runs: Runs, chart: Chart, documents: list[Document], uses: Sequence[Use], limits: Limits) -> None:
    """Render again if the chart uses functions that may give something else: on another day, and with lists in two orders.

    Values of a map cannot be sorted, so that their order is only likely to be seen: two of them slip through once in 40 times.

    Raises:
        BuildFailedError: an object is not the same.
    """
    names = {use.name for use in uses}
    if names.isdisjoint(CHANGING | UNORDERED):
        return
    variants = [_another_day] if names.isdisjoint(UNORDERED) else [_in_order, _in_reverse]
    for variant in (*variants, *([_in_reverse] if "values" in names else ())):
        again, _hooks = helm_documents.without_hooks(runs.render(chart.changed(variant, limits.chart)))
        if again != documents and (found := list(helm_documents.differences(documents, again))):
            raise errors.BuildFailedError(_not_repeatable(chart, found, uses))


def _another_day(file: str, content: bytes) -> bytes:
    return helm_scan.replaced(content, "now", ANOTHER_DAY) if _TEMPLATE.search(file) else content


def _in_order(file: str, content: bytes) -> bytes:
    return helm_scan.piped(_another_day(file, content), "keys", b"sortAlpha") if _TEMPLATE.search(file) else content


def _in_reverse(file: str, content: bytes) -> bytes:
    if not _TEMPLATE.search(file):
        return content
    return helm_scan.piped(helm_scan.piped(_another_day(file, content), "keys", b"sortAlpha | reverse"), "values", b"reverse")


def _not_repeatable(chart: Chart, found: Sequence[helm_documents.Difference], uses: Sequence[Use]) -> str:
    sources = {located(chart, each.source) for each in found}
    suspects = [use for use in uses if use.name in CHANGING | UNORDERED]
    near = [use for use in suspects if chart.where(use.file) in sources]
    functions: dict[str, list[str]] = {}
    for use in near or suspects:
        functions.setdefault(_place(chart, use), []).append(use.name)
    places = _listed(f"{place} {' '.join(dict.fromkeys(names))}" for place, names in functions.items())
    objects = _listed(each.name for each in found)
    return (
        f"the chart gives something else each time: {objects} ({places});"
        " give the value in spec.render.helm.values or valuesFrom, or keep it in a Secret of its own"
    )


# -- what is told ------------------------------------------------------------------------------------------------------


def _lookup_notices(chart: Chart, uses: Iterable[Use]) -> list[Notice]:
    places = [_place(chart, use) for use in uses if use.name == _LOOKUP and not use.is_quoted]
    if not places:
        return []
    return [Notice("LookupIgnored", f"lookup finds nothing in a render: {_listed(places)}; give what it looks for in values")]


def _hook_notices(chart: Chart, hooks: Sequence[Hook], dropped: Sequence[str]) -> list[Notice]:
    """Tests are left out without a word: nobody expects an apply to run them."""
    told = [hook for hook in hooks if not helm_documents.TEST_EVENTS.issuperset(hook.events)]
    told.sort(key=lambda hook: not hook.is_running)  # stable: what would have done something comes first
    notices = []
    if told:
        shown = _listed(f"{hook.name} ({', '.join(hook.events)}, {one_line(located(chart, hook.source))})" for hook in told)
        notices.append(
            Notice(
                "HooksLeftOut", f"hooks that only Helm could run were left out: {shown}; to have one applied, remove helm.sh/hook from it"
            )
        )
    if dropped:
        shown = _listed(chart.where(file) for file in dropped)
        notices.append(Notice("HooksLeftOut", f"Helm leaves out objects with the hook crd-install: {shown}; move them to crds/"))
    return notices


def _place(chart: Chart, use: Use) -> str:
    return f"{chart.where(use.file)}:{use.line}"


def _listed(items: Iterable[str]) -> str:
    every = list(dict.fromkeys(items))
    more = f" and {len(every) - MAX_NAMED} more" if len(every) > MAX_NAMED else ""
    return ", ".join(every[:MAX_NAMED]) + more
