"""Asking before something happens."""

import sys

import typer

from cvstate_operator import errors


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether the person says yes; Enter alone means no.

    Args:
        question: without a question mark at its end.
        yes: said already, by --yes.

    Raises:
        SettingsError: standard input is no terminal, so nobody can be asked.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise errors.SettingsError("nobody can be asked, since standard input is no terminal; add --yes if you are sure")
    return typer.confirm(f"{question}?")
