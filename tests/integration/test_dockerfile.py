"""The Dockerfile, by BuildKit's own front end: the program that `docker build` has read it, without the engine that would carry out the result.

Aspects: it is taken, every step of every stage is in the graph of the build · the image's configuration is what tests and chart take it for · what is wrong is refused. (The base image is
replaced by an empty one: its own configuration would have to be fetched.)
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import builds
from tests.support import dockerfile

# The front end is built first, of 100 modules; 2 minutes on a busy machine.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(480)]

BASE = re.compile(r"^ARG PYTHON_IMAGE=.*$", re.MULTILINE)
TEXT = dockerfile.FILE.read_text()


class RefusedError(Exception):
    """BuildKit does not take the file; the text is why."""


def converted(text: str, directory: Path) -> tuple[bytes, Any]:
    """The graph of the build, and the configuration of the image.

    Raises:
        RefusedError: there is none.
    """
    program = builds.ensure(["dockerfile2llb"])["dockerfile2llb"]
    config = directory / "config.json"
    command = (str(program), "--partial-image-config-file", str(config))
    done = subprocess.run(command, input=BASE.sub("ARG PYTHON_IMAGE=scratch", text).encode(), capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RefusedError(done.stderr.decode())
    return done.stdout, json.loads(config.read_text())


def test_every_step_is_part_of_the_build(tmp_path: Path):
    graph, _ = converted(TEXT, tmp_path)
    steps = [one for one in dockerfile.instructions() if one.word in ("RUN", "COPY")]
    assert len(steps) > 10
    for one in steps:
        shown = f"{one.word} {one.rest}".split("${")[0].encode()
        assert shown in graph, one


def test_the_image_is_what_tests_and_chart_take_it_for(tmp_path: Path):
    _, image = converted(TEXT, tmp_path)
    config = image["config"]
    uid, gid = dockerfile.user()
    assert config["User"] == f"{uid}:{gid}"
    assert config["Entrypoint"] == dockerfile.vector("ENTRYPOINT")
    assert config["Cmd"] == dockerfile.vector("CMD")
    assert dict(one.split("=", 1) for one in config["Env"]) == dockerfile.environment()
    assert config["WorkingDir"] == "/tmp"  # noqa: S108 - as the image has it
    assert set(config["ExposedPorts"]) == {"8080/tcp", "9292/tcp"}
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("RUN python -m venv", "RUNS python -m venv", "unknown instruction"),
        ("FROM scratch\n", "FROM scratch AS\n", "FROM requires"),
        ("COPY --from=build /image/ /", "COPY --from=build /image/", "requires at least two arguments"),
        ("COPY --from=tools /tools /tools", "COPY --form=tools /tools /tools", "unknown flag"),
        ('ENTRYPOINT ["cvstate"]', 'ENTRYPOINT ["cvstate"]\nUSER', "USER requires"),
    ],
    ids=["instruction", "stage", "copy", "flag", "user"],
)
def test_what_is_wrong_is_refused(tmp_path: Path, old: str, new: str, why: str):
    assert TEXT.count(old) == 1
    with pytest.raises(RefusedError, match=why):
        converted(TEXT.replace(old, new), tmp_path)
