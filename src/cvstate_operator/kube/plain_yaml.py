"""Plain YAML: a small file of somebody we do not trust, as texts, lists and maps. Nothing else comes out, and nothing is run.

No constructor of PyYAML's is used: where texts are wanted, 12345 and 2026-01-01 may well be a password. Manifests are read by render/yaml_reader.py, which knows the values
that Kubernetes gives them; this one is for what only we read.
"""

from typing import Any, Final, TypeAlias

import yaml

Json: TypeAlias = "str | list[Json] | dict[str, Json] | None"

MAX_BYTES: Final = 2**20
"""Largest file: a Secret holds no more. Source: Kubernetes, MaxSecretSize."""
MAX_DEPTH: Final = 20
"""Deepest nesting. What is taken of a kubeconfig lies four levels deep, extensions of other programs somewhat deeper."""
MAX_NODES: Final = 20_000
"""Most texts, lists and maps: a kubeconfig of 800 clusters with a user each."""

_NULLS: Final = ("", "~", "null", "Null", "NULL")
"""Plain texts that mean nothing. Source: YAML 1.1, tag:yaml.org,2002:null."""


class PlainYamlError(ValueError):
    """The file cannot be used; says why and what to do, on one line, without a word of it."""


def read(data: bytes) -> Json:
    """The only document of a file; None if it is empty. JSON is YAML, and is read the same way.

    Raises:
        PlainYamlError: it is no YAML, too large, or has what is not needed in a plain file: anchors, aliases, tags, or a key twice.
    """
    if len(data) > MAX_BYTES:
        raise PlainYamlError(f"it is larger than {MAX_BYTES // 2**20} MiB; keep what is needed")
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise PlainYamlError("it is no text in UTF-8; save it as such") from exc
    try:
        _check_shape(text)
        root = yaml.compose(text, Loader=yaml.CBaseLoader)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)  # its words may hold what is secret in the file
        raise PlainYamlError(f"it is no YAML that can be read{f': see line {mark.line + 1}' if mark else ''}; correct it") from exc
    except UnicodeError as exc:
        raise PlainYamlError("it holds an escape that stands for no character; correct it") from exc
    return _value(root) if root else None


def _check_shape(text: str) -> None:
    """Refuse what grows, and what PyYAML's composer dies from: it goes down the stack of C with each level (SIGSEGV, measured)."""
    depth = nodes = 0
    for event in yaml.parse(text, Loader=yaml.CBaseLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise PlainYamlError(f"line {_line(event)} has an anchor or alias; write the value itself")
        if getattr(event, "tag", None):
            raise PlainYamlError(f"line {_line(event)} has a tag; write the value itself, or put quotes around it")
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise PlainYamlError("it is nested too deep, or has too many parts; keep what is needed")


def _value(node: yaml.Node) -> Json:
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Json] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in found:
                raise PlainYamlError(f"line {_line(key)} has a key that stands twice, or is no text; keep one of them")
            found[key.value] = _value(value)
        return found
    text = str(node.value)
    return None if text in _NULLS and not getattr(node, "style", None) else text


def _line(part: Any) -> int:
    """From 1: where an event or a node begins."""
    return int(part.start_mark.line) + 1
