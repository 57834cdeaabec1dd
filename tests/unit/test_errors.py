"""The error tree.

Aspects: every error says what to do next · reasons are unique, well formed and documented · what travels with an error.
"""

import re
from collections import Counter
from pathlib import Path

import pytest

from cvstate_operator import errors

SPLIT = (errors.TransientError, errors.WaitingError, errors.TerminalError)
REASONS = (Path(__file__).parents[2] / "docs" / "reasons.md").read_text()


def below(kind: type[errors.CvstateError]) -> list[type[errors.CvstateError]]:
    """Every error class of errors.py under `kind`."""
    direct = [sub for sub in kind.__subclasses__() if sub.__module__ == errors.__name__]
    return direct + [deeper for sub in direct for deeper in below(sub)]


CONCRETE = sorted({kind for kind in below(errors.CvstateError) if kind not in SPLIT}, key=lambda kind: kind.__name__)


def test_every_reason_is_used_once() -> None:
    assert [reason for reason, count in Counter(kind.reason for kind in CONCRETE).items() if count > 1] == []


@pytest.mark.parametrize("kind", CONCRETE)
def test_a_reason_is_one_camel_case_word_of_its_own(kind: type[errors.CvstateError]) -> None:
    assert "reason" in vars(kind)
    assert re.fullmatch(r"[A-Z][A-Za-z]+", kind.reason)


@pytest.mark.parametrize("kind", CONCRETE)
def test_an_error_says_exactly_one_of_retry_wait_or_give_up(kind: type[errors.CvstateError]) -> None:
    assert sum(issubclass(kind, half) for half in SPLIT) == 1


@pytest.mark.parametrize("kind", [kind for kind in CONCRETE if kind is not errors.SettingsError])
def test_a_reason_that_users_see_is_explained(kind: type[errors.CvstateError]) -> None:
    assert f"`{kind.reason}`" in REASONS


@pytest.mark.parametrize("kind", CONCRETE)
def test_an_error_can_be_made_from_its_message_alone(kind: type[errors.CvstateError]) -> None:
    error = kind("what, where, what to do")
    assert error.message == str(error) == "what, where, what to do"


def test_a_transient_error_may_carry_a_pause_and_others_a_field() -> None:
    assert errors.ServerError("x").retry_after_seconds is None
    assert errors.ThrottledError("x", retry_after_seconds=3).retry_after_seconds == 3
    assert errors.ImmutableError("x", field="spec.clusterIP").field == "spec.clusterIP"
    assert errors.FieldConflictError("x", fields=(".spec.replicas",)).fields == (".spec.replicas",)
