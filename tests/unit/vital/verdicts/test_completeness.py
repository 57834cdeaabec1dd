"""Completeness: what telemetry should be there, and what is.

Aspects: the ratio · what is missing, why and for how long · the text is the same for the same gaps · names are bounded.
"""

from datetime import UTC, datetime

from cvstate_operator.vital.reading import Gap
from cvstate_operator.vital.verdicts import completeness
from cvstate_operator.vital.verdicts.completeness import NAMED, Reason, Source, SourceKind

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)

RATE = Source(SourceKind.SIGNAL, "error-rate")
SILENT = Source(SourceKind.SIGNAL, "latency", Gap.NO_DATA)
SLO = Source(SourceKind.SLO, "availability", Gap.UNREACHABLE)
BLIND = Source(SourceKind.OBJECTS, "Deployment.apps", Gap.REFUSED)


def test_nothing_expected_is_no_gap_and_no_ratio() -> None:
    found = completeness.evaluate([])
    assert (found.ratio, found.reason, found.text) == (None, Reason.NOTHING_EXPECTED, "no telemetry is expected")


def test_everything_that_is_expected_gives_data() -> None:
    found = completeness.evaluate([RATE, Source(SourceKind.OBJECTS, "Secret")])
    assert (found.ratio, found.missing, found.reason) == (1.0, (), Reason.COMPLETE)
    assert found.text == "all 2 sources of telemetry give data"


def test_what_is_missing_is_named_with_its_gap() -> None:
    found = completeness.evaluate([BLIND, SLO, RATE, SILENT])
    assert (found.expected, found.received, found.ratio, found.reason) == (4, 1, 0.25, Reason.GAP)
    assert found.missing == (SILENT, SLO, BLIND)
    assert found.text == "3 of 4 without data: signal latency (NoData), SLO availability (Unreachable), objects Deployment.apps (Refused)"


def test_the_text_does_not_depend_on_order() -> None:
    assert completeness.evaluate([RATE, SLO, SILENT]).text == completeness.evaluate([SILENT, RATE, SLO]).text


def test_a_source_that_is_named_twice_counts_once_and_as_missing() -> None:
    for sources in ([RATE, Source(SourceKind.SIGNAL, "error-rate", Gap.STALE)], [Source(SourceKind.SIGNAL, "error-rate", Gap.STALE), RATE]):
        found = completeness.evaluate(sources)
        assert (found.expected, found.received) == (1, 0)
    assert completeness.evaluate([RATE, Source(SourceKind.SLO, "error-rate")]).expected == 2


def test_many_gaps_are_counted_and_a_few_named() -> None:
    found = completeness.evaluate(Source(SourceKind.SIGNAL, f"s{number:03}", Gap.UNREACHABLE) for number in range(100))
    assert len(found.missing) == 100
    assert found.text.count("Unreachable") == NAMED
    assert found.text.endswith(" and 90 more")


def test_a_name_cannot_break_the_line() -> None:
    assert completeness.evaluate([Source(SourceKind.OBJECTS, "a\nb\x1b[31m", Gap.REFUSED)]).text.isprintable()
