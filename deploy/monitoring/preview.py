"""Draws the dashboards without a Grafana: asks a Prometheus what each panel would ask it, and photographs the answers with a browser.

    python deploy/monitoring/preview.py --prometheus http://127.0.0.1:9090 --since 1h --to build/pictures

It is for those who change a dashboard, and for pages that show one. Layout, units, colours, thresholds, legends, mappings and variables follow the JSON and
Grafana's rules; what only Grafana can tell (its own fonts, its tooltips, whether it loads the file) is not shown. Panels that say nothing of themselves in
Grafana until one points at them do so here in a line.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import dashboards
import preview_png
from preview_answers import Asking, Span
from preview_page import WIDTH, page

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
_ROOT: Final = ("--no-sandbox",) if os.geteuid() == 0 else ()
"""Chromium refuses to sandbox itself for root; the page is our own and has no scripts."""
_PHOTO_SECONDS: Final = 120
_UNITS: Final = {"m": 60, "h": 3600, "d": 86400}


class PreviewError(Exception):
    """No picture can be made; the message says why."""


def draw(name: str, asking: Asking, directory: Path, *, wanted: Mapping[str, str], note: str) -> Path:
    """The picture of one dashboard.

    Args:
        name: of its file.
        asking: whom it is asked, and of what time.
        directory: where NAME.html and NAME.png go; it exists.
        wanted: variables by name, of which others than Grafana's first choice are meant.
        note: stands below the title.

    Raises:
        PreviewError: no browser, or it fails.
        OSError: Prometheus does not answer.
    """
    board = json.loads((dashboards.DIRECTORY / f"{name}.json").read_text())
    asking.chosen.clear()
    asking.choose(board["templating"]["list"], wanted=wanted)
    html, height = page(board, asking, note=note)
    source = directory / f"{name}.html"
    source.write_text(html)
    return _photographed(source, directory / f"{name}.png", height)


def _photographed(source: Path, target: Path, height: int) -> Path:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        raise PreviewError(f"no browser that can take a picture; one of {', '.join(BROWSERS)} has to be on PATH")
    with tempfile.TemporaryDirectory() as profile:
        command = (
            *(browser, "--headless", *_ROOT, "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1"),
            *(f"--user-data-dir={profile}", f"--window-size={WIDTH},{height}", f"--screenshot={target}", source.resolve().as_uri()),
        )
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PHOTO_SECONDS, check=False)
    if done.returncode or not target.exists():
        raise PreviewError(f"{browser} took no picture of {source}: {done.stderr.strip()[-500:]}")
    preview_png.shrink(target)
    return target


def _seconds(text: str) -> float:
    try:
        return float(text[:-1]) * _UNITS[text[-1:]]
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(f"{text} is no time like 90m, 6h or 2d") from None


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--prometheus", required=True, help="address of its HTTP API")
    parser.add_argument("--since", type=_seconds, default=3600.0, help="how far back the pictures look: 90m, 6h, 2d; default 1h")
    parser.add_argument("--to", type=Path, required=True, help="directory for pictures and pages")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of the dashboards, as namespace=team-a"
    )
    options = parser.parse_args()
    now = time.time()
    options.to.mkdir(parents=True, exist_ok=True)
    wanted = dict(one.split("=", 1) for one in options.set)
    asking = Asking(options.prometheus.rstrip("/"), Span(now - options.since, now))
    try:
        for name in dashboards.BOARDS:
            print(draw(name, asking, options.to, wanted=wanted, note=f"Drawn by preview.py, not by Grafana, from {options.prometheus}."))
    except (PreviewError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
