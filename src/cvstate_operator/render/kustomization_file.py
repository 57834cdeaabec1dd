"""Kustomization file: what one refers to, and what in it is refused.

kustomize itself would ask the network for a URL and run a plugin where it may; so its files are read here first, with our own reader, and the message can
say file and line. kustomize takes field names in any case (`encoding/json`), and so does this scan. What it cannot see, like a URL that a transformer puts
together, is stopped by `program.py`.
"""

import bisect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from cvstate_operator import errors
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import yaml_reader

FILE_NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""Source: kustomize, api/konfig/general.go, RecognizedKustomizationFileNames."""

LIMITS: Final = yaml_reader.Limits(max_bytes=4 * 2**20, max_nodes=200_000)
"""A kustomization of 10,000 resources has 0.5 MB."""

BUILTIN: Final = "builtin"
"""apiVersion of kustomize's own generators and transformers. Source: api/konfig/builtinpluginconsts."""

_DIRECTORIES: Final = frozenset({"bases", "components"})
_RESOURCES: Final = frozenset({"resources"}) | _DIRECTORIES
_PLUGINS: Final = frozenset({"generators", "transformers", "validators"})
_FILE_LISTS: Final = frozenset({"configurations", "crds"})
_PATCHES: Final = frozenset({"patches", "patchesjson6902", "replacements"})
_STRATEGIC: Final = frozenset({"patchesstrategicmerge"})
_GENERATORS: Final = frozenset({"configmapgenerator", "secretgenerator"})
_HELM: Final = frozenset({"helmcharts", "helmchartinflationgenerator", "helmglobals"})

_FUNCTIONS: Final = frozenset({"config.kubernetes.io/function", "config.k8s.io/function"})
"""Annotations that name a program or an image to run. Source: kyaml/fn/runtime/runtimeutil/functiontypes.go."""

_PLUGIN_PATHS: Final = frozenset({"path", "paths", "env", "envs", "files", "targetfilepath"})
"""Fields of builtin generators and transformers that name files. Source: api/internal/localizer/builtinplugins.go."""

_SCHEME: Final = re.compile(r"(?:git::|(?:ssh|https?|file|git|ftp|s3|gs|oci)://|https?:)", re.IGNORECASE)
_USER_AT_HOST: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*@[^/:]*[/:]")
_GITHUB: Final = re.compile(r"github\.com[/:]", re.IGNORECASE)
_HOST_AND_REPOSITORY: Final = re.compile(r"[^/?]+\.[^/?]+(?:/[^/?]+){2,}?(?://|\.git\b|\?)|[^?]*\?(?:ref|version)=")
"""What people mean as a repository, though kustomize would look for a directory."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A path that a kustomization names."""

    path: str
    """As it is written, relative to the directory of the kustomization."""
    where: str
    """For messages: file, line and field."""
    may_be_directory: bool = False
    must_be_directory: bool = False
    is_plugin: bool = False
    """What it leads to configures generators or transformers."""


def read(text: bytes, file: str) -> tuple[Reference, ...]:
    """Every path that a kustomization file names.

    Args:
        text: the file.
        file: its path in the repository, for messages.

    Raises:
        RemoteBaseRefusedError: it names something on the network.
        PluginRefusedError: it inflates a chart or runs a plugin.
        PathEscapesError: a path is absolute.
        BuildFailedError: it is no kustomization that could be read without doubt.
    """
    content = _content(text, file)
    lines = _Lines(text, file)
    found: list[Reference] = []
    for key, value in content.items():
        if value is not None:
            found += _field(key, value, lines)
    for reference in found:
        check_local(reference)
    return tuple(found)


def read_plugins(text: bytes, where: str) -> tuple[Reference, ...]:
    """Every path that the generators and transformers of a file, or of a text inside a kustomization, name.

    Raises:
        As `read`.
    """
    documents, faults = yaml_reader.read(text, limits=LIMITS)
    if faults:
        raise errors.BuildFailedError(f"{where}: {faults[0].message}")
    found = tuple(reference for document in documents for reference in _plugin(document.value, where))
    for reference in found:
        check_local(reference)
    return found


def check_local(reference: Reference) -> None:
    """Refuse what is not a relative path.

    Raises:
        RemoteBaseRefusedError: kustomize would ask the network for it.
        PathEscapesError: it is absolute.
    """
    path = reference.path.strip()
    if is_remote(path):
        raise errors.RemoteBaseRefusedError(
            f"{reference.where}: {one_line(path)} is on the network, which a render never asks; copy it into the repository"
        )
    if path.startswith("/"):
        raise errors.PathEscapesError(f"{reference.where}: {one_line(path)} is absolute; give a path relative to the kustomization")


def is_remote(path: str) -> bool:
    """Whether kustomize could take `path` for something on the network. Stricter than it where only the existence of a local file would tell.

    Source: kustomize, api/internal/git/repospec.go, NewRepoSpecFromURL, and api/internal/loader/fileloader.go, IsRemoteFile.
    """
    return any(pattern.match(path) for pattern in (_SCHEME, _USER_AT_HOST, _GITHUB))


def looks_remote(path: str) -> bool:
    """Whether a path that is not there was probably meant as a repository."""
    return _HOST_AND_REPOSITORY.match(path) is not None


def _content(text: bytes, file: str) -> dict[str, Any]:
    documents, faults = yaml_reader.read(text, limits=LIMITS)
    if faults:
        line = f":{faults[0].line}" if faults[0].line else ""
        raise errors.BuildFailedError(f"{one_line(file)}{line}: {faults[0].message}")
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        # kustomize reads the first document and says nothing of the others.
        raise errors.BuildFailedError(f"{one_line(file)}: must be one YAML document with the fields of a Kustomization; correct it")
    return documents[0].value


class _Lines:
    """Where the words of a file stand; also refuses merge keys.

    kustomize lets a merged key win over one that stands before it, our reader does as YAML says: what we would scan is not what it would read.
    """

    def __init__(self, text: bytes, file: str) -> None:
        self._file = one_line(file)
        self._lines: dict[str, list[int]] = {}
        for event in _events(text, self._file):
            if not isinstance(event, yaml.ScalarEvent) or event.start_mark is None:
                continue
            line = event.start_mark.line + 1
            if event.value == "<<":
                raise errors.BuildFailedError(f"{self._file}:{line}: '<<' is not read by everyone alike; write the fields out")
            self._lines.setdefault(event.value, []).append(line)

    def where(self, field: str, word: str = "") -> str:
        """`file:line: field` of `word` in `field`, or of the field itself."""
        start = next(iter(self._lines.get(field, [1])))
        lines = self._lines.get(word, [])
        position = bisect.bisect_left(lines, start)
        line = lines[position] if position < len(lines) else start
        return f"{self._file}:{line}: {one_line(field, 40)}"


def _events(text: bytes, file: str) -> Iterator[yaml.Event]:
    """Events only, never values; of a text that our reader took, within its limits."""
    try:
        yield from yaml.parse(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as exc:
        raise errors.BuildFailedError(f"{file}: cannot be read as YAML: {one_line(str(exc))}") from exc


def _field(key: str, value: Any, lines: _Lines) -> Iterator[Reference]:
    """Paths in one field of a kustomization."""
    name = key.casefold()
    if name in _HELM and value:
        raise errors.PluginRefusedError(f"{lines.where(key)} runs Helm inside kustomize; give the chart a ClusterState of its own")
    if name in _RESOURCES:
        for path in _texts(value):
            yield Reference(path, lines.where(key, path), may_be_directory=True, must_be_directory=name == "components")
    elif name in _PLUGINS:
        for path in _texts(value):
            where = lines.where(key, path)
            if _is_inline(path):
                yield from read_plugins(path.encode(), where)
            else:
                yield Reference(path, where, may_be_directory=True, is_plugin=True)
    elif name in _FILE_LISTS:
        yield from (Reference(path, lines.where(key, path)) for path in _texts(value))
    elif name in _STRATEGIC:
        yield from (Reference(path, lines.where(key, path)) for path in _texts(value) if not _is_inline(path))
    elif name in _PATCHES:
        yield from (Reference(path, lines.where(key, path)) for item in _maps(value) for path in _values(item, {"path"}))
    elif name in _GENERATORS:
        for path in (path for item in _maps(value) for path in _sources(item)):
            yield Reference(path.partition("=")[2] or path, lines.where(key, path))
    elif name == "openapi":
        yield from (Reference(path, lines.where(key, path)) for item in _maps([value]) for path in _values(item, {"path"}))


def _sources(generator: dict[str, Any]) -> Iterator[str]:
    """Files of a ConfigMap or Secret generator, as they are written: `path` or `key=path`."""
    yield from _values(generator, {"files", "envs", "env"})


def _is_inline(text: str) -> bool:
    """Whether an entry is YAML itself and no path. kustomize tries the same, in this order."""
    documents, faults = yaml_reader.read(text.encode(), limits=LIMITS)
    if faults and "\n" in text.strip():
        return True
    return any(isinstance(document.value, dict | list) for document in documents)


def _plugin(value: Any, where: str) -> Iterator[Reference]:
    """Paths in the configuration of a generator or transformer."""
    if isinstance(value, list):
        for item in value:
            yield from _plugin(item, where)
        return
    if not isinstance(value, dict):
        return
    if isinstance(value.get("items"), list) and str(value.get("kind", "")).endswith("List"):
        yield from _plugin(value["items"], where)
        return
    _check_plugin(value, where)
    texts = [*_values(value, _PLUGIN_PATHS)]
    texts += [path for key in value if key.casefold() == "replacements" for item in _maps(value[key]) for path in _values(item, {"path"})]
    yield from (Reference(text.partition("=")[2] or text, where) for text in texts if not _is_inline(text))


def _check_plugin(value: dict[str, Any], where: str) -> None:
    kind = one_line(str(value.get("kind", "")), 60)
    metadata = value.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    is_function = isinstance(metadata, dict) and "configFn" in metadata
    if isinstance(annotations, dict) and not _FUNCTIONS.isdisjoint(annotations):
        is_function = True
    if is_function or value.get("apiVersion") != BUILTIN:
        raise errors.PluginRefusedError(f"{where}: {kind} would run foreign code; use what kustomize has built in, or commit what it makes")
    if kind.casefold() == "helmchartinflationgenerator":
        raise errors.PluginRefusedError(f"{where}: {kind} runs Helm inside kustomize; give the chart a ClusterState of its own")


def _texts(value: Any) -> Iterator[str]:
    """Texts of a list; kustomize refuses anything else by itself."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, str))


def _maps(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _values(item: dict[str, Any], names: Iterable[str]) -> Iterator[str]:
    """Texts, also in lists, under keys that kustomize takes for one of `names`."""
    for key, value in item.items():
        if key.casefold() in names:
            yield from (value,) if isinstance(value, str) else _texts(value)
