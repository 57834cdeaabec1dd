"""Uses: which functions that matter the templates of a chart call, and what is refused before Helm runs. Pure."""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cvstate_operator import errors
from cvstate_operator.render import checkout, helm_chart, helm_scan, helm_schema
from cvstate_operator.render.export import LFS_POINTER
from cvstate_operator.render.helm_chart import Chart
from cvstate_operator.render.helm_run import NOT_ALLOWED, Values

FORBIDDEN: Final = frozenset({"env", "expandenv", "getHostByName"})
"""They ask the machine, not the repository. Helm has the first two removed, and gives an empty text for the third."""
CHANGING: Final = frozenset(
    {
        *("now", "ago", "date", "dateInZone", "date_in_zone", "htmlDate", "htmlDateInZone"),
        *("randAlpha", "randAlphaNum", "randAscii", "randBytes", "randInt", "randNumeric", "shuffle", "uuidv4"),
        *("bcrypt", "encryptAES", "genCA", "genCAWithKey", "genPrivateKey", "genSelfSignedCert", "genSelfSignedCertWithKey"),
        *("genSignedCert", "genSignedCertWithKey", "htpasswd"),
    }
)
"""Functions that may give something else each time. Source: sprig v3, functions.go, and the code of those it names."""
UNORDERED: Final = frozenset({"keys", "values"})
"""Lists in the order of a Go map, which is another each time unless the template sorts them: two entries are swapped once in 8 times (measured)."""
ANYTHING: Final = frozenset({"tpl"})
"""Runs a text as a template: what that calls cannot be seen beforehand."""
LOOKUP: Final = "lookup"
MAX_NAMED: Final = 5
"""Places or objects that one message names."""

_NAMES: Final = FORBIDDEN | CHANGING | UNORDERED | ANYTHING | {LOOKUP}
_TEMPLATE: Final = re.compile(r"(?:^|/)templates/")
_FILE_OUTSIDE: Final = re.compile(rb"""\.Files\.(?:Get|GetBytes|Lines|Glob)[ \t]+["`](?:/|(?:[^"`\n]{0,1000}/)?\.\./)""")
_CRD_INSTALL: Final = re.compile(rb"""helm\.sh/hook["']?[ \t]*:[ \t]*["']?[ \t]*crd-install\b""")
"""A hook of Helm 2, with which Helm leaves an object out without a word."""


@dataclass(frozen=True, slots=True)
class Use:
    """A function that a template calls."""

    name: str
    file: str
    """In the chart."""
    line: int
    is_quoted: bool
    """In a text that may be a template for `tpl`."""


@dataclass(frozen=True, slots=True)
class Uses:
    """What a chart uses."""

    functions: tuple[Use, ...]
    """In templates, and in texts that could be templates."""
    dropped: tuple[str, ...]
    """Templates with hooks that Helm forgets."""

    def of(self, names: Iterable[str]) -> list[Use]:
        """Those of some functions."""
        return [use for use in self.functions if use.name in names]


def find(chart: Chart, values: Values, limits: helm_chart.Limits) -> Uses:
    """Look at everything that Helm will read.

    Raises:
        BuildFailedError: a function is not allowed, or a file is a pointer to Git LFS.
        PathEscapesError: .Files or a schema leads out of the chart.
        RemoteBaseRefusedError: a schema is on the network.
    """
    functions, dropped = list[Use](), list[str]()

    def look(file: str, content: bytes) -> bytes:
        _refuse_pointer(chart.where(file), content)
        if posixpath.basename(file) == helm_schema.SCHEMA_FILE:
            helm_schema.check(content, chart.where(file))
        if is_template(file):
            _refuse_outside(chart, file, content)
            if _CRD_INSTALL.search(content):
                dropped.append(file)
        functions.extend(_calls(file, content, is_quoted=not is_template(file)))
        return content

    chart.changed(look, limits)
    for file, content in values.files:
        _refuse_pointer(file, content)
    for file, content in values.all:
        functions.extend(_calls(file, content, is_quoted=True))
    _refuse_forbidden(chart, functions)
    return Uses(tuple(functions), tuple(dropped))


def is_template(file: str) -> bool:
    """Whether Helm runs a file of the chart as a template."""
    return _TEMPLATE.search(file) is not None


def place(chart: Chart, use: Use) -> str:
    """File in the repository and line, for people."""
    return f"{chart.where(use.file)}:{use.line}"


def listed(items: Iterable[str]) -> str:
    """At most `MAX_NAMED` different ones, for people."""
    every = list(dict.fromkeys(items))
    more = f" and {len(every) - MAX_NAMED} more" if len(every) > MAX_NAMED else ""
    return ", ".join(every[:MAX_NAMED]) + more


def _calls(file: str, content: bytes, *, is_quoted: bool) -> list[Use]:
    return [Use(call.name, file, call.line, call.is_quoted or is_quoted) for call in helm_scan.calls(content, _NAMES)]


def _refuse_pointer(where: str, content: bytes) -> None:
    """To Helm it would be a map with the key `version`."""
    if content.startswith(LFS_POINTER):
        raise checkout.lfs_pointer(where)


def _refuse_outside(chart: Chart, file: str, content: bytes) -> None:
    """Helm would give an empty text for the file, and the render would be smaller than it was meant."""
    if found := _FILE_OUTSIDE.search(content):
        line = content.count(b"\n", 0, found.start()) + 1
        raise errors.PathEscapesError(f"{chart.where(file)}:{line}: .Files reads only what is in the chart; move the file into it")


def _refuse_forbidden(chart: Chart, functions: Iterable[Use]) -> None:
    for use in functions:
        # A dashboard may hold a text like {{env}}; if it is a template after all, Helm refuses it, but not getHostByName.
        if use.name in FORBIDDEN and (not use.is_quoted or use.name == "getHostByName"):
            raise errors.BuildFailedError(f"{place(chart, use)}: {NOT_ALLOWED} instead of {use.name}")
