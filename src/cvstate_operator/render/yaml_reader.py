"""The YAML reader: hostile bytes to plain data, on PyYAML's C event parser.

Only events are taken from libyaml; values are built here, without recursion. PyYAML's own composer dies from 30 KB of nested brackets (SIGSEGV) and
writes a 258-byte alias bomb out to gigabytes (both measured). JSON is YAML, and is read the same way.

What is accepted has the value that kubectl v1.36.3 gives it, with one exception, asked of it by tests/integration/test_yaml_parity.py: a key that
stands *before* `<<` in its map wins over the merged one, as YAML says; kubectl lets the merged one win. What would be lost or changed on the way to
JSON, or is most likely a mistake (duplicate keys, tags), is refused, also where kubectl takes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import placeholders, scalars, yaml_text
from cvstate_operator.render.substitute import MAX_EXPRESSIONS
from cvstate_operator.render.yaml_text import YamlError

Json: TypeAlias = "scalars.Scalar | list[Json] | dict[str, Json]"

_CORE: Final = "tag:yaml.org,2002:"

_KNOWN_KEYS: Final = 4096
_KNOWN_CHARACTERS: Final = 64
"""Bounds of the table of keys: less than 1 MB for each file."""

MAX_BOMBS: Final = 10
"""Documents of one file that may be left out because of their aliases; more are no mistake, and each costs time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may hold."""

    max_bytes: int = 20 * 2**20
    """Size of the file."""
    max_nodes: int = 2_000_000
    """Scalars, lists and maps of the file, aliases counted as often as they would be written out. 5,000 Deployments have 400,000."""
    max_depth: int = 100
    """Nesting of lists and maps. The API server stops at 10,000; OpenAPI schemas in CRDs reach 40."""
    max_documents: int = 20_000
    """Documents of the file, empty ones included."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document that is not empty."""

    number: int
    """From 1, empty documents not counted."""
    line: int
    """From 1: where its content begins."""
    value: Json
    """Safe to write as JSON. Parts that were aliases in the file are shared, not copied."""


def read(text: bytes, *, limits: Limits = Limits(), templates: bool = False) -> tuple[tuple[Document, ...], tuple[YamlError, ...]]:
    """Every document of a file, and what is wrong with the others. Never raises.

    A document with a fault of its own (a duplicate key, a bomb, a tag) is left out and the next one is read; a fault of syntax ends the file, since
    nothing tells where the next document would begin. So does nesting beyond the limit: libyaml needs time quadratic in the depth of brackets (50,000
    take 3.7 s, measured), also to skip them. A document that is skipped may have such a second fault, which is told as well.

    Args:
        text: the file.
        limits: what it may hold.
        templates: take `${...}` for one piece of text, wherever it stands, and give a Template in place of each text that holds one.
    """
    if len(text) > limits.max_bytes:
        return (), (YamlError("RenderTooLarge", f"the file is larger than {limits.max_bytes // 2**20} MiB; split it"),)
    text = yaml_text.whole_lines(text)
    documents: list[Document] = []
    faults: list[YamlError] = []
    builder = _Builder(limits)
    hidden = None
    try:
        yaml_text.check(text)
        text = yaml_text.without_surrogates(text)
        if templates:
            hidden = placeholders.Placeholders(text)
            text = hidden.text
        for item in builder.documents(hidden.events(CParser(text)) if hidden else CParser(text)):
            if isinstance(item, YamlError):
                faults.append(item)
            else:
                documents.append(item)
    except YamlError as fault:
        fault.document = fault.document or builder.number
        faults.append(fault)
    except placeholders.TooManyError:
        faults.append(YamlError("RenderTooLarge", f"more than {MAX_EXPRESSIONS} variables; split the file"))
    except yaml.YAMLError as exc:
        faults.append(yaml_text.syntax_fault(exc, text, builder.number))
    except (ValueError, UnicodeError) as exc:
        # PyYAML's C code raises these for what it cannot turn into Python text.
        faults.append(YamlError("YAMLInvalid", f"cannot be read as YAML: {one_line(str(exc))}", document=builder.number))
    if hidden:
        for each in faults:
            each.message = hidden.restore(each.message)
    return tuple(documents), tuple(faults)


_ITEM: Final = object()
"""In place of a key: the open container is a list."""
_MERGE: Final = object()
"""The key `<<`, unless it is quoted."""


class _Anchored(NamedTuple):
    """A finished node that has an anchor."""

    value: Any
    size: int
    """Nodes it would be, written out."""
    height: int
    """Levels of nesting, 0 for scalars."""
    event: Any
    """Of a scalar, since `1e6` is another text as a key than as a value; None for containers."""


class _Builder:
    """Builds documents from events. One per file."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.number = 1
        """The document that is being read, or would come next."""
        self._started = 0
        self._nodes = 0
        """Nodes that were read so far."""
        self._charged = 0
        """Nodes that aliases and merges stand for, without those of documents that were left out for them."""
        self._bombs = 0
        self._stack: list[tuple[Any, Any, dict[Any, int], tuple[str, int, int] | None]] = []
        """What waits while a container inside is filled: the outer container; its key that waits for the inner one, or `_ITEM`; the line of each of its
        keys, from 0, without merged ones; and if the inner one has an anchor its name, and the nodes and the deepest nesting when it was opened."""
        self._anchors: dict[str, _Anchored] = {}
        self._keys: dict[str, Any] = {}
        """Keys by their plain spelling, `_MERGE` among them; manifests have few, and one object for each is compared and hashed faster."""

    def documents(self, parser: Any) -> Iterator[Document | YamlError]:
        """Documents in order; a YamlError that is yielded (not raised) concerns one document."""
        while (event := parser.get_event()) is not None:
            if event.__class__ is not yaml.DocumentStartEvent:
                continue
            self._started += 1
            if self._started > self._limits.max_documents:
                raise YamlError("RenderTooLarge", f"more than {self._limits.max_documents} documents; split the file", line=_line(event))
            line, charged = _line(parser.peek_event()), self._charged
            try:
                value = self._build(parser)
            except YamlError as fault:
                if fault.reason in ("YAMLTooDeep", "RenderTooLarge"):
                    raise
                fault.document = self.number
                if fault.reason == "YAMLAliasLimit":
                    self._charged = charged
                    self._count_bomb(fault)
                yield fault
                self._leave_out(parser)
            else:
                if value is None:
                    continue
                yield Document(self.number, line, value)
            self.number += 1

    def _count_bomb(self, fault: YamlError) -> None:
        self._bombs += 1
        if self._bombs > MAX_BOMBS:
            message = f"more than {MAX_BOMBS} documents with too many aliases; write the values out"
            raise YamlError("RenderTooLarge", message, line=fault.line)

    def _leave_out(self, parser: Any) -> None:
        """Skip the rest of a document, within the limits of those that are read: brackets cost libyaml quadratic time here as well."""
        depth = len(self._stack)
        while (event := parser.get_event()).__class__ is not yaml.DocumentEndEvent:
            if event.__class__ in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
                depth -= 1
                continue
            self._nodes += 1
            if self._nodes > self._limits.max_nodes:
                raise self._too_many(event)
            if event.__class__ in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
                depth += 1
                if depth > self._limits.max_depth:
                    raise self._too_deep(event)

    def _build(self, parser: Any) -> Any:
        """The value of one document whose start was read.

        Every node of every file goes through this loop: branches by how often they are taken, locals instead of attributes, methods for what is rare. A
        method for each class of event takes 1.4 times as long (measured).
        """
        next_event, first, known_key, stack, anchors = parser.get_event, scalars.FIRST, self._keys.get, self._stack, self._anchors
        scalar, open_map, open_list, alias = yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent, yaml.AliasEvent
        closing = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
        max_depth, max_nodes = self._limits.max_depth, self._limits.max_nodes
        stack.clear()
        anchors.clear()
        nodes, room, deepest = self._nodes, max_nodes - self._charged, 0
        container: Any = []  # holds the document
        key: Any = _ITEM  # None if the open map waits for one
        lines: dict[Any, int] = {}
        try:
            while True:
                event = next_event()
                kind = event.__class__
                if kind is scalar:
                    nodes += 1
                    if nodes > room:
                        raise self._too_many(event)
                    value = event.value
                    if key is None:
                        if event.implicit[0]:
                            key = known_key(value) or self._key(event, event)
                        else:
                            key = value if event.tag is None else self._key(event, event)
                        if key in lines:
                            raise _duplicate(key, lines[key], event)
                        lines[key] = event.start_mark.line
                        if event.anchor is not None:
                            anchors[event.anchor] = _Anchored(_value(event), 1, 0, event)
                        continue
                    if value[:1] in first if event.implicit[0] else event.tag is not None:
                        value = _value(event)
                    if event.anchor is not None:
                        anchors[event.anchor] = _Anchored(value, 1, 0, event)
                elif kind is open_map or kind is open_list:
                    nodes += 1
                    if nodes > room:
                        raise self._too_many(event)
                    depth = len(stack) + 1
                    if depth > max_depth:
                        raise self._too_deep(event)
                    if key is None:
                        raise _invalid("a key must be a string, not a list or a map", event)
                    if event.tag is not None:
                        _check_container_tag(event)
                    if event.anchor is not None:
                        anchors.pop(event.anchor, None)  # inside, the name means the new one
                        stack.append((container, key, lines, (event.anchor, nodes + self._charged, deepest)))
                        deepest = depth
                    else:
                        stack.append((container, key, lines, None))
                        if depth > deepest:
                            deepest = depth
                    if kind is open_map:
                        container, key, lines = {}, None, {}
                    else:
                        container, key = [], _ITEM
                    continue
                elif kind in closing:
                    value = container
                    container, key, lines, anchored = stack.pop()
                    if anchored is not None:
                        name, before, outside = anchored
                        # An anchor is bound where its node begins: one of the same name inside came later, and stays.
                        anchors.setdefault(name, _Anchored(value, nodes + self._charged - before + 1, deepest - len(stack), None))
                        deepest = max(deepest, outside)
                elif kind is alias:
                    node = self._alias(event, nodes)
                    room = max_nodes - self._charged
                    if key is None:
                        key = self._alias_key(node, event, lines)
                        continue
                    value = node.value
                    deepest = max(deepest, len(stack) + node.height)
                else:  # the end of the document
                    return container[0]
                if key is _ITEM:
                    container.append(value)
                    continue
                if key is _MERGE:
                    self._merge(container, value, nodes, lines[_MERGE], is_alias=kind is alias)
                    room = max_nodes - self._charged
                else:
                    container[key] = value
                key = None
        finally:
            self._nodes = nodes

    # -- what is rare --------------------------------------------------------------------------------------------------

    def _key(self, event: Any, place: Any) -> Any:
        """The key a scalar stands for; faults are told with the line of `place`."""
        if event.value == "<<" and (event.implicit[0] or event.tag == _CORE + "merge"):
            found: Any = _MERGE
        elif event.tag is None and not event.implicit[0]:
            return event.value
        else:
            try:
                found = event.value if event.tag == "!" else scalars.key(event.value, _core_tag(event))
            except ValueError as exc:
                raise _invalid(str(exc), place) from exc
        if event.implicit[0] and len(self._keys) < _KNOWN_KEYS and len(event.value) <= _KNOWN_CHARACTERS:
            self._keys[event.value] = found
        return found

    def _alias(self, event: Any, nodes: int) -> _Anchored:
        """The node an alias stands for, charged for."""
        name = event.anchor
        node = self._anchors.get(name)
        if node is None:
            inside = any(anchored is not None and anchored[0] == name for *_, anchored in self._stack)
            raise _invalid(
                f"an alias (*…) {'contains itself' if inside else 'is not defined before'}; write the value out, or put quotes around it",
                event,
            )
        self._charge(node.size, nodes, _line(event))
        if len(self._stack) + node.height > self._limits.max_depth:
            message = f"nested deeper than {self._limits.max_depth} levels when aliases are written out; flatten it"
            raise YamlError("YAMLAliasLimit", message, line=_line(event))
        return node

    def _alias_key(self, node: _Anchored, event: Any, lines: dict[Any, int]) -> Any:
        if node.event is None:
            raise _invalid("a key must be a string, not a list or a map", event)
        key = self._key(node.event, event)
        key = "<<" if key is _MERGE else key
        if key in lines:
            raise _duplicate(key, lines[key], event)
        lines[key] = event.start_mark.line
        return key  # a Template stays one

    def _merge(self, container: dict[str, Any], value: Any, nodes: int, line: int, *, is_alias: bool) -> None:
        """`<<`: keys of the map itself win, then earlier maps of a list over later ones. An alias may stand for a map, but not for a list of them."""
        for source in value if isinstance(value, list) and not is_alias else (value,):
            if not isinstance(source, dict):
                raise YamlError("YAMLInvalid", "'<<' needs a map, or a list of maps; correct it", line=line + 1)
            self._charge(len(source), nodes, line + 1)
            for key, item in source.items():
                container.setdefault(key, item)

    def _charge(self, size: int, nodes: int, line: int) -> None:
        self._charged += size
        if nodes + self._charged > self._limits.max_nodes:
            message = f"more than {self._limits.max_nodes} values when aliases are written out; write the values out, or split the file"
            raise YamlError("YAMLAliasLimit", message, line=line)

    def _too_many(self, event: Any) -> YamlError:
        return YamlError("RenderTooLarge", f"more than {self._limits.max_nodes} values; split the file", line=_line(event))

    def _too_deep(self, event: Any) -> YamlError:
        return YamlError("YAMLTooDeep", f"nested deeper than {self._limits.max_depth} levels; flatten it", line=_line(event))


def _value(event: Any) -> scalars.Scalar:
    if event.tag == "!" or (event.tag is None and not event.implicit[0]):
        return str(event.value)
    try:
        tag = _core_tag(event)
        return scalars.plain(event.value) if tag is None else scalars.tagged(tag, event.value)
    except ValueError as exc:
        raise _invalid(str(exc), event) from exc


def _core_tag(event: Any) -> str | None:
    """The tag's name in YAML's core schema; None if there is no tag.

    Raises:
        ValueError: a tag that is none of these.
    """
    tag: str | None = event.tag
    if tag is None:
        return None
    if not tag.startswith(_CORE):
        raise ValueError(_bad_tag(tag))
    return tag.removeprefix(_CORE)


def _check_container_tag(event: Any) -> None:
    expected = "map" if event.__class__ is yaml.MappingStartEvent else "seq"
    if event.tag not in ("!", _CORE + expected):
        raise _invalid(_bad_tag(event.tag), event)


def _bad_tag(tag: str) -> str:
    # A tag of somebody's own may be a password that begins with an exclamation mark.
    shown = one_line(tag.replace(_CORE, "!!"), 60) if tag.startswith(_CORE) else "!…"
    return f"tag {shown} is not allowed; write the value itself, or put quotes around it"


def _duplicate(key: Any, first: int, event: Any) -> YamlError:
    remedy = "give '<<' a list of maps" if key is _MERGE else "keep one of them"
    name = "<<" if key is _MERGE else one_line(key, 60)
    return YamlError("DuplicateKey", f"key {name!r} stands twice, first on line {first + 1}; {remedy}", line=_line(event))


def _invalid(message: str, event: Any) -> YamlError:
    return YamlError("YAMLInvalid", message, line=_line(event))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
