"""What a Dockerfile says, instruction by instruction; as much of its language as ours uses."""

import json
import re
import shlex
from pathlib import Path
from typing import Final, NamedTuple

FILE: Final = Path(__file__).parents[2] / "Dockerfile"


class Instruction(NamedTuple):
    """One instruction, its continuation lines joined."""

    stage: str
    """Name of the stage it belongs to; empty before the first and in the last one, if that has none."""
    word: str
    """In upper case."""
    rest: str


def instructions(file: Path = FILE) -> list[Instruction]:
    """All of a Dockerfile, in its order."""
    text = re.sub(r"^\s*#.*\n", "", file.read_text(), flags=re.MULTILINE)
    found, stage = [], ""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        word, _, rest = line.strip().partition(" ")
        if not word:
            continue
        if word.upper() == "FROM":
            stage = rest.partition(" AS ")[2].strip()
        found.append(Instruction(stage, word.upper(), rest.strip()))
    return found


def final_stage(file: Path = FILE) -> list[Instruction]:
    """From the last FROM on."""
    every = instructions(file)
    last = max(number for number, one in enumerate(every) if one.word == "FROM")
    return every[last:]


def environment() -> dict[str, str]:
    """What the image sets."""
    words = [word for one in final_stage() if one.word == "ENV" for word in shlex.split(one.rest)]
    return dict(word.split("=", 1) for word in words)


def vector(word: str) -> list[str]:
    """The last ENTRYPOINT or CMD of the image, which has to be in the form that needs no shell.

    Raises:
        ValueError: it is in the other form.
    """
    found: list[str] = json.loads(next(one.rest for one in reversed(final_stage()) if one.word == word))
    return found


def user() -> tuple[int, int]:
    """Numbers of user and group that the image runs as.

    Raises:
        ValueError: they are names, which a kubelet cannot judge.
    """
    uid, _, gid = next(one.rest for one in reversed(final_stage()) if one.word == "USER").partition(":")
    return int(uid), int(gid)
