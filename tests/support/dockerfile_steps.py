"""Carries out the steps of our Dockerfile without a container engine: each stage in a root of its own, as a layer over the one that it begins with.

What is the same as in a build: the order, the shell, directory, variables and arguments of each RUN; what COPY brings, out of the context that .dockerignore
leaves or out of another stage; that a stage sees nothing else of the repository. What is not: the base. In its place is this machine's Debian with a copy of this
Python in /usr/local and nothing installed for it but pip; /root, /opt, /home, /src, /tmp and everything else in /usr/local are empty. It takes root, and overlayfs.

Source: Dockerfile reference.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support import dockerfile
from tests.support.dockerfile import Instruction

VERSION: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
EMPTIED: Final = ("usr/local", "root", "opt", "home", "src", "tmp")
"""What a base image does not have of this machine."""
GO_CACHES: Final = (".cache/go-build", "go/pkg/mod")
"""Of the caller, below his home: modules and what was compiled of them are taken from there, as by `RUN --mount=type=cache`."""
REACH: Final = (
    "PIP_CERT",
    "PIP_INDEX_URL",
    "PIP_DEFAULT_TIMEOUT",
    "GOPROXY",
    "GOSUMDB",
    "SSL_CERT_FILE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)
"""Variables that say how this machine reaches registries; a builder has such arguments predefined."""
STEP_SECONDS: Final = 900.0


class StepFailedError(Exception):
    """A step ended with another code than 0; the text is the step and what it said last."""


@dataclass
class Stage:
    """What a stage has changed, and what holds for its next step."""

    layer: Path
    """Its own files and those of the stages that it begins with, over this machine's."""
    directory: str = "/"
    variables: dict[str, str] = field(default_factory=dict)
    """ENV."""
    arguments: dict[str, str] = field(default_factory=dict)
    """ARG."""


def build(directory: Path, context: Path) -> dict[str, Stage]:
    """Carry out every step up to the last stage, which only copies; the stages by name.

    Args:
        directory: for the layers; must not exist.
        context: root of the repository.

    Raises:
        StepFailedError: a RUN failed.
        FileNotFoundError: there is nothing that a COPY names.
    """
    directory.mkdir()
    sent = _sent(context, directory / "context")
    base = _base(directory)
    stages: dict[str, Stage] = {}
    last = dockerfile.final_stage()[0]
    for one in dockerfile.instructions():
        if one is last or one == last:
            break
        if one.word == "FROM":
            parent = stages.get(one.rest.partition(" AS ")[0].strip(), base)
            layer = directory / one.stage
            # Copied: overlayfs takes no two layers of which one lies in the other. With the marks of what is emptied and deleted.
            subprocess.run(("cp", "--archive", str(parent.layer), str(layer)), check=True)
            stages[one.stage] = Stage(layer, parent.directory, dict(parent.variables))
        elif one.stage:
            _step(one, stages, sent)
    return stages


def run(stage: Stage, command: str) -> str:
    """Run a command by the shell of a stage; what it says on standard output.

    Raises:
        StepFailedError: it failed.
    """
    work, merged = (stage.layer.with_name(f"{stage.layer.name}.{kind}") for kind in ("work", "root"))
    for path in (work, merged):
        path.mkdir(exist_ok=True)
    script = [f"mount -t overlay overlay -o lowerdir=/,upperdir={stage.layer},workdir={work} {merged}"]
    script += [f"mount --rbind /{name} {merged}/{name}" for name in ("proc", "dev")]
    hidden = f"{merged}{dockerfile.FILE.parent}"  # the repository
    script.append(f"if [ -d {hidden} ]; then mount -t tmpfs none {hidden}; fi")
    for cache in GO_CACHES:
        if (theirs := Path.home() / cache).is_dir():
            script += [f"mkdir -p {merged}/root/{cache}", f"mount --bind {theirs} {merged}/root/{cache}"]
    variables = {
        "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        **{name: os.environ[name] for name in REACH if name in os.environ},
        **stage.arguments,
        **stage.variables,
    }
    told = shlex.join(f"{name}={value}" for name, value in variables.items())
    script.append(f"exec chroot {merged} /usr/bin/env -i {told} /bin/sh -c {shlex.quote(f'cd {stage.directory} && {command}')}")
    # The mounts go with their namespace.
    entering = ("unshare", "--mount", "/bin/sh", "-e", "-c", "\n".join(script))
    done = subprocess.run(entering, capture_output=True, text=True, timeout=STEP_SECONDS, check=False)
    if done.returncode != 0:
        raise StepFailedError(f"{command}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def _step(one: Instruction, stages: Mapping[str, Stage], context: Path) -> None:
    stage = stages[one.stage]
    match one.word:
        case "RUN":
            run(stage, one.rest)
        case "COPY":
            _copy(one.rest, stage, stages, context)
        case "WORKDIR":
            stage.directory = one.rest
            _inside(stage.layer, one.rest).mkdir(parents=True, exist_ok=True)
        case "ENV":
            stage.variables |= dict(_with(stage, word).split("=", 1) for word in shlex.split(one.rest))
        case "ARG":
            name, _, default = one.rest.partition("=")
            stage.arguments[name] = default
        case word:
            raise NotImplementedError(f"{word} is not carried out here")


def _copy(rest: str, stage: Stage, stages: Mapping[str, Stage], context: Path) -> None:
    words = rest.split()
    origin = context
    if words[0].startswith("--from="):
        origin = stages[words.pop(0).removeprefix("--from=")].layer
    *sources, target = words
    into = _inside(stage.layer, os.path.join(stage.directory, target))
    for source in sources:
        found = _inside(origin, source)
        if found.is_dir():
            shutil.copytree(found, into, symlinks=True, dirs_exist_ok=True)
        else:
            into.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, into)


def _with(stage: Stage, text: str) -> str:
    """A text with the values of what it refers to."""
    known = {**stage.arguments, **stage.variables}
    return re.sub(r"\$\{(\w+)\}", lambda found: known[found[1]], text)


def _inside(root: Path, path: str) -> Path:
    return root / os.path.normpath(path).lstrip("/")


def _sent(context: Path, into: Path) -> Path:
    """What .dockerignore leaves, which names what is wanted and nothing else."""
    for line in (context / ".dockerignore").read_text().splitlines():
        if not line.startswith("!"):
            continue
        source, target = context / line[1:], into / line[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)
    return into


def _base(directory: Path) -> Stage:
    """What stands for the base image."""
    layer = directory / "base"
    for name in EMPTIED:
        (layer / name).mkdir(parents=True)
        os.setxattr(
            layer / name, "trusted.overlay.opaque", b"y"
        )  # nothing of the layers below; Linux, Documentation/filesystems/overlayfs.rst
    (layer / "tmp").chmod(0o1777)
    local = layer / "usr" / "local"
    ours = Path(sys.base_prefix)
    left_out = shutil.ignore_patterns("site-packages", "__pycache__", "test", "config-*")
    shutil.copytree(ours / "lib" / VERSION, local / "lib" / VERSION, symlinks=True, ignore=left_out)
    (local / "lib" / VERSION / "site-packages").mkdir()
    for library in (ours / "lib").glob("libpython*"):
        shutil.copy2(library, local / "lib", follow_symlinks=False)
    (local / "bin").mkdir()
    shutil.copy2((ours / "bin" / VERSION).resolve(), local / "bin" / VERSION)
    for name in ("python3", "python"):
        (local / "bin" / name).symlink_to(VERSION)
    base = Stage(layer)
    run(base, "ldconfig && python -m ensurepip --default-pip")  # as the official image does
    return base
