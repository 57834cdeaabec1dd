"""Catalogue: the kinds that are known, and whether an object has the form of its kind. Pure."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

import jsonschema_rs

from cvstate_operator.objects.identity import ApiResource, Gvk
from cvstate_operator.objects.manifest import Body
from cvstate_operator.schema import faults, formats, keys, structural
from cvstate_operator.schema.faults import Fault, Path
from cvstate_operator.schema.openapi import Schema

FAULTS_PER_OBJECT: Final = 20
"""More faults of one object than that are not told: one wrong indent can make hundreds."""

_BASE: Final = "cvstate:kinds"
_REMOVED_GROUPS: Final = frozenset({"extensions"})
"""Groups that Kubernetes once served (until 1.22) and nobody else may."""


class SchemaError(ValueError):
    """A schema that the validator cannot work with (a regular expression it does not know, say); the message says why."""


class Catalogue:
    """Kinds of one Kubernetes, and of the CustomResourceDefinitions that are added."""

    def __init__(self, compact: Mapping[str, Any], *, groups: Iterable[str] | None = None) -> None:
        """
        Args:
            compact: as `openapi.compact` makes it.
            groups: those that only Kubernetes itself serves; None: all groups in `compact`, since it knows no others.
        """
        self.version: str = compact["version"]
        self._definitions: Mapping[str, Schema] = compact["definitions"]
        self._registry = jsonschema_rs.Registry([(_BASE, {"definitions": compact["definitions"]})], draft=jsonschema_rs.Draft7)
        self._schemas: dict[Gvk, Schema | None] = {}
        self._resources: dict[Gvk, ApiResource] = {}
        self._validators: dict[Gvk, jsonschema_rs.Draft7Validator] = {}
        for group, version, kind, plural, namespaced, definition in compact["kinds"]:
            gvk = Gvk(group, version, kind)
            self._schemas[gvk] = {"$ref": f"#/definitions/{definition}"}
            self._resources[gvk] = ApiResource(gvk, plural, namespaced)
        self._groups = _REMOVED_GROUPS | ({gvk.group for gvk in self._schemas} if groups is None else set(groups))
        self._own = frozenset(gvk for gvk in self._schemas if gvk.group in self._groups)

    def add(self, definition: Mapping[str, Any]) -> None:
        """Take the kinds of a CustomResourceDefinition; those of Kubernetes' own groups stay as they are."""
        for gvk, schema in structural.versions(definition):
            if gvk.group not in self._groups:
                self._schemas[gvk] = schema
                self._validators.pop(gvk, None)

    def resource(self, gvk: Gvk) -> ApiResource | None:
        """How a kind of Kubernetes itself is served; None for all others."""
        return self._resources.get(gvk)

    def has_schema(self, gvk: Gvk) -> bool:
        """Whether objects of this kind can be judged."""
        return self._schemas.get(gvk) is not None

    def owns_group(self, group: str) -> bool:
        """Whether nobody but Kubernetes itself can serve kinds of this group, so that an unknown one is wrong."""
        return group in self._groups

    def remedy(self, gvk: Gvk) -> str:
        """What to write instead of a kind that is not known."""
        versions = sorted(known.api_version for known in self._schemas if known.group_kind == gvk.group_kind)
        elsewhere = sorted(known.api_version for known in self._own if known.kind == gvk.kind)
        if found := versions or elsewhere:
            return f"use {' or '.join(found)}"
        kinds = sorted(known.kind for known in self._schemas if known.api_version == gvk.api_version)
        close = get_close_matches(gvk.kind, kinds, n=1)
        return f"did you mean {close[0]}?" if close else "correct apiVersion and kind"

    def faults(self, gvk: Gvk, body: Body) -> list[Fault]:
        """What is wrong with an object of a kind that has a schema; empty if nothing is.

        Raises:
            SchemaError: the schema of the kind itself is of no use.
        """
        is_own = gvk in self._own
        instance = _without_nulls(body) if is_own else body
        validator = self._validator(gvk)
        if validator.is_valid(instance):
            return []
        schema = self._schemas[gvk] or {}
        is_secret = gvk.group_kind == ("", "Secret")
        found: dict[Fault, None] = {}
        for error in validator.iter_errors(instance):
            found.update(dict.fromkeys(faults.explain(error, hides_values=is_secret, names=lambda path: self._names(schema, path))))
            if len(found) >= FAULTS_PER_OBJECT:
                break
        return sorted(found, key=lambda fault: fault.field)[:FAULTS_PER_OBJECT]

    def _validator(self, gvk: Gvk) -> jsonschema_rs.Draft7Validator:
        if known := self._validators.get(gvk):
            return known
        try:
            made = jsonschema_rs.Draft7Validator(
                _absolute(self._schemas[gvk]),
                registry=self._registry,
                formats=dict(formats.CHECKS),
                validate_formats=True,
                keywords={keys.KEYWORD: keys.UniqueKeys},
                # The engine without back-tracking: a hostile pattern costs linear time, and it reads what Go's regexp reads.
                pattern_options=jsonschema_rs.RegexOptions(),
                offline=True,
            )
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as exc:
            raise SchemaError(" ".join(str(exc).split())[:200]) from exc
        self._validators[gvk] = made
        return made

    def _names(self, schema: Schema, path: Path) -> list[str]:
        """Fields that the schema knows at a path of the object."""
        for part in path:
            schema = self._resolved(schema)
            schema = schema.get("items", {}) if isinstance(part, int) else _property(schema, part)
        return list(self._resolved(schema).get("properties", ()))

    def _resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema or "then" in schema:
            schema = schema["then"] if "then" in schema else self._definitions[schema["$ref"].rpartition("/")[2]]
        return schema


def _property(schema: Schema, name: str) -> Schema:
    found = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
    return found if isinstance(found, dict) else {}


def _absolute(schema: Any) -> Any:
    """The schema with its references into the registry; only a kind's own root and its metadata have any."""
    if isinstance(schema, dict):
        return {key: f"{_BASE}{value}" if key == "$ref" and isinstance(value, str) else _absolute(value) for key, value in schema.items()}
    return [_absolute(item) for item in schema] if isinstance(schema, list) else schema


def _without_nulls(value: Any) -> Any:
    """Kubernetes' own kinds take a null field for an absent one."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def definitions(bodies: Iterable[Body]) -> list[Body]:
    """The CustomResourceDefinitions among objects."""
    return [body for body in bodies if body["kind"] == "CustomResourceDefinition" and body["apiVersion"] == "apiextensions.k8s.io/v1"]
