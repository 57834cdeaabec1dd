"""Schema: refuse a values.schema.json that would make Helm read another file or ask the network. Pure."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urldefrag, urljoin, urlsplit

import orjson

from cvstate_operator import errors
from cvstate_operator.objects.redaction import one_line

SCHEMA_FILE: Final = "values.schema.json"
_BASE: Final = "file:///values.schema.json"
"""What a schema without `$id` is called. Source: Helm, pkg/chart/common/util/jsonschema.go."""
_BUILT_IN: Final = "json-schema.org"
"""Schemas of schemas, which Helm brings with it."""
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef", "$schema")


def check(content: bytes, where: str) -> None:
    """Look at every reference of a schema.

    Args:
        content: the schema; what is no JSON is left to Helm to refuse.
        where: its path, for people.

    Raises:
        RemoteBaseRefusedError: a reference leads to the network.
        PathEscapesError: a reference leads to a file of the machine; to Helm a relative one does, too.
    """
    try:
        schema = orjson.loads(content)
    except orjson.JSONDecodeError:
        return
    found = list(_references(schema, _BASE))
    known = {urldefrag(url).url for key, url in found if key == "$id"} | {_BASE}
    for key, url in found:
        target = urldefrag(url).url
        parts = urlsplit(target)
        if key == "$id" or target in known or parts.scheme == "urn" or parts.hostname == _BUILT_IN:
            continue
        if parts.scheme in ("http", "https"):
            raise errors.RemoteBaseRefusedError(
                f"{where}: {one_line(target)} is on the network, which a render never asks; copy what it defines into the schema, under $defs"
            )
        raise errors.PathEscapesError(f"{where}: {key} leads to another file; Helm cannot find it in the chart; put it under $defs")


def _references(schema: Any, base: str) -> Iterator[tuple[str, str]]:
    """Keyword and absolute URL of each reference and each name."""
    stack = [(schema, base)]
    while stack:
        node, base = stack.pop()
        if isinstance(node, list):
            stack += [(item, base) for item in node]
        elif isinstance(node, dict):
            for key in ("$id", *_REFERENCES):
                if isinstance(node.get(key), str):
                    try:
                        url = urljoin(base, node[key])
                        urlsplit(url)
                    except ValueError:
                        continue  # no URL at all: Helm says so
                    base = url if key == "$id" else base
                    yield key, url
            stack += [(item, base) for item in node.values()]
