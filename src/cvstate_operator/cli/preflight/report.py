"""Report: findings as text, as JSON, or as annotations of GitHub. Pure; texts from files are on one line already."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from cvstate_operator.cli.preflight.finding import Finding


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found."""

    objects: int
    files: int
    """Files with at least one object or finding, and those that hold nothing."""
    findings: tuple[Finding, ...]
    """Sorted by file and line."""

    @property
    def errors(self) -> int:
        """How many of them are violations."""
        return sum(finding.level == "error" for finding in self.findings)


def text(outcome: Outcome, *, colour: bool = False) -> Iterator[str]:
    """One line for each finding, files apart, then the sum."""
    file = None
    for finding in outcome.findings:
        if file is not None and finding.file != file:
            yield ""
        file = finding.file
        yield _line(finding, colour=colour)
    if outcome.findings:
        yield ""
    yield summary(outcome)


def summary(outcome: Outcome) -> str:
    """`412 objects in 96 files, 3 problems`."""
    notes = len(outcome.findings) - outcome.errors
    return (
        f"{_count(outcome.objects, 'object')} in {_count(outcome.files, 'file')}, {_count(outcome.errors, 'problem') if outcome.errors else 'no problems'}"
        + (f", {_count(notes, 'note')}" if notes else "")
    )


def as_json(outcome: Outcome) -> str:
    """A list; each item has the fields of `status.problems`, and line and level. Fields without a value are left out."""
    items = [
        {
            key: value
            for key in ("level", "reason", "message", "file", "line", "document", "object", "field")
            if (value := getattr(finding, key))
        }
        for finding in outcome.findings
    ]
    return json.dumps(items, indent=2, ensure_ascii=False)


def github(outcome: Outcome) -> Iterator[str]:
    """Workflow commands; GitHub shows them at the line in the pull request. Source: GitHub, "Workflow commands for GitHub Actions"."""
    for finding in outcome.findings:
        where = [
            ("file", finding.file),
            ("line", str(finding.line) if finding.line else ""),
            ("title", f"{finding.reason} {finding.object}".strip()),
        ]
        command = "error" if finding.level == "error" else "notice"
        properties = ",".join(f"{key}={_property(value)}" for key, value in where if value)
        yield f"::{command} {properties}::{_data(_field(finding) + finding.message)}"
    yield summary(outcome)


def _line(finding: Finding, *, colour: bool) -> str:
    place = finding.file + (f":{finding.line}" if finding.line else "")
    parts = [f"\x1b[1m{place}\x1b[0m" if colour and place else place, finding.object]
    head = " ".join(part for part in parts if part)
    tint = "\x1b[31m" if finding.level == "error" else "\x1b[33m"
    reason = f"{tint}{finding.reason}\x1b[0m" if colour else finding.reason
    body = f"{_field(finding)}{finding.message} ({reason})"
    if not head:
        return body
    return f"{head} {body}" if finding.field else f"{head}: {body}"


def _field(finding: Finding) -> str:
    return f"{finding.field}: " if finding.field else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
