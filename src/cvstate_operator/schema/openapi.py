"""OpenAPI v2 of an API server to JSON Schema: only what judges a manifest, no descriptions. Pure.

Input is the answer to /openapi/v2; the result is kept in a file (`builtin.py`) or used at once (`cvstate check --kubeconfig`). The schemas say what
server-side apply says: unknown fields are refused where all fields are known, a quantity may be a number, an empty string is an enum's default.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cvstate_operator.schema import formats, keys, optional

Schema = dict[str, Any]

INTEGERS: Final[Mapping[str, tuple[int, int]]] = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
"""Least and greatest value by format."""

OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

_REFERENCE: Final = "#/definitions/"
_SPECIAL: Final[Mapping[str, Schema]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"], "format": formats.QUANTITY},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
        "type": ["string", "integer"],
        "minimum": INTEGERS["int32"][0],
        "maximum": INTEGERS["int32"][1],
    },
    # "x-kubernetes-int-or-string" has no place in OpenAPI v2, and these are whatever the author of a CRD writes.
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": {},
    "io.k8s.apimachinery.pkg.runtime.RawExtension": {"type": "object"},
}
_KEY_DEFAULTS: Final = {"protocol": "TCP"}
"""The only key of a list in Kubernetes' own kinds that may be left out."""


def compact(document: Mapping[str, Any], *, version: str) -> dict[str, Any]:
    """Everything needed to judge objects, as plain data.

    Args:
        document: the answer to /openapi/v2.
        version: of Kubernetes, for messages (`1.36`).

    Returns:
        `{"version", "kinds": [[group, version, kind, plural, namespaced, definition]], "definitions": {name: JSON Schema}}`, sorted.
    """
    raw: Mapping[str, Any] = document["definitions"]
    kinds = sorted(_kinds(document["paths"]))
    definitions: dict[str, Schema] = {}
    pending = [definition for *_, definition in kinds]
    while pending:
        name = pending.pop()
        if name not in definitions:
            definitions[name] = _definition(name, raw[name])
            pending.extend(_references(definitions[name]))
    return {"version": version, "kinds": [list(kind) for kind in kinds], "definitions": dict(sorted(definitions.items()))}


def or_null(schema: Schema) -> Schema:
    """The schema for everything but null, to which no rule applies. Not `anyOf`: what is wrong should be told without alternatives."""
    return {"if": {"not": {"type": "null"}}, "then": schema}


def _kinds(paths: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, bool, str]]:
    """Kinds that can be applied: those with a PATCH of the object itself."""
    for path, methods in paths.items():
        patch = methods.get("patch")
        parent, _, last = path.rpartition("/")
        if not patch or last != "{name}":
            continue
        gvk = patch["x-kubernetes-group-version-kind"]
        reference = patch["responses"]["200"]["schema"]["$ref"]
        plural = parent.rpartition("/")[2]
        yield gvk["group"], gvk["version"], gvk["kind"], plural, "/namespaces/{namespace}/" in path, reference.removeprefix(_REFERENCE)


def _definition(name: str, raw: Mapping[str, Any]) -> Schema:
    if name in _SPECIAL:
        return dict(_SPECIAL[name])
    schema = _schema(raw)
    if name == OBJECT_META:
        # Custom resources have it too, and their nulls are not dropped beforehand.
        schema["properties"] = {field: or_null(value) for field, value in schema["properties"].items()}
    if spared := optional.FIELDS.get(name):
        schema["required"] = [field for field in schema.get("required", ()) if field not in spared]
    return schema


def _schema(raw: Mapping[str, Any]) -> Schema:
    if "$ref" in raw:
        return {"$ref": raw["$ref"]}
    kind = raw.get("type")
    if "properties" in raw:
        fields = {name: _schema(field) for name, field in raw["properties"].items()}
        required = {"required": raw["required"]} if raw.get("required") else {}
        return {"type": "object", "properties": fields, "additionalProperties": False, **required}
    if kind == "object":
        values = raw.get("additionalProperties")
        return {"type": "object", **({"additionalProperties": _schema(values)} if isinstance(values, dict) else {})}
    if kind == "array":
        rule = _list_rule(raw)
        item = _schema(raw["items"])
        # A null in a list becomes an empty value, unless items are told apart by what they are.
        return {"type": "array", "items": item if rule else or_null(item), **rule}
    return {**({"type": kind} if kind else {}), **_format(raw.get("format", "")), **_enum(raw)}


def _list_rule(raw: Mapping[str, Any]) -> Schema:
    if raw.get("x-kubernetes-list-type") == "set":
        return {"uniqueItems": True}
    if names := raw.get("x-kubernetes-list-map-keys"):
        defaults = {name: value for name, value in _KEY_DEFAULTS.items() if name in names}
        return {keys.KEYWORD: {"keys": names, **({"defaults": defaults} if defaults else {})}}
    return {}


def _format(name: str) -> Schema:
    if limits := INTEGERS.get(name):
        return {"minimum": limits[0], "maximum": limits[1]}
    return {"byte": {"format": formats.BASE64}, "date-time": {"format": formats.TIME}}.get(name, {})


def _enum(raw: Mapping[str, Any]) -> Schema:
    return {"enum": [*raw["enum"], ""]} if raw.get("enum") else {}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(_REFERENCE)
            else:
                yield from _references(value)
