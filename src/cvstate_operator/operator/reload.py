"""Reload: what the settings file says anew is put into effect while the operator runs, as far as that is possible.

A file that became wrong changes nothing: it is logged and counted, and the settings before stay. What can be changed is `settings.RELOADED`; everything else is
logged as waiting for a restart. The file is looked at, not watched: a ConfigMap is mounted by symbolic links that the kubelet swaps, and a look costs microseconds.
"""

import asyncio
import hashlib
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

from cvstate_operator import errors, settings_file
from cvstate_operator.settings import RELOADED, LogLevel, Settings
from cvstate_operator.settings_file import Setting
from cvstate_operator.telemetry import logs

POLL_SECONDS: Final = 10.0
"""Pause between looks. The kubelet itself takes up to a minute to bring a changed ConfigMap. Source: Kubernetes, "Mounted ConfigMaps are updated automatically"."""
SETTLE_SECONDS: Final = 1.0
"""A file that changed is read when it was the same for so long: an editor may be in the middle of writing it."""

OK: Final = "ok"
RESTART: Final = "restart"
"""Something changed that takes a restart; the rest is in effect."""
FAILED: Final = "failed"
RESULTS: Final = (OK, RESTART, FAILED)
"""What becomes of a change of the file: label `result` of `cvstate_config_reloads_total`."""

_LEVELS: Final = get_args(LogLevel)
"""From the most talkative to the quietest."""

_log = logging.getLogger(__name__)


def configure_logs(settings: Settings) -> None:
    """Log as the settings say, from now on."""
    is_text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    logs.configure(level=settings.log_level, as_json=not is_text)


class Reload:
    """Keeps the settings of one process in step with their file."""

    def __init__(
        self,
        settings: Settings,
        *,
        apply: Callable[[Settings], None],
        observe: Callable[[str], None],
        show: Callable[[Settings], None] = configure_logs,
    ) -> None:
        """
        Args:
            settings: that the process was started with.
            apply: puts new notices into effect; it may raise SettingsError if they cannot work, and then everything stays as it was.
            observe: told one of RESULTS for each change of the file.
            show: puts a new log level into effect.
        """
        self._settings = settings
        """In effect; what takes a restart is as it was at the start."""
        self._apply = apply
        self._observe = observe
        self._show = show
        self._taken = ""
        """Version of the file that was read last; empty: none yet."""
        self._noticed = ""
        """A newer one that was seen once."""
        self._is_refused = False

    async def run(self) -> None:
        """Look at the file now and then; ends at once if there is none, else never."""
        if self._settings.config is None:
            return
        pause = POLL_SECONDS
        while True:
            await asyncio.sleep(pause)
            try:
                pause = await self.look()
            except Exception:  # whatever it was, the next look may succeed
                _log.exception("internal error while reading the settings file, trying again")
                pause = POLL_SECONDS

    async def look(self) -> float:
        """Look once; returns after how many seconds to look again."""
        file = self._settings.config
        if file is None:
            return POLL_SECONDS
        version = await asyncio.to_thread(_version, file)
        if version == self._taken:
            return POLL_SECONDS
        if version != self._noticed:
            self._noticed = version
            return SETTLE_SECONDS
        self._taken = version
        await self._take()
        return POLL_SECONDS

    async def _take(self) -> None:
        """Read everything anew, and put into effect what can be."""
        try:
            found = await asyncio.to_thread(settings_file.read, self._settings.origin)
            differing = settings_file.changed(self._settings, found)
            if not differing and not self._is_refused:
                return
            reloaded = {one.field: getattr(found, one.field) for one in differing if one.field in RELOADED}
            now = replace(self._settings, **reloaded)
            if "notices" in reloaded:
                self._apply(now)
        except errors.SettingsError as exc:
            _log.error("settings file refused, the settings before stay", extra={"file": str(self._settings.config), "error": exc.message})
            self._is_refused = True
            self._observe(FAILED)
            return
        before, self._settings, self._is_refused = self._settings, now, False
        is_quieter = _LEVELS.index(now.log_level) > _LEVELS.index(before.log_level)
        if "log_level" in reloaded and not is_quieter:
            self._show(now)
        self._tell(differing)
        if is_quieter:  # not before, or nobody would see why
            self._show(now)

    def _tell(self, differing: Sequence[Setting]) -> None:
        """Log what a change of the file brought, and count it."""
        waiting = [one for one in differing if one.field not in RELOADED]
        _log.info("settings file read", extra={"changed": _keys(one for one in differing if one.field in RELOADED)})
        if waiting:
            _log.warning("settings changed that take a restart", extra={"changed": _keys(waiting)})
        self._observe(RESTART if waiting else OK)


def _keys(changed: Iterable[Setting]) -> str:
    return ", ".join(one.key for one in changed)


def _version(file: Path) -> str:
    """What tells one content of the file from another; of a file that cannot be read, why."""
    try:
        with file.open("rb") as stream:
            return hashlib.sha256(stream.read(settings_file.MAX_BYTES + 1)).hexdigest()
    except OSError as exc:
        return f"unreadable: {exc.strerror}"
