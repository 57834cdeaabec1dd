"""The root filesystem of the image, assembled here as the Dockerfile has it assembled, without a container engine and without the network.

The wheel is built and installed; of what it needs exactly those distributions are taken that requirements/runtime.txt pins, at those versions: what
somebody has installed besides cannot help.
"""

import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from deploy.image import assemble
from tests.cluster import builds, programs
from tests.support.container import ACCOUNT_DIRECTORY

ROOT: Final = Path(__file__).parents[2]
_PIN: Final = re.compile(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)(?: *; *([^\\\n]+?))? *\\?$", re.MULTILINE)


def pins() -> dict[str, str]:
    """Name to version of what the operator needs on this machine, as the image gets it."""
    from packaging.markers import Marker

    found = _PIN.findall((ROOT / "requirements" / "runtime.txt").read_text())
    return {name: version for name, version, marker in found if not marker or Marker(marker).evaluate()}


def build_wheel(directory: Path) -> Path:
    """Build the wheel into a directory, and return it."""
    command = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = directory.glob("*.whl")
    return wheel


def assembled(directory: Path) -> Path:
    """Make the tree below a directory, and return it; takes some seconds and about 200 MB.

    Raises:
        AssertionError: something of requirements/runtime.txt is not installed here in the version that is pinned.
    """
    packages = directory / "site-packages"
    packages.mkdir(parents=True)
    for name, version in pins().items():
        _take(name, version, packages)
    wheel = build_wheel(directory / "wheel")
    install = (
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
        "--no-deps",
        "--no-compile",
        "--target",
        str(packages),
        str(wheel),
    )
    subprocess.run((sys.executable, "-m", "pip", *install), check=True)
    shutil.rmtree(packages / "bin")  # the programs, for the Python that runs the tests
    tools = directory / "tools"
    tools.mkdir()
    for name, path in builds.ensure(programs.RENDERERS).items():
        shutil.copy(path, tools / name)
    tree = directory / "image"
    assemble.assemble(tree, tools=tools, packages=packages, epoch=0)
    (tree / ACCOUNT_DIRECTORY.lstrip("/")).mkdir(parents=True)  # a container runtime makes the places that it mounts at
    return tree


def _take(name: str, version: str, packages: Path) -> None:
    """Copy one distribution's files."""
    found = metadata.distribution(name)
    assert found.version == version, f"{name} {found.version} is installed, requirements/runtime.txt pins {version}; run make setup"
    for file in found.files or ():
        if file.parts[0] == ".." or "__pycache__" in file.parts:
            continue  # programs, which the image does not need, and what is compiled anew
        target = packages / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(str(file.locate()), target)
