"""Values: what spec.render.helm gives a chart besides its own values.yaml and the values files, in layers for Helm to merge. Pure.

Source: Flux's HelmRelease, whose order and merging users know: later documents win, maps are merged, lists and scalars are replaced, and null removes a
default of the chart. Helm merges, since a null also takes back what a file before it said.
"""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.objects.redaction import MASK, leaves, one_line
from cvstate_operator.render import yaml_reader

MAX_INDEX: Final = 65536
"""Highest index in a targetPath. Source: Helm, pkg/strvals, MaxIndex."""
MIN_MASKED_CHARACTERS: Final = 4
"""Shorter values are no secrets, and masking them would make any message unreadable."""

_QUOTED: Final = re.compile(r""""(?:\\.|[^"\\])*"|'[^']*'|`[^`]*`""")
_ESCAPE: Final = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)")
"""Source: Go, strconv.Quote, and the quoting of its package time."""
_STEP: Final = re.compile(r"([^.\[\]]+)((?:\[[0-9]{1,6}\])*)(?:\.|$)")


def layers(documents: Sequence[tuple[str, str]], inline: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Maps of values, lowest first.

    Args:
        documents: from ConfigMaps and Secrets, in order: where the text is to be put (`image.tag`, `hosts[0].name`), or an empty path and YAML.
        inline: values of the spec; they win.

    Raises:
        BuildFailedError: a document is no YAML or no map, or a path is none. The message has no value in it.
    """
    found: list[Mapping[str, Any]] = []
    so_far: dict[str, Any] = {}
    for number, (path, text) in enumerate(documents):
        where = f"spec.render.helm.valuesFrom[{number}]"
        if path:
            steps = _steps(path, where)
            # A list is replaced as a whole, so it comes with what documents before put into it.
            top = str(steps[0])
            new = [{top: _put(so_far.get(top), steps[1:], text)}]
        else:
            new = _parse(text, where)
        for values in new:
            so_far = merge(so_far, values)
        found += new
    return (*found, inline)


def merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """`lower` with everything of `upper`; maps that are in both are merged."""
    result = dict(lower)
    for key, value in upper.items():
        before = result.get(key)
        result[key] = merge(before, value) if isinstance(value, Mapping) and isinstance(before, Mapping) else value
    return result


def masked(text: str, documents: Sequence[tuple[str, str]]) -> str:
    """One line of text without any value of `documents`, which may come from Secrets: as it is, a line of it, as base64, or in quotes, also in part."""
    values = {
        value
        for path, content in documents
        for value in ([content] if path else chain.from_iterable(map(_spellings, leaves(_parse(content, "")))))
    }
    known = {value for value in map(_bare, values) if len(value) >= MIN_MASKED_CHARACTERS}

    def quoted(found: re.Match[str]) -> str:
        bare = _bare(_ESCAPE.sub(" ", found[0]))
        is_part = len(bare) >= MIN_MASKED_CHARACTERS and any(bare in value for value in known)
        return f"{found[0][0]}{MASK}{found[0][-1]}" if is_part or any(value in bare for value in known) else found[0]

    text = _QUOTED.sub(quoted, text)
    forms = {form for value in values for form in _forms(value) if len(form) >= MIN_MASKED_CHARACTERS}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def _forms(value: str) -> Iterator[str]:
    """How a value may stand in an error whose white space was made one blank each."""
    yield from (" ".join(form.split()) for form in (value, *value.splitlines()))
    yield base64.b64encode(value.encode()).decode()


def _bare(text: str) -> str:
    """Letters and digits only: the same however it was quoted."""
    return re.sub(r"\W+", "", text)


def _parse(text: str, where: str) -> list[dict[str, Any]]:
    found, faults = yaml_reader.read(text.encode())
    if faults:
        # The fault itself may name a part of the text.
        line = f" line {faults[0].line}" if faults[0].line else ""
        raise errors.BuildFailedError(
            f"{where}{line}: {faults[0].reason}; correct it (what is wrong is not shown, since it may be secret), or set targetPath for a single value"
        )
    values = []
    for document in found:
        if not isinstance(document.value, dict):
            raise errors.BuildFailedError(f"{where}: is no map of values; correct it, or set targetPath for a single value")
        values.append(document.value)
    return values


def _spellings(leaf: str | float) -> Iterator[str]:
    """How Helm may spell a value."""
    if isinstance(leaf, str):
        yield leaf
    else:
        yield from (str(leaf), _as_go(leaf))


def _as_go(number: float) -> str:
    """A number with an exponent, as templates print large ones: 1.2345678e+07. Source: Go, fmt, verb %v of float64."""
    digits, _, exponent = f"{Decimal(repr(float(number))).normalize():e}".partition("e")
    return f"{digits}e{int(exponent):+03d}"


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
