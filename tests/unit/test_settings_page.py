"""The page about settings agrees with the table in the code.

Aspects: every setting has its row, word for word, in the order of `--help` · the example is a file that can be read · what is said of a wrong start is what is said.
"""

import re
from pathlib import Path

import pytest

from cvstate_operator import settings_file
from cvstate_operator.settings import RELOADED, Origin
from cvstate_operator.settings_file import Setting

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()


def row(setting: Setting) -> str:
    """The setting as a row of the page's table."""
    names = ", ".join(f"`{option.partition('/')[0]}`" for option in setting.options)
    told = [f"`{name}`" if name else "–" for name in (setting.variable, setting.key)]
    return "| " + " | ".join([names or "–", *told, setting.meaning, setting.default]) + " |"


def test_every_setting_has_its_row_in_the_order_of_help() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith(("| `--", "| – "))]
    assert rows == [row(setting) for setting in settings_file.SETTINGS]


def test_what_takes_effect_at_once_is_named() -> None:
    keys = ", ".join(f"`{settings_file.BY_FIELD[field].key}`" for field in RELOADED)
    assert f"| {keys} | at once |" in PAGE


def test_the_example_is_a_file_that_can_be_read(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    file = tmp_path / "settings.yaml"
    file.write_text(example)
    found = settings_file.read(Origin({}, {"CVSTATE_CONFIG": str(file)}))
    assert (found.namespaces, found.writers, found.notices[0].name) == (("team-a", "team-b"), 8, "ops")


def test_a_wrong_start_says_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("settings.yaml").write_text("\n\n\nlog-level: debug\n")
    with pytest.raises(settings_file.WrongSettingsError) as caught:
        settings_file.read(Origin({"listen": "8080", "config": "settings.yaml"}, {"CVSTATE_WRITERS": "many"}))
    told = re.findall(r"^cvstate: (.*)$", PAGE, flags=re.MULTILINE)
    assert told == list(caught.value.faults)
