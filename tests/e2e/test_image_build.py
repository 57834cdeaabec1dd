"""The Dockerfile's steps, carried out one after the other as far as that goes without a container engine (tests/support/dockerfile_steps.py).

Aspects: every RUN works and every COPY finds what it names · the tree is the one that tests/integration/test_installed.py starts · its programs run as the image's user · the lists of what is in it
are whole and true · the last stage copies that tree and nothing else.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from deploy.image import assemble
from tests.support import dockerfile, dockerfile_steps, image

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not os.environ.get("CVSTATE_IMAGE_BUILD"), reason="ten minutes and more: make image-steps"),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting layers over each other takes root"),
]
LISTS = ("usr/share/sbom", "var/lib/dpkg")
"""What stands in the image about itself."""


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dockerfile_steps.Stage]:
    return dockerfile_steps.build(tmp_path_factory.mktemp("image") / "build", ROOT)


@pytest.fixture(scope="module")
def tree(stages: dict[str, dockerfile_steps.Stage]) -> Path:
    """What the last stage copies."""
    (copy,) = [one.rest for one in dockerfile.final_stage() if one.word == "COPY"]
    assert copy == "--from=build /image/ /"
    return stages["build"].layer / "image"


def paths(root: Path) -> Iterator[str]:
    """Files below a root, those of the Python that made it at the place where the base image has its own."""
    own = sys.base_prefix.lstrip("/")
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if not name.startswith(LISTS) and (path.is_symlink() or not path.is_dir()):
            yield f"usr/local/{name.removeprefix(own).lstrip('/')}" if name.startswith(f"{own}/") else name


def installed(tree: Path) -> dict[str, str]:
    """Python packages in the tree, name to version."""
    site = tree / assemble.PREFIX.relative_to("/") / "lib" / assemble.VERSION / "site-packages"
    return {one.metadata["Name"].lower().replace("_", "-"): one.version for one in metadata.distributions(path=[str(site)])}


def test_the_tree_has_the_files_of_the_one_that_is_started_in_tests(tree: Path, tmp_path: Path):
    tried = image.assembled(tmp_path / "tried")
    assert set(paths(tree)) ^ set(paths(tried)) == set()


@pytest.mark.parametrize("command", [("cvstate", "version"), ("kustomize", "version"), ("helm", "version")], ids=lambda command: command[0])
def test_its_programs_run_as_the_user_of_the_image(tree: Path, command: tuple[str, ...]):
    uid, gid = dockerfile.user()
    done = subprocess.run(
        (shutil.which("chroot") or "", f"--userspec={uid}:{gid}", str(tree), f"{assemble.PREFIX}/bin/{command[0]}", *command[1:]),
        env=dockerfile.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_exactly_the_pinned_packages_are_installed(tree: Path):
    pinned = {name.lower().replace("_", "-"): version for name, version in image.pins().items()}
    assert installed(tree) == {**pinned, "cvstate-operator": metadata.version("cvstate-operator")}


def test_the_list_of_python_packages_is_what_is_installed(tree: Path):
    bill = json.loads((tree / "usr/share/sbom/python.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert {one["name"].lower().replace("_", "-"): one["version"] for one in bill["components"]} == installed(tree)


def test_each_library_of_debian_belongs_to_a_package_that_is_listed(tree: Path):
    listed = {file.name for file in (tree / "var/lib/dpkg/status.d").iterdir()}
    libraries = [path for path in paths(tree) if path.startswith("usr/lib/") and ".so" in path and not (tree / path).is_symlink()]
    assert libraries
    for library in libraries:
        told = subprocess.run(("dpkg-query", "--search", f"*/{Path(library).name}"), capture_output=True, text=True, check=False).stdout
        owners = {line.split(":")[0] for line in told.splitlines()}
        assert owners & listed, library


def test_go_programs_carry_their_modules(tree: Path):
    for name in ("kustomize", "helm"):
        told = (tree / assemble.PREFIX.relative_to("/") / "bin" / name).read_bytes()
        assert b"Go buildinf:" in told
