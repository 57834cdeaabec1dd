"""The settings file of a running operator.

Aspects: what takes effect while it runs · a file that became wrong · what takes a restart · what is wrong at the start is told at once.
"""

from pathlib import Path

import pytest

from tests.support.objects import config_map, text
from tests.support.operator import Operator
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration

TAKEN_SECONDS = 20.0
"""A look every 10 s, and another a second later."""


def reloads(operator: Operator, result: str) -> float:
    """How many changes of the file came to that, as the metrics tell."""
    line = f'cvstate_config_reloads_total{{result="{result}"}} '
    return next((float(one.removeprefix(line)) for one in operator.http("/metrics")[1].splitlines() if one.startswith(line)), 0.0)


def messages(operator: Operator, level: str) -> list[dict[str, str]]:
    return [line for line in operator.lines() if line.get("level") == level]


def told(operator: Operator, beginning: str) -> dict[str, str]:
    """The first line of that message; empty if there is none."""
    return next((line for line in operator.lines() if line["message"].startswith(beginning)), {})


def test_a_file_that_changes_takes_effect_while_the_operator_runs(own: World, tmp_path: Path):
    file = tmp_path / "settings.yaml"
    file.write_text("logFormat: json\nwriters: 8\n")
    own.operator = Operator(own.cluster.operator_kubeconfig, tmp_path / "operator", "--config", str(file))
    with own.operator:
        own.declare()
        own.wait_applied(own.commit({"a.yaml": text(config_map("a", k="v"))}))

        file.write_text("logLevel: warning\nlogFormat: json\nwriters: 9\n")
        line = until("the change is read", lambda: told(own.operator, "settings file read"), seconds=TAKEN_SECONDS, every=0.2)
        assert line["changed"] == "logLevel"
        until("it is told what waits", lambda: told(own.operator, "settings changed that take a restart").get("changed") == "writers")
        before = len(messages(own.operator, "info"))
        own.wait_applied(own.commit({"a.yaml": text(config_map("a", k="w"))}))
        assert len(messages(own.operator, "info")) == before, "that it was applied is no warning"

        file.write_text("logLevel: loud\n")
        line = until("the fault is told", lambda: told(own.operator, "settings file refused"), seconds=TAKEN_SECONDS, every=0.2)
        assert f"{file}, line 1, logLevel: loud is none of debug, info, warning, error" in line["error"]
        assert own.operator.is_running


def test_changes_of_the_file_are_counted_by_what_came_of_them(own: World, tmp_path: Path):
    file = tmp_path / "settings.yaml"
    file.write_text("logFormat: json\n")
    own.operator = Operator(own.cluster.operator_kubeconfig, tmp_path / "operator", "--config", str(file))
    with own.operator:
        for content, result in (("logLevel: debug\nlogFormat: json\n", "ok"), ("logLevel: [\n", "failed")):
            file.write_text(content)
            until(f"{result} is counted", lambda result=result: reloads(own.operator, result) == 1, seconds=TAKEN_SECONDS, every=0.2)


def test_everything_that_is_wrong_at_the_start_is_told_one_line_each(own: World, tmp_path: Path):
    file = tmp_path / "settings.yaml"
    file.write_text("loglevel: debug\nnotices:\n  - name: ops\n")
    operator = Operator(own.cluster.operator_kubeconfig, tmp_path / "wrong", "--config", str(file), "--writers", "many", "--group", "A B")
    operator.start(wait=False)
    assert operator.wait() == 2
    lines = operator.log.read_text().splitlines()
    places = (
        f"{file}, line 1: there is no setting 'loglevel'; is logLevel meant?",
        "--writers: many",
        "--group: A B",
        f"{file}, line 2: notices[0]",
    )
    for place in places:
        assert sum(line.startswith(f"cvstate: {place}") for line in lines) == 1, (place, lines)
    assert len(lines) == len(places)
