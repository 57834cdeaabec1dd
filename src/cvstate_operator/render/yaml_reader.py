"""The YAML reader: hostile bytes to plain data, on PyYAML's C event parser.

Only events are taken from libyaml; values are built here, without recursion. PyYAML's own composer dies from 30 KB of nested brackets (SIGSEGV) and
writes a 258-byte alias bomb out to gigabytes (both measured). JSON is YAML, and is read the same way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import scalars

_CORE: Final = "tag:yaml.org,2002:"
_NO_KEY: Final = object()

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
    value: Any
    """dict, list, str, int, float, bool or None; safe to write as JSON."""


class YamlError(ValueError):
    """A document that cannot be used."""

    def __init__(self, reason: str, message: str, *, line: int | None = None, document: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        """YAMLInvalid, YAMLTooDeep, YAMLAliasLimit, DuplicateKey or RenderTooLarge."""
        self.message = message
        """One line: what is wrong and what to do."""
        self.line = line
        self.document = document


def read(text: bytes, *, limits: Limits = Limits()) -> tuple[tuple[Document, ...], tuple[YamlError, ...]]:
    """Every document of a file, and what is wrong with the others. Never raises.

    A document with a fault of its own (a duplicate key, a bomb, a tag) is left out and the next one is read; a fault of syntax ends the file, since
    nothing tells where the next document would begin. So does nesting beyond the limit: libyaml needs time quadratic in the depth of brackets (50,000
    take 3.7 s, measured), also to skip them.
    """
    if len(text) > limits.max_bytes:
        return (), (YamlError("RenderTooLarge", f"the file is larger than {limits.max_bytes // 2**20} MiB; split it"),)
    documents: list[Document] = []
    faults: list[YamlError] = []
    builder = _Builder(limits)
    try:
        _check_encoding(text)
        for item in builder.documents(text):
            if isinstance(item, YamlError):
                faults.append(item)
            else:
                documents.append(item)
    except YamlError as fault:
        fault.document = fault.document or builder.number + 1
        faults.append(fault)
    except yaml.YAMLError as exc:
        faults.append(_syntax(exc, text, builder.number + 1))
    except (ValueError, UnicodeError) as exc:
        # PyYAML's C code raises these for what it cannot turn into Python text.
        faults.append(YamlError("YAMLInvalid", f"cannot be read as YAML: {one_line(str(exc))}", document=builder.number + 1))
    return tuple(documents), tuple(faults)


def _check_encoding(text: bytes) -> None:
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise YamlError("YAMLInvalid", "the file is UTF-16; save it as UTF-8", line=1)
    try:
        text.decode()
    except UnicodeDecodeError as exc:
        line = text.count(b"\n", 0, exc.start) + 1
        raise YamlError("YAMLInvalid", f"byte 0x{text[exc.start]:02x} is no UTF-8; save the file as UTF-8", line=line) from exc


def _syntax(error: yaml.YAMLError, text: bytes, document: int) -> YamlError:
    mark = getattr(error, "problem_mark", None)
    # A character that YAML does not allow is told by its offset, everything else by a mark.
    line = mark.line + 1 if mark else text.count(b"\n", 0, getattr(error, "position", 0)) + 1
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).partition("\n")[0]
    context = getattr(error, "context", None)
    message = f"not YAML: {problem}{f' ({context})' if context else ''}; correct the syntax"
    return YamlError("YAMLInvalid", one_line(message, 300), line=line, document=document)


class _Builder:
    """Builds documents from events. One per file."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._nodes = 0
        self._nodes_before = 0
        """Nodes of the file before the document that is being read."""
        self._bombs = 0
        self._started = 0
        self.number = 0
        """Documents that were not empty so far."""
        self._reset()

    def _reset(self) -> None:
        self._stack: list[tuple[Any, str | None, int]] = []
        """Open containers: container, anchor, node count when it was opened."""
        self._keys: list[Any] = []
        """For each open container the key that waits for its value."""
        self._key_lines: list[dict[str, int] | None] = []
        """For each open map the line of each key, to name both places of a duplicate; None for lists."""
        self._heights: list[int] = []
        """For each open container the levels of nesting in what it holds so far."""
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        """Finished anchored nodes, how many nodes they count for, and how many levels they nest."""
        self._root: Any = _NO_KEY
        self._line = 1

    def documents(self, text: bytes) -> Iterator[Document | YamlError]:
        """Documents in order; a YamlError that is yielded (not raised) concerns one document."""
        parser = CParser(text)
        handlers = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
        }
        fault: YamlError | None = None
        next_event = parser.get_event
        while (event := next_event()) is not None:
            handle = handlers.get(event.__class__)
            if handle is not None:
                if fault is None:
                    try:
                        handle(event)
                    except YamlError as exc:
                        fault = exc
                        if exc.reason in ("YAMLTooDeep", "RenderTooLarge"):
                            raise
            elif event.__class__ is yaml.DocumentStartEvent:
                self._begin(event)
            elif event.__class__ is yaml.DocumentEndEvent:
                if fault or self._root is not None:
                    self.number += 1
                if fault:
                    fault.document = self.number
                    self._defuse(fault)
                    yield fault
                elif self._root is not None:
                    yield Document(self.number, self._line, self._root)
                fault = None

    def _begin(self, event: Any) -> None:
        self._started += 1
        if self._started > self._limits.max_documents:
            raise YamlError("RenderTooLarge", f"more than {self._limits.max_documents} documents; split the file", line=_line(event))
        self._nodes_before = self._nodes
        self._reset()

    def _defuse(self, fault: YamlError) -> None:
        """A document that is left out for what its aliases stand for does not use up the room of the others."""
        if fault.reason != "YAMLAliasLimit":
            return
        self._bombs += 1
        if self._bombs > MAX_BOMBS:
            raise YamlError(
                "RenderTooLarge", f"more than {MAX_BOMBS} documents with too many aliases; write the values out", line=fault.line
            )
        self._nodes = self._nodes_before

    def _scalar(self, event: Any) -> None:
        self._nodes += 1
        if event.tag is None:
            value = self._plain(event) if event.implicit[0] else event.value
        else:
            value = self._tagged(event)
        if event.anchor:
            self._anchors[event.anchor] = (value, 1, 0)
        self._add(value, event)

    def _plain(self, event: Any) -> Any:
        try:
            return scalars.plain(event.value)
        except ValueError as exc:
            raise YamlError("YAMLInvalid", str(exc), line=_line(event)) from exc

    def _tagged(self, event: Any) -> Any:
        if event.tag == "!":
            return event.value
        if not event.tag.startswith(_CORE):
            raise _bad_tag(event)
        try:
            return scalars.tagged(event.tag.removeprefix(_CORE), event.value)
        except ValueError as exc:
            raise YamlError("YAMLInvalid", str(exc), line=_line(event)) from exc

    def _open(self, event: Any) -> None:
        self._nodes += 1
        if len(self._stack) >= self._limits.max_depth:
            raise YamlError("YAMLTooDeep", f"nested deeper than {self._limits.max_depth} levels; flatten it", line=_line(event))
        is_map = event.__class__ is yaml.MappingStartEvent
        if event.tag not in (None, "!", _CORE + ("map" if is_map else "seq")):
            raise _bad_tag(event)
        if not self._stack:
            self._line = _line(event)
        self._stack.append(({} if is_map else [], event.anchor, self._nodes))
        self._keys.append(_NO_KEY)
        self._key_lines.append({} if is_map else None)
        self._heights.append(0)

    def _close(self, event: Any) -> None:
        value, anchor, opened = self._stack.pop()
        self._keys.pop()
        self._key_lines.pop()
        height = self._heights.pop() + 1
        if anchor:
            self._anchors[anchor] = (value, self._nodes - opened + 1, height)
        self._raise_to(height)
        self._add(value, event)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            inside = any(anchor == event.anchor for _, anchor, _ in self._stack)
            what = "contains itself" if inside else "is not defined before"
            raise YamlError("YAMLInvalid", f"alias *{event.anchor[:40]} {what}; write the value out", line=_line(event))
        value, size, height = self._anchors[event.anchor]
        self._charge(size, event)
        if len(self._stack) + height > self._limits.max_depth:
            message = f"nested deeper than {self._limits.max_depth} levels when aliases are written out; flatten it"
            raise YamlError("YAMLAliasLimit", message, line=_line(event))
        self._raise_to(height)
        self._add(value, event)

    def _raise_to(self, height: int) -> None:
        if self._heights and self._heights[-1] < height:
            self._heights[-1] = height

    def _charge(self, nodes: int, event: Any) -> None:
        self._nodes += nodes
        if self._nodes > self._limits.max_nodes:
            message = f"more than {self._limits.max_nodes} values when aliases are written out; write the values out, or split the file"
            raise YamlError("YAMLAliasLimit", message, line=_line(event))

    def _add(self, value: Any, event: Any) -> None:
        if self._nodes > self._limits.max_nodes:
            raise YamlError("RenderTooLarge", f"more than {self._limits.max_nodes} values; split the file", line=_line(event))
        if not self._stack:
            self._root = value
            return
        container = self._stack[-1][0]
        if container.__class__ is list:
            container.append(value)
            return
        key = self._keys[-1]
        if key is _NO_KEY:
            self._keys[-1] = self._key(value, event)
            return
        self._keys[-1] = _NO_KEY
        lines = self._key_lines[-1]
        assert lines is not None  # maps have them  # noqa: S101
        if key is _MERGE:
            self._merge(container, lines, value, event)
        elif key in lines:
            raise YamlError(
                "DuplicateKey", f"key {one_line(key, 60)!r} stands twice, first on line {lines[key]}; keep one of them", line=_line(event)
            )
        else:
            lines[key] = _line(event)
            container[key] = value

    def _key(self, value: Any, event: Any) -> Any:
        if value.__class__ is str:
            return _MERGE if value == "<<" and event.__class__ is yaml.ScalarEvent and event.implicit[0] else value
        if value.__class__ is bool:
            return "true" if value else "false"
        if value.__class__ is int or value.__class__ is float:
            return str(value)
        raise YamlError("YAMLInvalid", "a key must be a string; put it in quotes", line=_line(event))

    def _merge(self, container: dict[str, Any], lines: dict[str, int], value: Any, event: Any) -> None:
        """`<<`: keys of the map itself win, then earlier maps over later ones."""
        for source in value if isinstance(value, list) else (value,):
            if not isinstance(source, dict):
                raise YamlError("YAMLInvalid", "'<<' needs a map, or a list of maps", line=_line(event))
            self._charge(len(source), event)
            for key, item in source.items():
                container.setdefault(key, item)


_MERGE: Final = object()
"""Stands for the key `<<` while its value is awaited."""


def _bad_tag(event: Any) -> YamlError:
    tag = event.tag.replace(_CORE, "!!")
    return YamlError("YAMLInvalid", f"tag {one_line(tag, 60)} is not allowed; write the value itself", line=_line(event))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
