"""Growth of costs.

Aspects: the exponent of a power · runs are points, two sizes suffice · what cannot be fitted · foreign objects are left out · widths of the bound are one tool ·
the figure that a scenario is about comes first.
"""

import dataclasses

import pytest

from bench.cells import cells
from bench.exponents import exponents
from tests.unit.bench.builders import run

SIZES = (1000, 5000, 10000)


def test_a_cost_that_grows_as_a_power_has_its_exponent():
    [fit] = exponents(cells([run(seconds=(n / 1000) ** 1.5, n=n) for n in SIZES]))
    assert fit.growth.exponent == pytest.approx(1.5)
    assert fit.growth.error == pytest.approx(0)
    assert (fit.figure, fit.tool, fit.fewest, fit.most) == ("seconds", "cvstate", 1000, 10000)


def test_a_cost_that_does_not_grow_has_exponent_zero():
    [fit] = exponents(cells([run(seconds=0.02, n=n) for n in SIZES]))
    assert fit.growth.exponent == pytest.approx(0)


def test_two_sizes_suffice_where_there_are_several_runs():
    runs = [run(seconds=seconds * n, n=n, turn=turn) for n in (1000, 10000) for turn, seconds in enumerate((0.9, 1.1))]
    [fit] = exponents(cells(runs))
    assert fit.growth.exponent == pytest.approx(1)
    assert fit.growth.error > 0


@pytest.mark.parametrize(
    "runs",
    [
        pytest.param([run(n=n) for n in (1000, 5000)], id="two-runs"),
        pytest.param([run(n=1000, turn=turn) for turn in range(3)], id="one-size"),
        pytest.param([run(seconds=0.0, n=n) for n in SIZES], id="nothing-spent"),
        pytest.param([run(n=n, faults=("broken",)) for n in SIZES], id="none-counts"),
        pytest.param([dataclasses.replace(run(n=n), m=10) for n in SIZES], id="foreign-objects"),
    ],
)
def test_what_says_nothing_about_growth_is_left_out(runs: list[object]):
    assert exponents(cells(runs)) == []  # type: ignore[arg-type]


def test_commits_are_compared_with_as_many_commits_where_runs_have_different_numbers():
    runs = [run(scenario="S2", n=n, seconds=0.1, samples={"seconds": (0.1, 0.1)}) for n in SIZES[:2]]
    runs.append(run(scenario="S2", n=SIZES[2], seconds=0.5, samples={"seconds": (0.1, 0.1, 0.5, 0.5, 0.5)}))
    [fit] = exponents(cells(runs))
    assert fit.growth.exponent == pytest.approx(0)


def test_what_is_counted_in_one_run_of_drifts_has_no_growth():
    figures = {"seconds": 0.01, "requests": 600.0, "cpu_seconds": 3.0, "caused_cpu_seconds": 6.0, "cpu_seconds_per_drift": 0.005}
    fits = exponents(cells([run(scenario="S4", n=n, figures=figures) for n in SIZES]))
    assert [fit.figure for fit in fits] == ["seconds", "cpu_seconds_per_drift"]


def test_runs_of_two_sessions_are_never_one_line():
    one = [run(seconds=n, n=n, turn=turn) for n in (1000, 5000) for turn in (0, 1)]
    other = [run(seconds=5.0, n=10000, session="s2", turn=turn) for turn in range(9)]
    [fit] = exponents(cells(one + other))
    assert (fit.growth.exponent, fit.most, fit.points, fit.sizes, fit.turns) == (pytest.approx(1), 5000, 4, 2, 2)


def test_memory_is_fitted_over_foreign_objects_beside_the_same_declared_ones():
    beside = [run(scenario="S6", m=m, figures={"pss_bytes": 8e7}, main="pss_bytes", turn=turn) for m in (10000, 100000) for turn in (0, 1)]
    elsewhere = run(scenario="S6", n=7, m=500, figures={"pss_bytes": 1.0}, main="pss_bytes")
    [fit] = exponents(cells([*beside, elsewhere]))
    assert (fit.is_foreign, fit.fewest, fit.most, fit.growth.exponent) == (True, 10000, 100000, pytest.approx(0))


def test_forms_of_a_scenario_are_kept_apart():
    runs = [run(seconds=n if variant else 1, n=n, variant=variant) for n in SIZES for variant in ("", "b")]
    assert [(fit.variant, round(fit.growth.exponent)) for fit in exponents(cells(runs))] == [("", 0), ("b", 1)]


def test_the_widths_of_the_lower_bound_are_one_tool():
    runs = [run(tool, seconds=n / 1000, n=n) for n, tool in zip(SIZES, ("bound-8", "bound-16", "bound-8"), strict=True)]
    assert [fit.tool for fit in exponents(cells(runs))] == ["bound"]


def test_the_main_figure_comes_first_and_others_that_are_there_follow():
    runs = [run(n=n, figures={"requests": float(n), "pss_bytes": 9.0}, main="pss_bytes") for n in SIZES]
    assert [fit.figure for fit in exponents(cells(runs))] == ["pss_bytes", "requests"]
