"""Files: the repository as the renderers look at it, from a Git tree (`export.TreeFiles`) or from a directory on disk.

Paths are relative to the repository, with slashes, without `.` and `..`; the repository itself is the empty path.
"""

from pathlib import Path
from typing import Final, Protocol

from cvstate_operator import errors
from cvstate_operator.objects.redaction import one_line

MAX_FILE_BYTES: Final = 50 * 2**20
"""Largest file that a render reads."""


class Files(Protocol):
    """What a renderer may ask; symbolic links are followed, but never out of the repository.

    Every method raises SymlinkEscapesError for a link that leads out of the repository, into `.git` or in a circle.
    """

    def read(self, path: str) -> bytes | None:
        """Content of a file; None if there is none. Raises RenderTooLargeError."""

    def is_file(self, path: str) -> bool:
        """Whether there is a file."""

    def directory(self, path: str) -> str | None:
        """Path of a directory with its links resolved; None if there is none."""


class DiskFiles:
    """A directory on disk, as `cvstate check` is given one."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def read(self, path: str) -> bytes | None:
        found = self._resolve(path)
        if found is None or not found.is_file():
            return None
        if found.stat().st_size > MAX_FILE_BYTES:
            raise too_large(path)
        return found.read_bytes()

    def is_file(self, path: str) -> bool:
        found = self._resolve(path)
        return found is not None and found.is_file()

    def directory(self, path: str) -> str | None:
        found = self._resolve(path)
        if found is None or not found.is_dir():
            return None
        relative = found.relative_to(self._root).as_posix()
        return "" if relative == "." else relative

    def _resolve(self, path: str) -> Path | None:
        """Where `path` leads; None if nowhere."""
        try:
            found = (self._root / path).resolve(strict=True)
        except (OSError, RuntimeError, ValueError) as exc:
            # A circle is a RuntimeError up to Python 3.12, and an OSError later; names may hold what no file system takes.
            if isinstance(exc, RuntimeError):
                raise link_escapes(path, "leads in a circle") from exc
            return None
        if not found.is_relative_to(self._root):
            raise link_escapes(path, "leads out of the repository")
        if ".git" in found.relative_to(self._root).parts:
            raise link_escapes(path, "leads into .git")
        return found


def link_escapes(path: str, how: str) -> errors.SymlinkEscapesError:
    """The error for a symbolic link that is not followed."""
    return errors.SymlinkEscapesError(f"{one_line(path)}: the symbolic link {how}; put the file itself there")


def too_large(path: str, limit_bytes: int = MAX_FILE_BYTES) -> errors.RenderTooLargeError:
    """The error for a file beyond the limit."""
    return errors.RenderTooLargeError(f"{one_line(path)}: larger than {limit_bytes // 2**20} MiB; split it, or leave it out of the path")
