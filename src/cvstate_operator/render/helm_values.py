"""Values: what spec.render.helm gives a chart besides its own values.yaml and the values files, merged into one document. Pure.

Source: Flux's HelmRelease, whose order and merging users know: later documents win, maps are merged, lists and scalars are replaced, and null removes a
default of the chart.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.objects.redaction import MASK, one_line
from cvstate_operator.render import yaml_reader

MAX_INDEX: Final = 65536
"""Highest index in a targetPath. Source: Helm, pkg/strvals, MaxIndex."""
MIN_MASKED_CHARACTERS: Final = 4
"""Shorter values are no secrets, and masking them would make any message unreadable."""

_STEP: Final = re.compile(r"([^.\[\]]+)((?:\[[0-9]{1,6}\])*)(?:\.|$)")


def merged(documents: Sequence[tuple[str, str]], inline: Mapping[str, Any]) -> dict[str, Any]:
    """One map of all values.

    Args:
        documents: from ConfigMaps and Secrets, in order: where the text is to be put (`image.tag`, `hosts[0].name`), or an empty path and YAML.
        inline: values of the spec; they win.

    Raises:
        BuildFailedError: a document is no YAML or no map, or a path is none. The message has no value in it.
    """
    result: dict[str, Any] = {}
    for number, (path, text) in enumerate(documents, 1):
        where = f"spec.render.helm.valuesFrom[{number - 1}]"
        if path:
            result = _put(result, _steps(path, where), text)
        else:
            for value in _parse(text, where):
                result = merge(result, value)
    return merge(result, inline)


def merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """`lower` with everything of `upper`; maps that are in both are merged."""
    result = dict(lower)
    for key, value in upper.items():
        before = result.get(key)
        result[key] = merge(before, value) if isinstance(value, Mapping) and isinstance(before, Mapping) else value
    return result


def masked(text: str, documents: Sequence[tuple[str, str]]) -> str:
    """`text` without any value of `documents`, which may come from Secrets."""
    secrets: set[str] = set()
    for path, content in documents:
        secrets.update([content] if path else (leaf for value in _parse(content, "") for leaf in _leaves(value)))
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= MIN_MASKED_CHARACTERS:
            text = text.replace(secret, MASK)
    return text


def _parse(text: str, where: str) -> list[dict[str, Any]]:
    found, faults = yaml_reader.read(text.encode())
    if faults:
        line = f" line {faults[0].line}" if faults[0].line else ""
        raise errors.BuildFailedError(f"{where}{line}: {one_line(faults[0].message, 200)}")
    values = []
    for document in found:
        if not isinstance(document.value, dict):
            raise errors.BuildFailedError(f"{where}: is no map of values; correct it, or set targetPath for a single value")
        values.append(document.value)
    return values


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _steps(path: str, where: str) -> list[str | int]:
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None or (step.end() == len(path) and path.endswith(".")):
            raise errors.BuildFailedError(f"{where}: targetPath {one_line(path)} is no path; write it like image.tag or hosts[0].name")
        steps.append(step[1])
        steps += [int(index) for index in re.findall(r"[0-9]+", step[2])]
        position = step.end()
    if any(isinstance(step, int) and step > MAX_INDEX for step in steps):
        raise errors.BuildFailedError(f"{where}: targetPath {one_line(path)} has an index beyond {MAX_INDEX}; write the list out in values")
    return steps


def _put(container: Any, steps: Sequence[str | int], text: str) -> Any:
    """A copy of `container` with `text` at the end of `steps`; what is in the way is replaced."""
    if not steps:
        return text
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        entries = dict(container) if isinstance(container, dict) else {}
        entries[step] = _put(entries.get(step), rest, text)
        return entries
    items = list(container) if isinstance(container, list) else []
    items += [None] * (step + 1 - len(items))
    items[step] = _put(items[step], rest, text)
    return items
