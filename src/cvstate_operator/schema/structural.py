"""The schema in a CustomResourceDefinition to JSON Schema. Pure.

Source: Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions", structural schemas, pruning, defaulting and nullable. CEL rules
(x-kubernetes-validations) and most formats are for the API server alone; what it would accept is never refused for their sake.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cvstate_operator.objects.identity import Gvk
from cvstate_operator.schema import formats, keys
from cvstate_operator.schema.openapi import INTEGERS, OBJECT_META, Schema, or_null

METADATA: Final[Schema] = {"$ref": f"#/definitions/{OBJECT_META}"}
"""What a CRD does not spell out; the reference is into the schemas of Kubernetes' own kinds."""

_KEPT: Final = (
    "enum",
    "maximum",
    "minimum",
    "maxItems",
    "minItems",
    "maxLength",
    "minLength",
    "maxProperties",
    "minProperties",
    "multipleOf",
    "pattern",
)
"""Keywords that mean the same in both."""
_FORMATS: Final = {"byte": formats.BASE64, "date-time": formats.ANY_CASE_TIME}
_EXCLUSIVE: Final = {"minimum": "exclusiveMinimum", "maximum": "exclusiveMaximum"}


def versions(definition: Mapping[str, Any]) -> Iterator[tuple[Gvk, Schema | None]]:
    """Every served version of a CustomResourceDefinition with its JSON Schema; None where it has none. One that is not well formed gives nothing."""
    try:
        group, kind = str(definition["spec"]["group"]), str(definition["spec"]["names"]["kind"])
        served = [version for version in definition["spec"]["versions"] if version.get("served")]
        for version in served:
            raw = (version.get("schema") or {}).get("openAPIV3Schema")
            yield Gvk(group, str(version["name"]), kind), _root(raw) if isinstance(raw, dict) else None
    except (KeyError, TypeError, AttributeError):
        return


def _root(raw: Mapping[str, Any]) -> Schema:
    """The schema with the fields that every object has."""
    schema = _schema(raw)
    fields = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": METADATA}
    return {**schema, "type": "object", "properties": {**schema.get("properties", {}), **fields}}


def _schema(raw: Any, *, inside_junctor: bool = False) -> Schema:
    """One level. Inside anyOf, oneOf, allOf and not, a schema only adds rules: it neither closes an object nor allows null."""
    if not isinstance(raw, dict):
        return {}
    schema: Schema = {key: raw[key] for key in _KEPT if key in raw}
    schema.update(_type(raw, inside_junctor=inside_junctor))
    for limit, exclusive in _EXCLUSIVE.items():
        if raw.get(exclusive) is True and limit in schema:
            schema[exclusive] = schema.pop(limit)
    for junctor in ("allOf", "anyOf", "oneOf"):
        if isinstance(raw.get(junctor), list):
            schema[junctor] = [_schema(item, inside_junctor=True) for item in raw[junctor]]
    if "not" in raw:
        schema["not"] = _schema(raw["not"], inside_junctor=True)
    if "items" in raw:
        schema["items"] = _schema(raw["items"], inside_junctor=inside_junctor)
    schema.update(_list_rule(raw))
    schema.update(_fields(raw, inside_junctor=inside_junctor))
    return or_null(schema) if raw.get("nullable") is True and not inside_junctor else schema


def _type(raw: Mapping[str, Any], *, inside_junctor: bool) -> Schema:
    found: Schema = {}
    if raw.get("x-kubernetes-int-or-string") is True:
        found["type"] = ["integer", "string"]
    elif isinstance(raw.get("type"), str):
        found["type"] = raw["type"]
    name = str(raw.get("format"))
    if name in INTEGERS and raw.get("type") == "integer":
        least, greatest = INTEGERS[name]
        found["minimum"] = max(least, raw.get("minimum", least))
        found["maximum"] = min(greatest, raw.get("maximum", greatest))
    elif name in _FORMATS:
        found["format"] = _FORMATS[name]
    return found


def _fields(raw: Mapping[str, Any], *, inside_junctor: bool) -> Schema:
    found: Schema = {}
    properties = raw.get("properties")
    fields = properties if isinstance(properties, dict) else {}
    if fields:
        found["properties"] = {name: _field(field, inside_junctor=inside_junctor) for name, field in fields.items()}
    # A field with a default is never missing.
    if required := [name for name in raw.get("required") or () if "default" not in (fields.get(name) or {})]:
        found["required"] = required
    values = raw.get("additionalProperties")
    if isinstance(values, dict):
        found["additionalProperties"] = _schema(values, inside_junctor=inside_junctor)
    elif values is not True and fields and not inside_junctor:
        # Without any field of its own an object takes all, and the API server drops them.
        found["additionalProperties"] = raw.get("x-kubernetes-preserve-unknown-fields") is True
    if raw.get("x-kubernetes-embedded-resource") is True:
        text = {"type": "string", "minLength": 1}
        identity = {"apiVersion": text, "kind": text, "metadata": or_null(METADATA)}
        found["properties"] = {**identity, **found.get("properties", {})}
        found["required"] = sorted({*found.get("required", ()), "apiVersion", "kind"})
    return found


def _field(raw: Any, *, inside_junctor: bool) -> Schema:
    schema = _schema(raw, inside_junctor=inside_junctor)
    # A null where a default is declared is dropped before the default is filled in.
    if isinstance(raw, dict) and "default" in raw and not raw.get("nullable") and not inside_junctor:
        return or_null(schema)
    return schema


def _list_rule(raw: Mapping[str, Any]) -> Schema:
    if raw.get("x-kubernetes-list-type") == "set":
        return {"uniqueItems": True}
    names = raw.get("x-kubernetes-list-map-keys")
    if raw.get("x-kubernetes-list-type") != "map" or not isinstance(names, list):
        return {}
    items = (raw.get("items") or {}).get("properties") or {}
    defaults = {name: items[name]["default"] for name in names if "default" in (items.get(name) or {})}
    return {keys.KEYWORD: {"keys": names, "defaults": defaults}}
