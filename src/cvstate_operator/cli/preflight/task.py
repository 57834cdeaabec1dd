"""The child's side of `cvstate check`: files in, findings out (`isolation/task.py` runs it).

A pull request may come from anyone, so its files are read where the operator reads them: in a child process with limits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import orjson

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.api.clusterstate import parse_spec
from cvstate_operator.api.crd import cluster_state_crd
from cvstate_operator.cli.preflight import places, recipe, rendering
from cvstate_operator.cli.preflight.finding import Finding
from cvstate_operator.cli.preflight.rendering import Text
from cvstate_operator.objects.identity import ApiResource, Gvk
from cvstate_operator.objects.manifest import Body, BodyRef, Manifest, Origin
from cvstate_operator.objects.problem import Problem
from cvstate_operator.plan import crds, dependencies, desired
from cvstate_operator.render import parse
from cvstate_operator.schema import builtin, catalogue, openapi
from cvstate_operator.schema.catalogue import Catalogue
from cvstate_operator.vital import declared

_CLUSTER_STATE: Final = (names.GROUP, names.CLUSTER_STATE)


@dataclass(slots=True)
class _Input:
    """What was read."""

    files: int = 0
    texts: dict[str, bytes] = field(default_factory=dict)
    """Content by file; needed again for the lines of fields."""
    manifests: list[Manifest] = field(default_factory=list)
    bodies: list[Body] = field(default_factory=list)
    """In the order of `manifests`."""
    problems: list[Problem] = field(default_factory=list)
    notes: tuple[Problem, ...] = ()
    """What the render told."""
    starts: dict[tuple[str, int], int] = field(default_factory=dict)
    """Line on which a document of a file starts; not of what a program made."""
    namespace: str = ""
    """Where objects go that name none."""
    target_namespace: str = ""
    """Where all objects go, whatever they name; empty for none."""
    prefix: str = ""
    """The path in the repository that a ClusterState names; files are told with it."""


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Check files.

    Args:
        request: `root` (path of a directory or file) or `text` (standard input, as Latin-1, so that every byte fits), `shown` (how the user spelled the
            root), `namespace`, `strict`, `type` (empty for that of the ClusterState), `include`, `exclude`, `variables`,
            `clusterstate` (path of a file, or empty), `tools`, `cluster` (absent, or `openapi`, `version` and `definitions` of a cluster).

    Returns:
        `{"objects", "files", "findings": [Finding as a mapping]}`.
    """
    cluster = request.get("cluster")
    schemas = openapi.compact(cluster["openapi"], version=cluster["version"]) if cluster else builtin.load()
    found = _read(request, schemas)
    known = _catalogue(schemas, cluster)
    for definition in catalogue.definitions(found.bodies):
        known.add(definition)
    problems, notes = _judge(found, known, cluster_is_asked=cluster is not None)
    if not found.manifests and not problems:
        message = "declares no objects; correct the path: the operator would prune nothing and report EmptyRender"
        problems.append((Problem("", 0, "", "EmptyRender", message), ()))
    findings = _placed(problems, found)
    told = _placed(notes, found)
    findings += told if request["strict"] else [replace(note, level="note") for note in told]
    findings += [Finding.of(note, line=0, level="note") for note in found.notes]
    shown = _spelled(request["shown"], found.prefix)
    return {
        "objects": len(found.manifests),
        "files": found.files,
        "findings": [asdict(replace(finding, file=_spelled(shown, finding.file))) for finding in sorted(findings)],
    }


def _read(request: Mapping[str, Any], schemas: Mapping[str, Any]) -> _Input:
    """Everything that was rendered; charts for a cluster with the kinds in `schemas`."""
    found = _Input(namespace=request["namespace"])
    if "text" in request:
        options = parse.Options(variables=request["variables"] or None)
        _take(found, Text("", request["text"].encode("latin-1")), options)
        return found
    order = recipe.order(request)
    how = order.recipe
    options = parse.Options(how.variables, how.strict, how.common_labels, how.target_namespace)
    rendered = rendering.render(recipe.for_cluster(order, schemas), request["tools"])
    found.problems, found.notes = list(rendered.problems), rendered.notes
    for text in rendered.texts:
        _take(found, text, options)
    if request["clusterstate"]:
        found.prefix = order.path
    found.namespace, found.target_namespace = rendered.namespace or order.namespace, how.target_namespace
    return found


def _take(found: _Input, text: Text, options: parse.Options) -> None:
    """Parse one text as the operator does."""
    found.files += 1
    path = text.file
    index, bodies = parse.parse(text.content, options)
    if text.is_source:
        found.texts[path] = text.content
    for api_version, kind, namespace, name, digest, document, line, offset, length in index["objects"]:
        origin = Origin(path, document, line)
        if text.is_source:
            found.starts[path, document] = line
        found.manifests.append(Manifest(Gvk.parse(api_version, kind), namespace, name, digest, origin, BodyRef("", offset, length)))
        found.bodies.append(orjson.loads(bodies[offset : offset + length]))
    found.problems += [
        Problem(path, document, name, reason, message, fault) for document, name, reason, message, fault in index["problems"]
    ]


def _catalogue(schemas: Mapping[str, Any], cluster: Mapping[str, Any] | None) -> Catalogue:
    """The kinds to judge by: those of the cluster, or else those that are built in."""
    if cluster is None:
        known = Catalogue(schemas)
        known.add(cluster_state_crd())
        return known
    known = Catalogue(schemas, groups={group for group, *_ in builtin.load()["kinds"]})
    for definition in cluster["definitions"]:
        known.add(definition)
    return known


# -- judging -------------------------------------------------------------------------------------------------------

Placed = list[tuple[Problem, places.Path]]
"""Problems with the path of the field in its object; empty if no field is to blame."""


def _judge(found: _Input, known: Catalogue, *, cluster_is_asked: bool) -> tuple[Placed, Placed]:
    """Everything that is wrong, and what could not be judged."""
    added = crds.declared_resources(catalogue.definitions(found.bodies))

    def resolve(gvk: Gvk) -> ApiResource:
        # Of an unknown kind nobody knows the scope; most are namespaced.
        return known.resource(gvk) or added.get(gvk) or ApiResource(gvk, "", True)

    placed = desired.place(
        found.manifests, found.problems, resolve=resolve, namespace=found.namespace, target_namespace=found.target_namespace
    )
    problems: Placed = [(problem, tuple(problem.field.split(".")) if problem.field else ()) for problem in placed.problems]
    notes: Placed = []
    unusable: set[Gvk] = set()
    for manifest, body in zip(found.manifests, found.bodies, strict=True):
        if not known.has_schema(manifest.gvk):
            is_wrong = manifest.gvk not in added and (cluster_is_asked or known.owns_group(manifest.gvk.group))
            (problems if is_wrong else notes).append((_unknown(manifest, known, is_wrong=is_wrong), ("kind",)))
            continue
        try:
            faults = known.faults(manifest.gvk, body)
        except catalogue.SchemaError as exc:
            if manifest.gvk not in unusable:
                unusable.add(manifest.gvk)
                notes.append((_problem(manifest, "KindUnknown", f"not checked: its schema cannot be used here: {exc}"), ("kind",)))
            continue
        problems += [(_problem(manifest, "Invalid", fault.message, fault.field), fault.path) for fault in faults]
        if not faults and manifest.gvk.group_kind == _CLUSTER_STATE:
            problems += _cluster_state(manifest, body)
    return problems, notes


def _cluster_state(manifest: Manifest, body: Body) -> Placed:
    """What the API server says by CEL rules, the models say by themselves; of expressions and queries the operator alone would tell."""
    try:
        spec = parse_spec(body.get("spec") or {})
        declared.check(spec.vital)
        for dependency in spec.depends_on:
            dependencies.require_expression(dependency)
    except errors.InvalidSpecError as exc:
        return [(_problem(manifest, exc.reason, exc.message), ("spec",))]
    return []


def _unknown(manifest: Manifest, known: Catalogue, *, is_wrong: bool) -> Problem:
    gvk = manifest.gvk
    if not is_wrong:
        remedy = "add its CustomResourceDefinition to the files, or give --kubeconfig"
        return _problem(manifest, "KindUnknown", f"not checked: no schema for {gvk.api_version} {gvk.kind}; {remedy}")
    return _problem(
        manifest, "KindUnknown", f"Kubernetes {known.version} has no {gvk.kind} in {gvk.api_version}; {known.remedy(gvk)}", "kind"
    )


def _problem(manifest: Manifest, reason: str, message: str, fault: str = "") -> Problem:
    return Problem(manifest.origin.file, manifest.origin.document, str(manifest.ref), reason, message, fault)


# -- lines ---------------------------------------------------------------------------------------------------------


def _placed(problems: Placed, found: _Input) -> list[Finding]:
    """Problems with their lines; each file with one is read for lines once."""
    wanted: dict[str, set[int]] = {}
    for problem, _ in problems:
        if start := found.starts.get((problem.file, problem.document)):
            wanted.setdefault(problem.file, set()).add(start)
    known = {path: places.lines(found.texts[path], starts) for path, starts in wanted.items()}
    return [Finding.of(problem, line=_line(problem, path, found, known.get(problem.file, {}))) for problem, path in problems]


def _line(problem: Problem, path: Sequence[str | int], found: _Input, known: Mapping[int, places.Lines]) -> int:
    start = found.starts.get((problem.file, problem.document), 0)
    return places.nearest(known.get(start, {}), tuple(path)) or start


def _spelled(shown: str, file: str) -> str:
    """The file as the user would name it."""
    if not file:
        return shown
    return file if shown in ("", ".") else f"{shown.rstrip('/')}/{file}"
