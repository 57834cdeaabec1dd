"""Runs that nobody made, one for each of the plan: to try the report on. Never to be kept beside real ones.

Times and memory differ from run to run, counts do not. Two goals are missed: the requests of S2, and the seconds of S7. A session of an earlier day has one
cell too, with figures that are far off.
"""

import random
from collections.abc import Mapping
from dataclasses import replace

from bench import plan
from bench.plan import Run
from bench.results import Machine, Record
from tests.unit.bench.builders import run as record

MAIN: Mapping[str, str] = {"S3": "requests_per_hour", "S6": "pss_bytes"}
_SPEED: Mapping[str, float] = {"cvstate": 1.0, "flux": 5.5, "flux-tuned": 5.0, "flux-60s": 5.0}


SESSION = "20260131T235959Z"
EARLIER = "20260101T000000Z"
_WITH_NOISE = ("seconds", "_bytes", "seconds_per_round", "seconds_per_hour", "bytes_per_hour")
"""How the names of figures end that are no counts."""


def records(turns: int = 5) -> list[Record]:
    """Every run of the plan, and those of another day, the same each time."""
    found = [_record(each) for cell in plan.CELLS for each in plan.order(cell, turns)]
    earlier = [replace(each, session=EARLIER, figures={**each.figures, "seconds": 999.0}) for each in found if _is_ours_in_first_cell(each)]
    return [*earlier, *found]


def _is_ours_in_first_cell(made: Record) -> bool:
    first = plan.CELLS[0]
    return (made.scenario, made.n, made.tool, made.world) == (first.scenario, first.n, "cvstate", "quiet")


def _record(run: Run) -> Record:
    cell = run.cell
    chance = random.Random(f"{cell.scenario} {cell.variant} {cell.world} {cell.n} {cell.m} {run.tool} {run.turn}")
    figures = {name: value * (chance.uniform(0.93, 1.07) if name.endswith(_WITH_NOISE) else 1) for name, value in _figures(run).items()}
    if cell.scenario == "S6":
        figures["peak_ratio"] = figures["peak_pss_bytes"] / figures["pss_bytes"]
    return record(
        run.tool,
        scenario=cell.scenario,
        n=cell.n,
        m=cell.m,
        variant=cell.variant,
        turn=run.turn,
        session=SESSION,
        world=cell.world,
        figures=figures,
        main=MAIN.get(cell.scenario, "seconds"),
        samples={"seconds": tuple(figures.get("seconds", 0.0) * chance.uniform(0.8, 1.4) for _ in range(20))},
        machine=Machine("Invented CPU", 2, 24 * 2**30, "6.1", 0.2),
        started="2026-01-31T23:59:59+00:00",
        settings={"kubernetes": "v1.36.3"},
        facts={run.tool: "1.0"},
        run_seconds=30.0,
    )


def _figures(run: Run) -> Mapping[str, float]:
    thousands = run.cell.n / 1000
    is_ours, is_bound = run.tool == "cvstate", run.tool.startswith("bound")
    factor = _SPEED.get(run.tool, 0.85 + 0.002 * int(run.tool.rpartition("-")[2]) if is_bound else 1.0)
    common = {
        "cpu_seconds": 0.5 * factor * thousands,
        "caused_cpu_seconds": 1.3 * factor * thousands,
        "peak_pss_bytes": 1e8 + 1e6 * thousands,
    }
    match run.cell.scenario:
        case "S1":
            power = 1.0 if is_ours or is_bound else 1.2
            return {
                "seconds": 1.2 * factor * thousands**power,
                "requests_per_object": 1.005 if is_ours else 1.0 if is_bound else 3.02,
                **common,
            }
        case "S2":
            looks = not (is_ours or is_bound)
            return {
                "seconds": 3.3 * thousands if looks else 0.02 if is_bound else 0.13,
                "max_seconds": 3.5 * thousands if looks else 0.3,
                "p99_seconds": 0.3,
                "requests_per_round": 2019 * thousands if looks else 4,
                "cpu_seconds_per_round": 1.7 * thousands if looks else 0.05,
                "caused_cpu_seconds_per_round": 3.1 * thousands if looks else 0.02,
                "peak_pss_bytes": 1.2e8,
            }
        case "S3":
            many = 2019.0 * 6 * thousands
            return {
                "requests_per_hour": 8.0 if is_ours else many,
                "requests_per_hour_and_1000": 8.0 / thousands if is_ours else many / thousands,
                "writes_per_hour": 0.0,
                "response_bytes_per_hour": 1e5 * thousands,
                "cpu_seconds_per_hour": 9 + thousands / 4,
                "caused_cpu_seconds_per_hour": 1.0,
                "pss_bytes": 9e7,
            }
        case "S4":
            slow = 0.008 if is_ours else 35.0
            return {
                "seconds": slow,
                "p99_seconds": 5 * slow,
                "max_seconds": 8 * slow,
                "missed": 0,
                "false_repairs": 0,
                "second_drift_seconds": slow,
                "other_drift_seconds": slow,
                "object_writes_per_drift": 0.98,
                "requests_per_drift": 1.3 if is_ours else 20.0,
                **common,
            }
        case "S5":
            return {
                "seconds": 1.5 + 0.1 * thousands if is_ours else 0.8 + 5 * thousands,
                "done_seconds": 2 + thousands * factor,
                "requests": 40 if is_ours else 2014 * thousands,
                "surplus_writes": 0,
                **common,
            }
        case "S6":
            memory = (7e7 if is_ours else 8e7) + 2e3 * run.cell.n + 2 * run.cell.m
            return {"pss_bytes": memory, "peak_pss_bytes": 1.3 * memory}
        case "S8":
            memory = 8e7 + 1.2e7 * thousands
            return {
                "seconds": 2.5 * thousands,
                "one_seconds": 0.2,
                "clusters": 10 * thousands,
                "surplus_writes": 0,
                "pss_bytes": memory,
                **common,
            }
        case _:
            return {
                "seconds": 3.6 * thousands * factor,
                "one_seconds": 0.3 * factor,
                "all_seconds": 3.0 * thousands * factor,
                "status_writes_per_unit": 1.9,
                "unit_writes_per_unit": 2.9,
                "one_status_writes_per_unit": 1.0,
                "requests_per_object": 1.3 * factor,
                "one_requests": 200,
                **common,
            }
