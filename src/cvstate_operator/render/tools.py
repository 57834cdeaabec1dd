"""Tools: where the official kustomize and Helm programs are. Found once, at the start."""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

TOOLS_VARIABLE: Final = "CVSTATE_TOOLS"
"""Directories that are looked in first, joined as PATH is."""
NAMES: Final = ("kustomize", "helm")


def find() -> dict[str, str]:
    """Name to absolute path of each program that is installed: in $CVSTATE_TOOLS, else beside this Python (`make tools`), else on PATH."""
    beside = str(Path(sys.executable).parent)
    places = os.pathsep.join(place for place in (os.environ.get(TOOLS_VARIABLE), beside, os.environ.get("PATH", os.defpath)) if place)
    found = {name: shutil.which(name, path=places) for name in NAMES}
    return {name: str(Path(path).resolve()) for name, path in found.items() if path}
