"""Isolation, with real child processes.

Aspects: answers and errors travel · environment and limits · a child that hangs, crashes, eats memory · a fork server that dies · a disk that fails · many at once.
"""

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.isolation.child import ChildFailedError, Children, ChildStarvedError, ChildTimeoutError, Limits
from cvstate_operator.isolation.task import ADDRESS_SPACE_BYTES, INHERITED_BYTES

TASK = "tests.unit.isolation.tasks"
LIMITS = Limits(wall_seconds=20)


@pytest.fixture
async def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Children]:
    # The tasks of this test are no part of the installed package, so its fork server has to be shown the way to them.
    checkout = Path(__file__).parents[3]
    monkeypatch.setattr(
        "cvstate_operator.isolation.child._PYTHON", ("/usr/bin/env", f"PYTHONPATH={checkout}", sys.executable, "-X", "utf8")
    )
    running = Children(tmp_path / "scratch", preload=("orjson",))
    yield running
    await running.close()


async def ask(children: Children, do: str, limits: Limits = LIMITS, **more: Any) -> dict[str, Any]:
    return await children.run(TASK, {"do": do, **more}, limits=limits)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until_gone(pids: Path) -> None:
    numbers = [int(pid) for pid in pids.read_text().split()]
    assert len(numbers) == 2
    async with asyncio.timeout(5):
        while any(map(is_alive, numbers)):
            await asyncio.sleep(0.01)


async def test_a_long_request_gets_a_long_answer(children: Children):
    text = "x" * 3_000_000
    assert (await ask(children, "echo", text=text))["text"] == text


async def test_each_task_has_a_process_of_its_own(children: Children):
    pids = {(await ask(children, "echo", text=""))["pid"] for _ in range(3)}
    assert len(pids) == 3
    assert not any(map(is_alive, pids))


async def test_the_child_has_an_empty_environment_and_a_home_that_goes_with_it(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SECRET", "canary")
    found = await ask(children, "environment")
    assert set(found["environment"]) == {"HOME", "PATH", "LC_ALL", "TMPDIR"}
    assert found["cwd"] == found["environment"]["HOME"]
    assert Path(found["cwd"]).parent == tmp_path / "scratch"
    assert not Path(found["cwd"]).exists()


async def test_the_child_trusts_whom_the_machine_trusts(children: Children, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    machine = ssl.get_default_verify_paths()
    assert (await ask(children, "environment"))["authorities"] == [machine.cafile, machine.capath]


async def test_the_child_is_limited_and_holds_no_file_of_others(children: Children):
    await asyncio.gather(*(ask(children, "echo", text="") for _ in range(5)))
    found = await ask(children, "environment", Limits(wall_seconds=20, memory_bytes=512 * 2**20, file_bytes=2**20))
    assert 512 * 2**20 - INHERITED_BYTES < found["limits"].pop("RLIMIT_DATA") < 600 * 2**20  # beside what it has from the fork server
    assert found["limits"] == {"RLIMIT_AS": ADDRESS_SPACE_BYTES, "RLIMIT_FSIZE": 2**20, "RLIMIT_NOFILE": 256, "RLIMIT_CORE": 0}
    assert found["session"]
    # Standard streams, its connection, and the directory it lists.
    assert found["descriptors"] <= 5


async def test_an_error_of_our_tree_arrives_with_all_it_carries(children: Children):
    with pytest.raises(errors.VerificationFailedError, match="not signed") as caught:
        await ask(children, "error")
    assert caught.value.verdict == "SignatureMissing"


async def test_an_unforeseen_error_is_told_by_kind_and_place_without_its_text(children: Children):
    with pytest.raises(ChildFailedError, match=r"ValueError in tasks\.py:\d+") as caught:
        await ask(children, "fault")
    assert "secret" not in str(caught.value)


async def test_a_segmentation_fault_is_a_failed_task(children: Children):
    with pytest.raises(ChildFailedError, match="SIGSEGV"):
        await ask(children, "crash")
    assert (await ask(children, "echo", text="still here"))["text"] == "still here"


async def test_memory_has_a_limit_and_a_child_that_met_it_says_so(children: Children):
    limits = Limits(wall_seconds=20, memory_bytes=100 * 2**20)
    assert (await ask(children, "eat", limits, bytes=80 * 2**20))["length"] == 80 * 2**20
    with pytest.raises(ChildStarvedError, match="out of memory") as caught:
        await ask(children, "eat", limits, bytes=101 * 2**20)
    assert caught.value.lacks == "memory"


@pytest.mark.parametrize(("is_most", "starved"), [(False, True), (True, False)], ids=["more-could-be-had", "there-is-no-more"])
async def test_an_error_near_the_limit_of_memory_is_doubted_while_more_can_be_had(children: Children, is_most: bool, starved: bool):
    with pytest.raises(ChildFailedError) as caught:
        await ask(children, "fail_full", Limits(wall_seconds=20, memory_bytes=100 * 2**20, is_most=is_most), bytes=80 * 2**20)
    assert isinstance(caught.value, ChildStarvedError) == starved


async def test_an_error_far_from_the_limit_is_what_it_says(children: Children):
    with pytest.raises(ChildFailedError, match="ValueError"):
        await ask(children, "fail_full", Limits(wall_seconds=20, memory_bytes=100 * 2**20), bytes=2**20)


@pytest.mark.parametrize(
    ("lent", "meanwhile"), [(75, False), (25, True), (None, True)], ids=["most of it", "some of it", "a program without a limit"]
)
async def test_memory_that_a_program_has_is_not_there_meanwhile_and_is_again_afterwards(
    children: Children, lent: int | None, meanwhile: bool
):
    limits = Limits(wall_seconds=20, memory_bytes=100 * 2**20)
    told = await ask(children, "lend", limits, bytes=50 * 2**20, lent=lent and lent * 2**20)
    assert told == {"meanwhile": meanwhile, "afterwards": True}


async def test_a_child_that_has_no_room_for_its_files_says_so(children: Children):
    with pytest.raises(ChildStarvedError, match="too much") as caught:
        await ask(children, "overflow")
    assert caught.value.lacks == "room"


async def test_a_child_that_hangs_is_killed_with_what_it_started(children: Children, tmp_path: Path):
    await ask(children, "echo", text="")  # the server is warm
    with pytest.raises(ChildTimeoutError, match="within 1 s"):
        await ask(children, "hang", Limits(wall_seconds=1), pids=str(tmp_path / "pids"))
    await until_gone(tmp_path / "pids")


async def test_what_left_the_group_of_its_task_is_killed_as_well(children: Children):
    answer = await children.run(TASK, {"do": "leave"}, limits=Limits(wall_seconds=10))
    async with asyncio.timeout(5):
        while is_alive(answer["pid"]):
            await asyncio.sleep(0.01)


async def test_a_cancelled_task_leaves_nothing_behind(children: Children, tmp_path: Path):
    task = asyncio.create_task(ask(children, "hang", pids=str(tmp_path / "pids")))
    while not (tmp_path / "pids").exists() or " " not in (tmp_path / "pids").read_text():
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_gone(tmp_path / "pids")
    assert not list((tmp_path / "scratch").iterdir())


async def test_a_fork_server_that_dies_fails_its_tasks_and_is_started_again(children: Children, tmp_path: Path):
    task = asyncio.create_task(ask(children, "hang", pids=str(tmp_path / "pids")))
    while not (tmp_path / "pids").exists() or " " not in (tmp_path / "pids").read_text():
        await asyncio.sleep(0.02)
    assert children._server is not None
    os.kill(children._server._process.pid, signal.SIGKILL)
    with pytest.raises(ChildFailedError):
        await task
    assert (await ask(children, "echo", text="again"))["text"] == "again"


async def test_many_at_once_do_not_mix_their_answers(children: Children):
    found = await asyncio.gather(*(ask(children, "echo", text=str(i)) for i in range(60)))
    assert [answer["text"] for answer in found] == [str(i) for i in range(60)]


async def test_a_directory_that_cannot_be_written_is_told_until_it_can(children: Children, tmp_path: Path):
    (tmp_path / "scratch").write_text("a file, not a directory")
    with pytest.raises(ChildFailedError, match="the cache directory cannot be written: File exists"):
        await ask(children, "echo", text="x")
    assert "cannot be written" in children.fault
    (tmp_path / "scratch").unlink()
    await ask(children, "echo", text="x")
    assert children.fault == ""


async def test_a_server_that_was_started_beforehand_is_the_one_that_is_used(children: Children, monkeypatch: pytest.MonkeyPatch):
    await children.warm()
    await children.warm()
    monkeypatch.setattr("asyncio.create_subprocess_exec", None)  # no other is started from now on
    assert (await ask(children, "echo", text="hello"))["text"] == "hello"


async def test_a_server_that_cannot_be_started_beforehand_is_no_fault_yet(children: Children, tmp_path: Path):
    (tmp_path / "scratch").write_text("a file, not a directory")
    await children.warm()
    with pytest.raises(ChildFailedError):
        await ask(children, "echo", text="")


async def test_homes_that_a_killed_process_left_are_removed_at_the_start(children: Children, tmp_path: Path):
    left = tmp_path / "scratch" / "child-left" / "source"
    left.mkdir(parents=True)
    (left / "file").write_text("x")
    await children.warm()
    assert not left.parent.exists()
    assert (await ask(children, "echo", text="hello"))["text"] == "hello"


async def test_after_the_end_no_child_is_started(tmp_path: Path) -> None:
    children = Children(tmp_path, preload=())
    await children.close()
    with pytest.raises(ChildFailedError, match="stops"):
        await children.run(TASK, {}, limits=Limits(wall_seconds=5))
