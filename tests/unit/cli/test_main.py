"""The command itself, apart from what its subcommands do.

Aspects: the list of commands · names that are none · only what is called is imported.
"""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cvstate_operator.cli.main import COMMANDS, app

runner = CliRunner()


def loaded_by(*arguments: str) -> set[str]:
    """Modules of a fresh interpreter after the command."""
    program = (
        "import sys\nfrom cvstate_operator.cli.main import main\n"
        f"sys.argv = ['cvstate', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nprint('\\n', *sys.modules)"
    )
    done = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("\n ")[2].split())


def test_help_lists_every_command_in_the_order_of_the_table() -> None:
    lines = runner.invoke(app, ["--help"]).output.splitlines()
    first_words = [line.strip("│ ").split(" ")[0] for line in lines]
    assert [word for word in first_words if word in {*COMMANDS, "version"}] == [*COMMANDS, "version"]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_of_the_table_is_there_and_tells_of_itself(name: str) -> None:
    result = runner.invoke(app, [name, "--help"])
    assert (result.exit_code, f"cvstate {name}" in result.output) == (0, True)


def test_for_a_name_that_is_none_those_like_it_are_suggested() -> None:
    result = runner.invoke(app, ["statsu"])
    assert result.exit_code == 2
    assert "Did you mean 'status'" in result.output


def test_what_other_commands_need_is_not_imported() -> None:
    loaded = loaded_by("stop", "--help")
    assert "cvstate_operator.cli.switches" in loaded
    assert not {"cvstate_operator.cli.plan.command", "cvstate_operator.cli.demo.command", "cvstate_operator.cli.check", "kopf"} & loaded
