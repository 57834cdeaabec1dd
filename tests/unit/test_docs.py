"""Documentation that must not be out of step with the code.

Aspects: every reason has its explanation · every condition its section · every metric its row · every field of the spec and the status its row · examples are
valid · the example in the README is a file in examples · no link leads nowhere · the README knows every page.
"""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
SOURCES = "".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.py")))
