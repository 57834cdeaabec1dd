"""Where commands print."""

import os
from typing import Final

from rich.console import Console

NARROW_CHARACTERS: Final = 120
"""Below this width a table of eight columns cannot be read."""
_PIPE_CHARACTERS: Final = 10_000
"""Longer than any line that is printed: a message is cut to 2000 characters before."""


def console() -> Console:
    """As wide as the terminal, or as $COLUMNS says; where the output goes elsewhere nothing is wrapped or left out."""
    found = Console()
    return found if found.is_terminal or "COLUMNS" in os.environ else Console(width=_PIPE_CHARACTERS)
