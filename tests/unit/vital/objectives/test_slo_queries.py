"""SLO queries.

Aspects: which windows are one query · the text for selectors, templates, Sloth and Pyrra · names with quotes · what an answer says of each window: events, no
traffic, missing series, not a number, more good events than events · terms that series tell.
"""

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.vital.language import promql
from cvstate_operator.vital.objectives import slo_queries
from cvstate_operator.vital.objectives.burn import DAY, HOUR
from cvstate_operator.vital.objectives.slo_queries import SIDE_LABEL, WINDOW_LABEL, Errors
from cvstate_operator.vital.reading import Gap
from tests.unit.vital.objectives.slo_answers import START, at, counted, kept, near, none_of, pyrra, slo, sloth

MONTH = 30 * DAY


def test_an_slo_over_30_days_takes_three_queries() -> None:
    found = [(query.name, query.windows, query.refresh_seconds, query.has_newest) for query in slo_queries.queries(slo())]
    assert found == [
        ("1h", (300.0, 1800.0, 3600.0), 30.0, True),
        ("6h", (7200.0, 21600.0), 180.0, False),
        ("30d", (DAY, 3 * DAY, MONTH), 1800.0, False),
    ]


def test_each_window_is_asked_for_by_both_sides_with_labels_that_tell_which_it_is() -> None:
    text = slo_queries.queries(slo())[0].text
    assert text.startswith(
        'label_replace(label_replace(sum(increase(good_total[5m])), "cvstate_side", "good", "", ""), "cvstate_window", "5m", "", "") or '
        'label_replace(label_replace(sum(increase(all_total[5m])), "cvstate_side", "total", "", ""), "cvstate_window", "5m", "", "") or '
    )
    assert text.count("sum(increase(") == 6
    assert '"cvstate_side", "taken"' in text


def test_windows_are_written_as_prometheus_reads_them() -> None:
    assert [query.name for query in slo_queries.queries(slo(window="1.5d"))] == ["1h", "6h", "1d12h"]
    assert "[1d12h]" in slo_queries.queries(slo(window="1.5d"))[-1].text


def test_a_template_gets_the_window_and_its_series_are_summed() -> None:
    text = slo_queries.queries(slo(good="rate(a[{{.window}}])", total="rate(b[{{.window}}])"))[0].text
    assert "label_replace(sum(rate(a[5m]))," in text
    assert "label_replace(sum(rate(b[1h]))," in text


def test_a_comment_swallows_nothing_that_comes_after_it() -> None:
    text = slo_queries.queries(slo(good="increase(a[{{.window}}]) # good", total="increase(b[{{.window}}])"))[0].text
    assert "# good\n)" in text


def test_sloth_is_read_by_its_id_with_one_query() -> None:
    (query,) = slo_queries.queries(sloth())
    assert (query.windows, query.refresh_seconds) == ((), 30.0)
    assert '{__name__=~"slo:sli_error:ratio_rate[0-9].*",sloth_id="shop-requests"}' in query.text
    for name in ("slo:objective:ratio", "slo:time_period:days"):
        assert f'{name}{{sloth_id="shop-requests"}}' in query.text


def test_pyrra_is_read_by_its_name_with_one_query() -> None:
    (query,) = slo_queries.queries(pyrra())
    assert '{__name__=~".+:burnrate[0-9].*",slo="shop-requests"}' in query.text
    for name in ("pyrra_objective", "pyrra_window", "pyrra_availability"):
        assert f'{name}{{slo="shop-requests"}}' in query.text


def test_names_are_quoted() -> None:
    (query,) = slo_queries.queries(sloth(series={"sloth": 'a"} or vector(1) #\\\n'}))
    assert '{sloth_id="a\\"} or vector(1) #\\\\\\n"}' in query.text
    assert "\n" not in query.text
    promql.check(query.text)


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(slo(), id="selectors"),
        pytest.param(slo(good="sum_over_time(a[{{.window}}]) # good", total="sum by (job) (increase(b[{{.window}}])) + sum(rate(c[{{ .window }}]))"), id="templates"),
        pytest.param(sloth(), id="sloth"),
        pytest.param(pyrra(), id="pyrra"),
    ],
)  # fmt: skip
def test_every_query_is_promql(of: Any) -> None:
    for query in slo_queries.queries(of):
        promql.check(query.text)


def test_what_is_no_promql_is_refused() -> None:
    with pytest.raises(promql.PromqlError):
        slo_queries.queries(slo(good="rate(good_total)"))


@pytest.mark.parametrize(
    ("stale_after", "reach"), [pytest.param("1m", "[300s", id="five-minutes"), pytest.param("20m", "[1200s", id="20m"), pytest.param("9h", "[3600s", id="an-hour")]
)  # fmt: skip
def test_how_old_data_is_is_asked_as_far_back_as_it_may_be(stale_after: str, reach: str) -> None:
    assert reach in slo_queries.queries(slo(staleAfter=stale_after))[0].text


FAST = slo_queries.queries(slo())[0]
SLOW = slo_queries.queries(slo())[-1]


def test_an_answer_tells_the_share_of_errors_in_each_window() -> None:
    found = slo_queries.errors(counted(FAST, {"5m": 0.02, "1h": 0.0144}), (), MONTH)
    assert [(each.window, each.ratio) for each in found] == [
        (300.0, near(0.02)),
        (1800.0, near(0)),
        (3600.0, near(0.0144)),
    ]


def five_minutes(samples: dict[str, float], before: tuple[Errors, ...] = ()) -> Errors:
    """What good and total of five minutes say."""
    series = [({WINDOW_LABEL: "5m", SIDE_LABEL: side}, value) for side, value in samples.items()]
    return slo_queries.errors(slo_queries.answer(FAST, series, asked_at=START), before, MONTH)[0]


@pytest.mark.parametrize(
    ("samples", "ratio", "is_idle", "is_skewed"),
    [
        pytest.param({"good": 99, "total": 100}, 0.01, False, False, id="one-of-a-hundred"),
        pytest.param({"good": 0, "total": 100}, 1.0, False, False, id="all"),
        pytest.param({"good": 0, "total": 0}, 0.0, True, False, id="no-traffic-is-no-error"),
        pytest.param({"total": 0}, 0.0, True, False, id="no-traffic-and-no-good-series-is-no-error"),
        pytest.param({"good": 100.5, "total": 100}, 0.0, False, False, id="a-little-skew-is-not-worth-a-word"),
        pytest.param({"good": 120, "total": 100}, 0.0, False, True, id="more-skew-is-told"),
    ],
)
def test_events_are_counted(samples: dict[str, float], ratio: float, is_idle: bool, is_skewed: bool) -> None:
    found = five_minutes(samples)
    assert (found.ratio, found.is_idle, found.is_skewed, found.gap) == (near(ratio), is_idle, is_skewed, None)


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        pytest.param({}, Gap.NO_DATA, id="nothing"),
        pytest.param({"good": 100}, Gap.NO_DATA, id="no-total"),
        pytest.param({"total": 100}, Gap.NO_DATA, id="no-good-and-never-any"),
        pytest.param({"good": math.nan, "total": 100}, Gap.NOT_A_NUMBER, id="nan"),
        pytest.param({"good": 100, "total": math.nan}, Gap.NOT_A_NUMBER, id="total-nan"),
        pytest.param({"good": math.inf, "total": math.inf}, Gap.NOT_A_NUMBER, id="infinite"),
        pytest.param({"good": -1, "total": 100}, Gap.NOT_A_NUMBER, id="below-zero"),
        pytest.param({"good": 1, "total": -100}, Gap.NOT_A_NUMBER, id="total-below-zero"),
        pytest.param({"good": 201, "total": 100}, Gap.QUERY_FAILED, id="far-more-good-events-than-events"),
        pytest.param({"good": 1, "total": 0}, Gap.QUERY_FAILED, id="good-events-and-no-events"),
    ],
)
def test_what_cannot_be_counted_is_unknown(samples: dict[str, float], why: Gap) -> None:
    found = five_minutes(samples)
    assert (found.ratio, found.gap) == (None, why)
    assert found.message


@pytest.mark.parametrize(
    ("window", "ratio"), [pytest.param(MONTH, 1.0, id="in-a-longer-window"), pytest.param(60.0, None, id="in-a-shorter-window")]
)
def test_events_without_good_ones_have_all_failed_if_there_were_good_ones_before(window: float, ratio: float | None) -> None:
    assert five_minutes({"total": 500}, (Errors(window, START, 0.0001, has_good=True),)).ratio == ratio


def test_a_whole_window_without_good_events_is_not_believed_because_an_older_answer_had_some() -> None:
    before = tuple(Errors(window, START, 0.0, has_good=True) for window in (300.0, MONTH))
    found = slo_queries.errors(counted(SLOW, {}, leave={"good"}), before, MONTH)
    assert [each.ratio for each in found] == [None] * 3


def test_a_gap_is_a_gap_in_every_window() -> None:
    answers = none_of(slo())
    assert {(each.ratio, each.gap) for answer in answers for each in slo_queries.errors(answer, (), MONTH)} == {(None, Gap.UNREACHABLE)}
    assert [each.gap for each in slo_queries.errors(none_of(sloth())[0], (), MONTH)] == [Gap.UNREACHABLE] * 3


@pytest.mark.parametrize(
    ("age", "taken"),
    [
        pytest.param(15, -15, id="as-told"),
        pytest.param(-3600, 0, id="never-after-it-was-asked-for"),
        pytest.param(None, None, id="no-sample-now"),
    ],
)
def test_the_newest_sample_has_its_own_time(age: float | None, taken: float | None) -> None:
    assert slo_queries.taken_at(counted(FAST, {}, age=age)) == (None if taken is None else at(taken))


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0, 0.0])
def test_a_time_that_is_none_is_no_sample(seconds: float) -> None:
    assert slo_queries.taken_at(slo_queries.answer(FAST, [({SIDE_LABEL: "taken"}, seconds)], asked_at=START)) is None


def test_series_of_sloth_tell_windows_objective_and_period() -> None:
    given = kept(sloth(), {"5m": 0.002, "1h": 0.001, "4w": 0.0005}, {"objective": 0.9990000000000001, "seconds": 28 * DAY})
    terms = slo_queries.terms(sloth(), [given])
    assert terms == slo_queries.Terms(Decimal("99.9"), 28 * DAY)
    assert [(each.window, each.ratio) for each in slo_queries.errors(given, (), 28 * DAY)] == [
        (300.0, 0.002),
        (HOUR, 0.001),
        (28 * DAY, 0.0005),
    ]


def test_series_of_pyrra_tell_their_window_and_availability() -> None:
    given = kept(pyrra(), {"5m": 0.002, "1h4m": 0.001}, {"objective": 0.99, "seconds": MONTH, "availability": 0.995})
    terms = slo_queries.terms(pyrra(), [given])
    assert terms == slo_queries.Terms(Decimal("99"), MONTH, 30 / 28)
    assert [(each.window, each.ratio) for each in slo_queries.errors(given, (), MONTH)] == [
        (300.0, 0.002),
        (3840.0, 0.001),
        (MONTH, near(0.005)),
    ]


@pytest.mark.parametrize(
    ("ratio", "error", "why"),
    [
        pytest.param(1.2, 1.0, None, id="more-than-all"),
        pytest.param(-0.1, 0.0, None, id="less-than-none"),
        pytest.param(math.nan, None, Gap.NOT_A_NUMBER, id="nan"),
        pytest.param(math.inf, None, Gap.NOT_A_NUMBER, id="infinite"),
    ],
)
def test_a_ratio_that_is_kept_is_a_ratio_or_unknown(ratio: float, error: float | None, why: Gap | None) -> None:
    (found,) = slo_queries.errors(kept(sloth(), {"5m": ratio}, {}), (), MONTH)
    assert (found.ratio, found.gap) == (error, why)


@pytest.mark.parametrize(
    ("fields", "facts", "objective"),
    [
        pytest.param({}, {}, None, id="nobody-tells"),
        pytest.param({"objective": "99"}, {}, Decimal("99"), id="the-spec-does"),
        pytest.param({"objective": "99"}, {"objective": 0.995}, Decimal("99.5"), id="theirs-is-taken"),
        pytest.param({"objective": "99"}, {"objective": 1.0}, None, id="theirs-leaves-no-budget"),
        pytest.param({}, {"objective": math.nan}, None, id="theirs-is-not-a-number"),
        pytest.param({}, {"objective": 0.9999999999999}, None, id="theirs-leaves-nearly-no-budget"),
    ],
)
def test_the_objective_of_series_is_theirs(fields: dict[str, Any], facts: dict[str, float], objective: Decimal | None) -> None:
    found = slo_queries.terms(sloth(**fields), [kept(sloth(**fields), {}, facts)])
    assert found.objective == objective


@pytest.mark.parametrize("seconds", [math.nan, 0.0, -1.0, 60.0, 1e300])
def test_a_window_that_makes_no_sense_is_not_taken(seconds: float) -> None:
    found = slo_queries.terms(sloth(), [kept(sloth(), {}, {"objective": 0.99, "seconds": seconds})])
    assert found.window == MONTH


NUMBERS = st.one_of(st.floats(), st.integers(-5, 5).map(float))
LABELS = st.fixed_dictionaries(
    {},
    optional={
        WINDOW_LABEL: st.sampled_from(["", "5m", "1h", "30d", "0s", "x", "99999999999999999999d", "1y"]),
        SIDE_LABEL: st.sampled_from([str(side) for side in slo_queries.Side] + ["", "nonsense"]),
        "job": st.text(max_size=3),
    },
)


@given(st.lists(st.tuples(LABELS, NUMBERS), max_size=100), st.sampled_from([slo(), sloth(), pyrra()]))
def test_whatever_is_answered_ratios_are_ratios(series: list[tuple[dict[str, str], float]], of: Any) -> None:
    given_answers = [slo_queries.answer(query, series, asked_at=START) for query in slo_queries.queries(of)]
    slo_queries.terms(of, given_answers)
    for answer in given_answers:
        slo_queries.taken_at(answer)
        for each in slo_queries.errors(answer, (), MONTH):
            assert (each.ratio is None) is (each.gap is not None)
            assert each.window > 0
            assert each.ratio is None or 0 <= each.ratio <= 1
