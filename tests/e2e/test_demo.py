"""`cvstate demo` as a person runs it: on a cluster of its own, which the demo's observer and the audit log judge.

Aspects: every step is seen, whether the source is read over HTTP or SSH; what is measured; hand edits are repaired at once and their writers named; only what changed is written, and nothing when
nothing changed; a fight over a field ends after as many repairs as the ClusterState allows, the rival named, everything else repaired meanwhile; an image that crashes is named,
rolled back and quarantined, while the old one goes on; what is not signed is refused, once signatures are asked for; a large prune waits until it is approved; nothing is left behind, neither at the end nor after SIGTERM or many Ctrl-C; a step that does not happen fails the demo and keeps the log.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cvstate_operator.cli.demo.cluster import PROGRAMS
from cvstate_operator.cli.demo.steps import STEPS
from tests.cluster import builds
from tests.e2e.leftovers import Room, room

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
"""A demo takes 10 s; the rest is for programs that are not built yet."""

COMMAND = (sys.executable, "-c", "from cvstate_operator.cli.main import main; main()", "demo")


@dataclass(frozen=True)
class Run:
    """A demo that is over."""

    git: str
    code: int
    output: str
    result: dict[str, Any]
    processes: list[str]
    files: list[str]


@pytest.fixture(scope="module", params=["http", pytest.param("ssh", marks=pytest.mark.long)])
def demo(request: pytest.FixtureRequest) -> Iterator[Run]:
    builds.ensure(PROGRAMS)
    with room() as here:
        result = here.path / "result.json"
        command = (*COMMAND, "--git", request.param, "--pace", "0", "--json", str(result))
        done = subprocess.run(command, env=here.environment, capture_output=True, text=True, timeout=120, check=False)
        measured = json.loads(result.read_text()) if result.exists() else {"steps": {}}
        result.unlink(missing_ok=True)
        yield Run(request.param, done.returncode, done.stdout + done.stderr, measured, here.processes(), here.files())


@pytest.fixture(scope="module")
def steps(demo: Run) -> dict[str, Any]:
    assert demo.code == 0, demo.output
    found: dict[str, Any] = demo.result["steps"]
    return found


def test_every_step_is_seen(demo: Run, steps: dict[str, Any]) -> None:
    assert list(steps) == ["ready", *(step.key for step in STEPS)]
    assert demo.result["ok"]
    for step in STEPS:
        assert f"ok  {step.title}" in demo.output


def test_whole_demo_takes_less_than_forty_seconds(demo: Run) -> None:
    assert demo.result["seconds"] < 40


def test_commit_of_forty_objects_and_more_converges_in_one_patch_each(steps: dict[str, Any]) -> None:
    seen = steps["converged"]
    assert seen["objects"] >= 40
    assert seen["files"] >= 8
    assert seen["workloads"] >= 9
    assert [write["verb"] for write in seen["writes"]] == ["patch"] * seen["objects"]
    assert len({(write["resource"], write["namespace"], write["name"]) for write in seen["writes"]}) == seen["objects"]


@pytest.mark.parametrize(
    ("step", "field", "writer"),
    [
        pytest.param("scaled", "/spec/replicas", "kubectl", id="scale"),
        pytest.param("edited", "/spec/template/spec/containers/0/image", "kubectl-edit", id="image"),
    ],
)
def test_hand_edit_is_repaired_within_a_second_and_its_writer_named(steps: dict[str, Any], step: str, field: str, writer: str) -> None:
    seen = steps[step]
    assert seen["seconds"] < 1
    assert (seen["field"], seen["writer"]) == (field, writer)
    assert seen["was"] != seen["declared"]


def test_deleted_object_is_back_within_a_second(steps: dict[str, Any]) -> None:
    assert steps["deleted"]["seconds"] < 1


def test_fight_ends_after_three_repairs_and_names_the_rival(steps: dict[str, Any]) -> None:
    seen = steps["fought"]
    assert (seen["object"], seen["field"]) == ("apps/Deployment/webshop-services/cart", "/spec/replicas")
    assert seen["rival"] == "replica-tuner"
    assert "replica-tuner undoes every repair" in seen["message"]
    assert seen["repairs"] == 3
    assert seen["rival_writes"] == 4


def test_edit_of_another_object_is_repaired_within_a_second_while_a_fight_stands(steps: dict[str, Any]) -> None:
    seen = steps["fought"]
    assert seen["other_object"] == "ConfigMap/webshop-web/storefront"
    assert seen["other_seconds"] < 1


def test_fight_is_over_at_once_when_git_no_longer_declares_the_field(steps: dict[str, Any]) -> None:
    assert steps["fought"]["settled_seconds"] < 2


def test_new_commit_writes_the_changed_objects_and_no_other(steps: dict[str, Any]) -> None:
    seen = steps["released"]
    assert _named(seen["writes"], "patch") == seen["changed"]
    assert len(seen["changed"]) == len(seen["writes"]) == 2


def test_shop_that_opened_has_the_highest_score_and_nothing_is_in_doubt(steps: dict[str, Any]) -> None:
    assert (steps["converged"]["score"], steps["converged"]["confidence"]) == (100, 100)


def test_image_that_crashes_is_named_by_pod_and_container(steps: dict[str, Any]) -> None:
    seen = steps["crashed"]
    assert (seen["reason"], seen["container"], seen["why"]) == ("CrashLoopBackOff", "checkout", "ends with exit code 1 (Error)")
    assert seen["pod"].startswith("webshop-services/checkout-")


def test_image_that_crashes_is_rolled_back_in_time_and_quarantined_with_evidence(steps: dict[str, Any]) -> None:
    seen = steps["crashed"]
    assert 5 <= seen["rolled_back_seconds"] < 10
    assert seen["named_seconds"] < seen["rolled_back_seconds"] <= seen["seconds"]
    assert seen["quarantined"].startswith("not healthy within 5s: ")
    assert [seen["pod"] in line for line in seen["evidence"]] == [True]
    # The bad image, and the good one again.
    assert _named(seen["writes"], "patch") == ["deployments webshop-services/checkout"] * 2
    assert len(seen["writes"]) == 2


def test_image_that_crashes_costs_points_and_no_ready_pod(steps: dict[str, Any]) -> None:
    seen = steps["crashed"]
    assert (seen["score_before"], seen["score_worst"]) == (100, 80)
    assert seen["ready_worst"] == seen["replicas"] == 2


def test_commit_after_one_that_was_rolled_back_is_taken_within_seconds(steps: dict[str, Any]) -> None:
    assert steps["crashed"]["next_seconds"] < 5


def test_source_is_read_as_asked_for_and_the_screen_says_so(demo: Run, steps: dict[str, Any]) -> None:
    assert f"Git at {demo.git}://" in demo.output
    assert ("identity and known_hosts in Secret git-auth" in demo.output) is (demo.git == "ssh")


def test_unsigned_commit_is_refused_and_the_same_change_signed_is_applied(steps: dict[str, Any]) -> None:
    seen = steps["signed"]
    assert (seen["refused_reason"], seen["refused_writes"]) == ("SignatureMissing", 0)
    assert "git commit -S" in seen["refused_message"]
    assert _named(seen["writes"], "patch") == ["deployments webshop-services/payment"]
    assert len(seen["writes"]) == 1
    assert seen["signed_by"] == f"ssh:{seen['fingerprint']} (jane@example.test)"


def test_broken_file_is_named_and_loses_nothing(steps: dict[str, Any]) -> None:
    seen = steps["broken"]
    assert (seen["reason"], seen["file"], seen["document"]) == ("YAMLInvalid", "deploy/services/reviews.yaml", 2)
    assert "deploy/services/reviews.yaml document 2" in seen["ready_message"]
    assert seen["kept"] == seen["declared"]


def test_removed_file_is_pruned_and_nothing_else_written(steps: dict[str, Any]) -> None:
    seen = steps["pruned"]
    assert _named(seen["writes"], "delete") == sorted(seen["pruned"])
    assert len(seen["pruned"]) == len(seen["writes"]) == 3


def test_prune_beyond_the_limits_is_listed_and_waits_until_it_is_approved(steps: dict[str, Any]) -> None:
    seen = steps["held"]
    assert len(seen["pruned"]) == seen["planned"] == 14
    assert "14 of 53 objects would go at once" in seen["held_message"]
    assert all(limit in seen["held_message"] for limit in ("spec.prune.maxDeletes allows 10", "spec.prune.maxPercent (20 %) allows 10"))
    # Nothing was written before the approval, or the step had not been seen.
    assert _named(seen["writes"], "delete") == sorted(seen["pruned"])
    assert len(seen["writes"]) == 14
    assert seen["seconds"] < 5


def test_second_reconcile_of_an_unchanged_world_writes_nothing(steps: dict[str, Any]) -> None:
    assert steps["quiet"]["writes"] == []


def test_demo_ends_ready(steps: dict[str, Any]) -> None:
    assert re.fullmatch(r"39 objects match main@sha1:[0-9a-f]{40}", steps["quiet"]["ready_message"])


def test_nothing_is_left_behind(demo: Run) -> None:
    assert demo.processes == []
    assert demo.files == []


def test_sigterm_puts_everything_away() -> None:
    with room() as here, _started(here) as process:
        _wait_for_line(process, "ok  cluster and operator")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 130
        assert here.processes() == []
        assert here.files() == []


@pytest.mark.parametrize(
    ("pace", "line"),
    [pytest.param("30", "ok  cluster and operator", id="first pause"), pytest.param("0", " Times by", id="end", marks=pytest.mark.long)],
)
def test_impatient_person_who_interrupts_again_and_again_leaves_nothing_behind(pace: str, line: str) -> None:
    with room() as here, _started(here, pace=pace) as process:
        _wait_for_line(process, line)
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        # How it ends depends on where the last one strikes: when everything is put away, Python is as easily ended as ever.
        assert here.processes() == []
        assert here.files() == []


def test_operator_that_dies_fails_the_demo_and_keeps_its_log() -> None:
    with room() as here, _started(here) as process:
        _wait_for_line(process, "ok  cluster and operator")
        os.kill(_child(process.pid, "cvstate_operator.cli.main"), signal.SIGKILL)
        assert process.stdout is not None
        output = process.stdout.read()
        assert process.wait(timeout=60) == 1
        assert "the operator keeps running" in output
        assert re.search(r"log +(\S+)", output)
        assert here.files() == [f"cvstate-demo-{process.pid}.log"]
        assert here.processes() == []


def _named(writes: list[dict[str, str]], verb: str) -> list[str]:
    return sorted(f"{write['resource']} {write['namespace']}/{write['name']}" for write in writes if write["verb"] == verb)


def _started(here: Room, *, pace: str = "30") -> subprocess.Popen[str]:
    """A demo; it waits long before its first step if nothing else is said."""
    return subprocess.Popen(
        (*COMMAND, "--pace", pace), env=here.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )


def _wait_for_line(process: subprocess.Popen[str], start: str) -> None:
    assert process.stdout is not None
    before = []
    for line in process.stdout:
        before.append(line)
        if line.startswith(start):
            return
    raise AssertionError("".join(before))


def _child(parent: int, word: str) -> int:
    """The process id of a child whose command line holds a word."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        for number in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            if word in Path(f"/proc/{number}/cmdline").read_text():
                return int(number)
    raise AssertionError(f"{parent} has no child with {word}")
