"""Reload of the settings file.

Aspects: what is put into effect · what takes a restart · a file that became wrong, and well again · a file that is being written · when it is looked at.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cvstate_operator import settings_file
from cvstate_operator.errors import SettingsError
from cvstate_operator.operator import reload
from cvstate_operator.operator.reload import FAILED, OK, POLL_SECONDS, RESTART, SETTLE_SECONDS, Reload
from cvstate_operator.settings import Origin, Settings

TARGET = "notices: [{name: ops, type: Webhook, url: 'https://ops.example.com/hook'}]\n"


class Running:
    """A process that was started with a file."""

    def __init__(self, file: Path, **options: str) -> None:
        self.file = file
        self.applied: list[Settings] = []
        self.shown: list[str] = []
        self.results: list[str] = []
        self.refuse: Exception | None = None
        settings = settings_file.read(Origin(options, {"CVSTATE_CONFIG": str(file)}))
        self.reload = Reload(
            settings, apply=self._apply, observe=self.results.append, show=lambda settings: self.shown.append(settings.log_level)
        )

    def _apply(self, settings: Settings) -> None:
        if self.refuse:
            raise self.refuse
        self.applied.append(settings)

    async def says(self, text: str) -> None:
        """The file says this now, and was looked at until it was taken."""
        self.file.write_text(text)
        while await self.reload.look() != POLL_SECONDS:
            pass


class Enough(BaseException):
    """Ends what never ends by itself."""


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., Any]:
    """Starts with this text in the file."""

    async def start(text: str, **options: str) -> Running:
        file = tmp_path / "settings.yaml"
        file.write_text(text)
        running = Running(file, **options)
        await running.says(text)
        return running

    return start


async def test_what_was_read_at_the_start_is_no_change(started: Any) -> None:
    running = await started(TARGET)
    assert (running.applied, running.shown, running.results) == ([], [], [])


async def test_log_level_and_notices_take_effect_at_once(started: Any) -> None:
    running = await started("logLevel: info\n")
    await running.says(f"logLevel: debug\n{TARGET}")
    assert running.shown == ["debug"]
    assert [[one.name for one in settings.notices] for settings in running.applied] == [["ops"]]
    assert running.results == [OK]


@pytest.mark.parametrize(("before", "after", "expected"), [("info", "error", "told, shown"), ("error", "info", "shown, told")])
async def test_a_change_is_told_by_the_more_talkative_of_two_levels(
    started: Any, monkeypatch: pytest.MonkeyPatch, before: str, after: str, expected: str
) -> None:
    running, order = await started(f"logLevel: {before}\n"), []
    monkeypatch.setattr(running.reload, "_show", lambda _: order.append("shown"))
    monkeypatch.setattr(running.reload, "_tell", lambda _: order.append("told"))
    await running.says(f"logLevel: {after}\n")
    assert ", ".join(order) == expected


async def test_notices_are_not_begun_anew_when_only_the_log_level_changes(started: Any) -> None:
    running = await started(TARGET)
    await running.says(f"logLevel: debug\n{TARGET}")
    assert (running.applied, running.shown) == ([], ["debug"])


async def test_what_takes_a_restart_is_told_by_name_and_changes_nothing(started: Any, caplog: pytest.LogCaptureFixture) -> None:
    running = await started("writers: 4\n")
    await running.says("writers: 5\ngroup: blue\n")
    (line,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert line.__dict__["changed"] == "writers, group"
    assert running.results == [RESTART]
    assert (running.applied, running.shown) == ([], [])


async def test_the_rest_takes_effect_although_something_takes_a_restart(started: Any) -> None:
    running = await started("writers: 4\n")
    await running.says("writers: 5\nlogLevel: error\n")
    assert (running.shown, running.results) == (["error"], [RESTART])


async def test_an_option_still_wins_over_the_file(started: Any) -> None:
    running = await started("logLevel: info\n", log_level="warning")
    await running.says("logLevel: debug\n")
    assert (running.shown, running.results) == ([], [])


@pytest.mark.parametrize("text", ["logLevel: loud\n", "loglevel: debug\n", "a: [\n", f"{TARGET}writers: 0\n"])
async def test_a_file_that_became_wrong_is_told_once_and_nothing_changes(started: Any, caplog: pytest.LogCaptureFixture, text: str) -> None:
    running = await started("logLevel: info\n")
    await running.says(text)
    await running.says(text)
    assert (running.applied, running.shown, running.results) == ([], [], [FAILED])
    (line,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert str(running.file) in line.__dict__["error"]


async def test_a_file_that_vanished_is_wrong_and_heals_when_it_is_back(started: Any) -> None:
    running = await started("logLevel: info\n")
    running.file.unlink()
    assert [await running.reload.look() for _ in range(3)] == [SETTLE_SECONDS, POLL_SECONDS, POLL_SECONDS]
    assert running.results == [FAILED]
    await running.says("logLevel: info\n")
    assert running.results == [FAILED, OK], "somebody who waits for the mend is told"


async def test_notices_that_cannot_work_leave_everything_as_it_was(started: Any) -> None:
    running = await started("logLevel: info\n")
    running.refuse = SettingsError("the host of ops may not be asked")
    await running.says(f"logLevel: debug\n{TARGET}")
    assert (running.shown, running.results) == ([], [FAILED])
    running.refuse = None
    await running.says(f"logLevel: debug\n{TARGET}# again\n")
    assert (running.shown, running.results) == (["debug"], [FAILED, OK])


async def test_a_file_that_is_being_written_is_left_alone_until_it_stays_the_same(started: Any) -> None:
    running = await started(f"logLevel: info\n{TARGET}")
    for text in ("", "logLevel: deb", "logLevel: debug\n"):
        running.file.write_text(text)
        assert await running.reload.look() == SETTLE_SECONDS
    assert (running.applied, running.results) == ([], [])
    running.file.write_text(f"logLevel: debug\n{TARGET}")
    assert [await running.reload.look(), await running.reload.look()] == [SETTLE_SECONDS, POLL_SECONDS]
    assert (running.applied, running.shown, running.results) == ([], ["debug"], [OK])


async def test_the_same_content_by_another_way_is_no_change(started: Any, tmp_path: Path) -> None:
    running = await started("logLevel: info\n")
    other = tmp_path / "..data"
    other.write_text("logLevel: info\n")
    running.file.unlink()
    running.file.symlink_to(other)
    assert await running.reload.look() == POLL_SECONDS
    assert running.results == []


async def test_a_fault_of_ours_does_not_end_the_looking(
    started: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = await started("logLevel: info\n")
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise Enough

    async def broken() -> float:
        raise RuntimeError("bug")

    monkeypatch.setattr(reload.asyncio, "sleep", sleep)
    monkeypatch.setattr(running.reload, "look", broken)
    with pytest.raises(Enough):
        await running.reload.run()
    assert pauses == [POLL_SECONDS] * 3
    assert "internal error" in caplog.text


async def test_without_a_file_there_is_nothing_to_look_at() -> None:
    await Reload(Settings(), apply=lambda _: None, observe=lambda _: None).run()
