"""The Dockerfile, read, not built: there is no container engine where tests run. What it assembles runs in tests/integration/test_installed.py.

Aspects: everything that is fetched is pinned by a digest or a hash · no shell, no root, no script from the network in the result · the programs are
those of the repository · the chart and the image agree · only what is needed is sent to the builder.
"""

import re
from pathlib import Path

import pytest
import yaml

from deploy import charts
from deploy.image import assemble
from tests.support import dockerfile
from tests.support.dockerfile import Instruction

ROOT = Path(__file__).parents[3]
EVERY = dockerfile.instructions()
LAST = dockerfile.final_stage()


def words(word: str, among: list[Instruction] = EVERY) -> list[str]:
    return [one.rest for one in among if one.word == word]


def test_every_base_is_named_by_a_digest():
    arguments = dict(rest.split("=", 1) for rest in words("ARG") if "=" in rest)
    stages = {one.stage for one in EVERY} - {""}
    for rest in words("FROM"):
        name = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], rest.partition(" AS ")[0].strip())
        assert name in stages or name == "scratch" or re.fullmatch(r"\S+:\S+@sha256:[0-9a-f]{64}", name), name


def test_the_base_is_the_python_that_the_project_needs():
    (image,) = [rest.partition("=")[2] for rest in words("ARG") if rest.startswith("PYTHON_IMAGE=")]
    version = re.search(r"python:(\d+\.\d+)\.", image)
    assert version is not None
    mypy = re.search(r'^python_version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert mypy is not None
    assert version[1] == mypy[1]


def test_packages_are_installed_by_hash_only():
    installs = [command for rest in words("RUN") for command in re.split(r"\s*&&\s*", rest) if " pip install " in command]
    assert installs
    for command in installs:
        assert "--require-hashes" in command or ("--no-index" in command and "--no-deps" in command), command


@pytest.mark.parametrize("file", ["requirements/runtime.txt", "requirements/go.txt", "deploy/image/requirements.txt"])
def test_each_requirement_of_the_image_has_a_hash(file: str):
    text = (ROOT / file).read_text()
    pinned = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert pinned
    assert [one.splitlines()[0] for one in pinned if "==" not in one or "--hash=sha256:" not in one] == []


def test_nothing_is_fetched_by_a_shell():
    told = " ".join(words("RUN"))
    assert not re.search(r"\b(curl|wget|apt-get|apk|git clone)\b", told)
    assert words("ADD") == []


def test_kustomize_and_helm_are_built_by_the_code_that_builds_those_of_the_tests():
    # Versions and checksums are those of tests/cluster/modules by that; there is no second place.
    (build,) = [rest for rest in words("RUN") if "tests.cluster build" in rest]
    assert "tests.cluster build kustomize helm" in build
    assert not re.search(r"v?\d+\.\d+\.\d+", build)


def test_the_image_begins_with_nothing_and_gets_one_tree():
    assert LAST[0].rest == "scratch"
    assert words("RUN", LAST) == []
    assert words("COPY", LAST) == ["--from=build /image/ /"]


def test_files_have_a_time_also_if_none_is_given():
    (default,) = [rest.partition("=")[2] for rest in words("ARG") if rest.startswith("SOURCE_DATE_EPOCH")]
    assert int(default) >= 315532800  # 1980, where times in a wheel begin


def test_the_image_runs_as_the_user_of_the_chart():
    text = (charts.OPERATOR / "templates" / "deployment.yaml").read_text()
    assert dockerfile.user() == (assemble.USER, assemble.USER)
    assert set(re.findall(r"(?:runAsUser|runAsGroup|fsGroup): (\d+)", text)) == {str(assemble.USER)}


def test_the_image_starts_the_operator_without_a_shell():
    assert dockerfile.vector("ENTRYPOINT") == ["cvstate"]
    assert dockerfile.vector("CMD") == ["run"]
    assert dockerfile.environment()["PATH"] == str(assemble.PREFIX / "bin")


def test_the_image_opens_the_ports_of_the_chart():
    values = yaml.safe_load((charts.OPERATOR / "values.yaml").read_text())
    assert words("EXPOSE", LAST) == [f"{values['http']['port']} {values['webhook']['port']}"]


def test_the_builder_gets_what_it_copies_and_nothing_beside():
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {source for one in EVERY if one.word == "COPY" and "--from" not in one.rest for source in one.rest.split()[:-1]}
    assert "*" in lines
    assert {one for one in copied if not any(one == path or one.startswith(f"{path}/") for path in allowed)} == set()
    assert {
        path for path in allowed if not any(one == path or one.startswith(f"{path}/") or path.startswith(f"{one}/") for one in copied)
    } == set()
    assert {one for one in copied if not (ROOT / one).exists()} == set()
