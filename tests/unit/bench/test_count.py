"""What a run costs.

Aspects: requests by sort · processor time of a child, also of one that has ended · memory of all processes below one · processes that are gone.
"""

import os
import subprocess
import sys

from bench import count
from tests.unit.bench.builders import request


def test_requests_are_counted_by_sort():
    found = count.by_sort(
        [
            request("patch", "configmaps"),
            request("patch", "configmaps"),
            request("patch", "configmaps", is_dry_run=True),
            request("patch", "clusterstates", subresource="status"),
            request("get", "", uri="/openapi/v3?timeout=1s"),
        ]
    )
    assert found == {"get /openapi/v3": 1, "patch clusterstates/status": 1, "patch configmaps": 2, "patch configmaps dry-run": 1}


BURN = "import time\nwhile time.process_time() < 0.3: pass\n"  # 0.3 s, of which the system accounts whole ticks of 10 ms of user and of system time


def test_the_time_of_a_child_that_has_ended_stays_with_its_parent():
    before = count.cpu_seconds([os.getpid()])
    subprocess.run([sys.executable, "-c", BURN], check=True)
    assert count.cpu_seconds([os.getpid()]) - before >= 0.25


def test_time_and_memory_of_a_child_that_runs_belong_to_its_parent():
    hungry = f"{BURN}keep = bytearray(50_000_000)\nprint(flush=True)\ninput()"
    mine = count.memory([os.getpid()])
    before = count.cpu_seconds([os.getpid()])
    with subprocess.Popen([sys.executable, "-c", hungry], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        both, alone = count.memory([os.getpid()]), count.memory([child.pid])
        assert count.cpu_seconds([os.getpid()]) - before >= 0.25
        assert count.cpu_seconds([child.pid]) >= 0.25
        child.kill()
    assert both.pss - mine.pss >= 45_000_000
    assert alone.rss >= alone.pss >= 50_000_000
    assert alone.high_water >= alone.rss


def test_what_is_gone_costs_nothing():
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    assert count.cpu_seconds([int(child.stdout)]) == 0
    assert count.memory([int(child.stdout)]).pss == 0


def test_writes_of_some_resources_are_told_from_reads_dry_runs_and_others():
    requests = {
        "create events": 1,
        "get configmaps": 2,
        "list /apis": 4,
        "patch configmaps": 8,
        "patch configmaps dry-run": 16,
        "patch configmaps/status": 32,
        "delete deployments": 64,
        "patch clusterstates": 128,
    }
    assert count.writes(requests, {"configmaps", "deployments"}) == 8 + 32 + 64
    assert count.writes(requests, {"configmaps/status", "deployments/status"}) == 32
