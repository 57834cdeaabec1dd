"""Pages of the documentation as tests carry them out: their commands for a shell, word for word, in the order in which they stand there."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from tests.cluster import builds, programs
from tests.support.operator import CVSTATE

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
_HEREDOC_BEGIN: Final = "<<'END'"
_HEREDOC_END: Final = "END"
_PROMISED_CODE: Final = re.compile(r"# ends with (\d)\b[^\n]*$")
_ASSIGNMENT: Final = re.compile(r"([A-Z_]+)=")
COMMAND_SECONDS: Final = 360.0
"""Longer than any `--timeout` in the pages, so that it is kubectl's own that ends first, with its words."""


@dataclass(frozen=True)
class Command:
    """One command of a page, of one line or more."""

    text: str
    """With its comment."""

    @property
    def code(self) -> int:
        """The exit code that the page promises: what its comment says, as in `# ends with 1: why`, else 0."""
        found = _PROMISED_CODE.search(self.text)
        return int(found[1]) if found else 0

    @property
    def assigned(self) -> str:
        """The variable that it gives a value to; empty if it does something else."""
        found = _ASSIGNMENT.match(self.text)
        return found[1] if found else ""


@dataclass(frozen=True)
class Page:
    """One page, cut at its headings."""

    name: str
    sections: Mapping[str, str]
    """Text by heading, of whatever level, in order; what stands before the first one is not in it."""

    def blocks(self, language: str, section: str) -> list[str]:
        """Code of a language in a section.

        Raises:
            KeyError: the page has no such heading.
        """
        return re.findall(rf"^```{language}\n(.*?)^```", self.sections[section], flags=re.MULTILINE | re.DOTALL)

    def commands(self, section: str) -> list[Command]:
        """Commands for a shell in a section, in order.

        Raises:
            KeyError: the page has no such heading.
            ValueError: a quote, a continuation or a here-document does not end.
        """
        return [command for block in self.blocks("sh", section) for command in split(block)]

    def yaml(self, section: str) -> object:
        """What the only YAML block of a section says."""
        (block,) = self.blocks("yaml", section)
        return yaml.safe_load(block)


def read(path: Path) -> Page:
    """Read a page. A line of a code block that begins with `#` is no heading."""
    sections: dict[str, list[str]] = {}
    heading, is_code = "", False
    for line in path.read_text().splitlines(keepends=True):
        is_code ^= line.startswith("```")
        if not is_code and re.match(r"#{1,6} ", line):
            heading = line.lstrip("#").strip()
            assert heading not in sections, f"{path.name}: two sections are called {heading!r}"
            sections[heading] = []
        elif heading:
            sections[heading].append(line)
    return Page(path.stem, {name: "".join(lines) for name, lines in sections.items()})


def split(block: str) -> list[Command]:
    """The commands of a block for a shell: continued lines, quotes over several lines and here-documents stay together.

    Raises:
        ValueError: the last one does not end.
    """
    found: list[Command] = []
    pending: list[str] = []
    for line in block.splitlines():
        if not pending and (not line.strip() or line.startswith("#")):
            continue
        pending.append(line)
        if _is_whole(pending):
            found.append(Command("\n".join(pending)))
            pending = []
    if pending:
        raise ValueError(f"this command does not end: {pending[0]}")
    return found


def _is_whole(lines: list[str]) -> bool:
    if any(_HEREDOC_BEGIN in line for line in lines):
        return lines[-1] == _HEREDOC_END
    if lines[-1].endswith("\\"):
        return False
    try:
        shlex.split("\n".join(lines), comments=True)
    except ValueError:
        return False
    return True


class Shell:
    """A person's shell in a checkout, with kubectl, Helm and cvstate on its PATH."""

    def __init__(self, directory: Path, kubeconfig: Path, *, instead: Mapping[str, str], more: Mapping[str, str] | None = None) -> None:
        """
        Args:
            directory: becomes the checkout: what the pages name of it is linked there.
            kubeconfig: the person's.
            instead: what is read in place of a text of the page, such as the address of a server that is elsewhere.
            more: by the beginning of a command, what is added at its end.
        """
        self._directory = directory
        self._instead, self._more = dict(instead), dict(more or {})
        path = directory / "bin"
        path.mkdir(parents=True)
        tools = builds.ensure(["kubectl", *programs.RENDERERS])
        for name, program in (*tools.items(), ("cvstate", CVSTATE)):
            (path / name).symlink_to(program)
        (directory / "deploy").symlink_to(ROOT / "deploy")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE", "CVSTATE_", "XDG_"))}
        self._environment = {
            **kept,
            "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
            "KUBECONFIG": str(kubeconfig),
            "HOME": str(directory),
            "COLUMNS": "200",
            "NO_COLOR": "1",
        }

    def run(self, command: Command) -> str:
        """Run a command, and return what it printed to standard output. A variable that it gives a value to has it for all that come after.

        Raises:
            AssertionError: it ended with another code than the page promises.
        """
        text = command.text
        if command.assigned:
            text += f'\nprintf %s "${command.assigned}"'
        for beginning, rest in self._more.items():
            if text.startswith(beginning):
                text += rest
        for written, meant in self._instead.items():
            text = text.replace(written, meant)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", text],
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == command.code, f"{text}\nended with {done.returncode}\n{done.stdout}{done.stderr}"
        if command.assigned:
            assert done.stdout, f"{command.text}\ngives it no value"
            self._environment[command.assigned] = done.stdout
        return done.stdout
