"""Tools: where the official kustomize and Helm programs are. Found once, at the start."""

import os
import shutil
from pathlib import Path
from typing import Final

TOOLS_VARIABLE: Final = "CVSTATE_TOOLS"
"""Directories that are looked in before PATH, joined as PATH is."""
NAMES: Final = ("kustomize", "helm")


def find() -> dict[str, str]:
    """Name to absolute path of each program that is installed."""
    places = os.pathsep.join(place for place in (os.environ.get(TOOLS_VARIABLE), os.environ.get("PATH", os.defpath)) if place)
    found = {name: shutil.which(name, path=places) for name in NAMES}
    return {name: str(Path(path).resolve()) for name, path in found.items() if path}
