"""Repeat: render a chart again, on another day and with lists in another order, to see whether it gives the same each time."""

from collections.abc import Sequence
from typing import Final

from cvstate_operator import errors
from cvstate_operator.render import helm_chart, helm_documents, helm_scan, helm_uses
from cvstate_operator.render.helm_chart import Chart
from cvstate_operator.render.helm_documents import Difference, Document
from cvstate_operator.render.helm_run import Runs, located
from cvstate_operator.render.helm_uses import ANYTHING, CHANGING, UNORDERED, Uses

ANOTHER_DAY: Final = b'(toDate "2006-01-02" "2001-02-03")'
"""What `now` is from the second run on: two runs within a second would show the same day."""


def check(runs: Runs, chart: Chart, documents: list[Document], uses: Uses, limits: helm_chart.Limits) -> None:
    """Render again if the chart uses functions that may give something else.

    Values of a map cannot be sorted, so that their order is only likely to be seen: two of them slip through once in 40 times.

    Args:
        runs: renders once more.
        chart: as it is.
        documents: what it gave, without hooks.
        uses: of the chart.
        limits: of the chart.

    Raises:
        BuildFailedError: an object is not the same.
    """
    names = {use.name for use in uses.functions}
    if names.isdisjoint(CHANGING | UNORDERED | ANYTHING):
        return
    variants = [_another_day] if names.isdisjoint(UNORDERED) else [_in_order, _in_reverse]
    for variant in (*variants, *([_in_reverse] if "values" in names else ())):
        again, _hooks = helm_documents.without_hooks(runs.render(chart.changed(variant, limits)))
        if again != documents and (found := list(helm_documents.differences(documents, again))):
            raise errors.BuildFailedError(_message(chart, found, uses))


def _another_day(file: str, content: bytes) -> bytes:
    return helm_scan.replaced(content, "now", ANOTHER_DAY) if helm_uses.is_template(file) else content


def _in_order(file: str, content: bytes) -> bytes:
    return helm_scan.piped(_another_day(file, content), "keys", b"sortAlpha") if helm_uses.is_template(file) else content


def _in_reverse(file: str, content: bytes) -> bytes:
    if not helm_uses.is_template(file):
        return content
    return helm_scan.piped(helm_scan.piped(_another_day(file, content), "keys", b"sortAlpha | reverse"), "values", b"reverse")


def _message(chart: Chart, found: Sequence[Difference], uses: Uses) -> str:
    """Names the objects, and the functions in their templates; if there are none, those anywhere in the chart."""
    sources = {located(chart, each.source) for each in found}
    suspects = uses.of(CHANGING | UNORDERED | ANYTHING)
    near = [use for use in suspects if chart.where(use.file) in sources]
    functions: dict[str, list[str]] = {}
    for use in near or suspects:
        functions.setdefault(helm_uses.place(chart, use), []).append(use.name)
    places = helm_uses.listed(f"{place} {' '.join(dict.fromkeys(names))}" for place, names in functions.items())
    return (
        f"the chart gives something else each time: {helm_uses.listed(each.name for each in found)} ({places});"
        " give the value in spec.render.helm.values or valuesFrom, or keep it in a Secret of its own"
    )
