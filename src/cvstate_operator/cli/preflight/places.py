"""Places: the line on which a field stands, for people and for annotations in a pull request. Pure.

Only documents with a finding are looked at, and only those that `yaml_reader` has read: their depth and size are within its limits.
"""

from typing import Any

import yaml
from yaml._yaml import CParser  # yaml.cyaml does not export it for type checkers

Key = str | int
Path = tuple[Key, ...]
Lines = dict[Path, int]


def lines(text: bytes, starts: set[int]) -> dict[int, Lines]:
    """Every path of the documents that start on the given lines, with its 1-based line; a file that cannot be read further ends the answer.

    Keys that are no plain scalars, and what aliases stand for, have no line of their own.
    """
    found: dict[int, Lines] = {}
    parser = CParser(text)
    try:
        while (event := parser.get_event()) is not None:
            if event.__class__ is yaml.DocumentStartEvent:
                start = _line(parser.peek_event())
                walked = _document(parser, keep=start in starts)
                if start in starts:
                    found[start] = walked
    except (yaml.YAMLError, ValueError):
        return found
    finally:
        parser.dispose()
    return found


def nearest(known: Lines, path: Path) -> int:
    """The line of the field, or of the deepest field above it that has one; 0 if nothing is known."""
    for length in range(len(path), -1, -1):
        if line := known.get(path[:length]):
            return line
    return 0


class _Level:
    """A mapping or list that is being read."""

    __slots__ = ("index", "is_map", "key", "path")

    def __init__(self, path: Path, *, is_map: bool) -> None:
        self.path = path
        self.is_map = is_map
        self.key: Key | None = None
        self.index = 0


def _document(parser: Any, *, keep: bool) -> Lines:
    known: Lines = {}
    stack: list[_Level] = []
    while (event := parser.get_event()).__class__ is not yaml.DocumentEndEvent:
        if event.__class__ in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
            stack.pop()
            continue
        line = _line(event)
        level = stack[-1] if stack else None
        if level is None:
            path: Path = ()
        elif not level.is_map:
            path, level.index = (*level.path, level.index), level.index + 1
        elif level.key is None:
            level.key = event.value if event.__class__ is yaml.ScalarEvent else ""
            if keep:
                known[(*level.path, level.key)] = line
            path = (*level.path, level.key)
            if event.__class__ is yaml.ScalarEvent or event.__class__ is yaml.AliasEvent:
                continue
        else:
            path, level.key = (*level.path, level.key), None
        if keep:
            known.setdefault(path, line)
        if event.__class__ in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
            stack.append(_Level(path, is_map=event.__class__ is yaml.MappingStartEvent))
    return known


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
