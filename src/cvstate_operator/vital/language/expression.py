"""Expressions: conditions that users write in CEL (Common Expression Language), as the API server's own validation rules are.

Input are `readyExpr` of a dependency and other expressions of a spec, and live objects; readers are the modules that ask whether something is ready.
An expression can tell true from false, and nothing else: an error of any kind is an ExpressionError, never an answer.

It is run by the CEL project's own evaluator (cel-expr-python, in C++), with its optional types (`self.?status.?phase.orValue('')`), string and math
functions and `cel.bind`. Kubernetes' own libraries (quantities, URLs, versions) are not there. The evaluator lets other threads run, and stops after
10,000 iterations; regular expressions are RE2, linear in time. What it does not bound is bounded by `expression_cost`.

The library is loaded with the first expression, not before: 9 ms and 19 MB (measured), which most processes never need.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.vital.language import expression_cost

MAX_TEXT: Final = 4096
"""Longest expression in characters: more than a person reads, and far less than the status of an object may hold."""
SELF_AND_DEPENDENCY: Final = ("self", "dep")
"""Variables of `readyExpr`, as Flux names them: the object that waits, and the one it waits for."""

_COMPILED: Final = 128
"""Expressions kept compiled: 3 KB for a usual one, 160 KB for the longest (measured); compiling one takes 0.1 ms."""
_FAULT: Final = re.compile(r"ERROR: <input>:(?P<line>-?\d+):(?P<column>-?\d+): (?P<fault>[^\n]*)")
_CODE: Final = re.compile(r"\A[A-Z_]+: |\s*\[[A-Z_]+\]\Z")
_NOISE: Final = re.compile(r" expecting \{.*| \(in container ''\)|Syntax error: ")
_QUOTED: Final = re.compile(r"""(['"`])(?P<text>.*)\1""", re.DOTALL)
_PATTERN: Final = re.compile(r"(regular expression)(?: too large)?: .*", re.DOTALL)


class ExpressionError(ValueError):
    """An expression that cannot be read, or gives no answer. The message is one line, and repeats no value of an object."""


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """A compiled expression. Safe to use from several threads."""

    text: str
    variables: tuple[str, ...]
    _program: Any
    _shape: expression_cost.Shape

    def holds(self, variables: Mapping[str, Any]) -> bool:
        """Whether it is true.

        Args:
            variables: one JSON value, as parsed, for each declared name; `managedFields` are best left out.

        Raises:
            ExpressionError: a field it needs is missing, a type does not fit, the answer is no boolean, or it may take too long (`expression_cost`).
        """
        self._check_cost(variables)
        try:
            result = self._program.eval(data=dict(variables))
            answer = result.value() if result.type().name() in ("BOOL", "ERROR") else result.type()
        except (RuntimeError, TypeError, ValueError) as exc:
            raise ExpressionError(self._told(str(exc))) from exc
        # The library gives an error back as a value, which is text, and so would pass for true.
        if isinstance(answer, bool):
            return answer
        raise ExpressionError(self._told(answer) if isinstance(answer, str) else f"gives {_type_name(answer)}, not true or false")

    def _check_cost(self, variables: Mapping[str, Any]) -> None:
        if missing := [name for name in self.variables if name not in variables]:
            raise ExpressionError(f"{missing[0]} has no value")
        try:
            given = expression_cost.size(variables)
        except ValueError as exc:
            raise ExpressionError(str(exc)) from exc
        if expression_cost.work(self._shape, given) > expression_cost.MOST_WORK:
            raise ExpressionError("may take too long on an object of this size; use fewer or simpler macros, or look at less of it")

    def _told(self, fault: str) -> str:
        """What the library says, without values of objects: quoted text stays only where the expression itself holds it."""
        fault = _CODE.sub("", _CODE.sub("", fault))
        if "budget" in fault:
            return "needs more than 10000 iterations"
        # What is wrong with a pattern is told with the pattern, without quotes, and it may come from an object.
        fault = _PATTERN.sub(r"\1", fault)
        fault = _QUOTED.sub(lambda match: match[0] if match["text"] in self.text else "***", fault)
        return one_line(fault)


@lru_cache(maxsize=_COMPILED)
def compile_expression(text: str, variables: tuple[str, ...] = SELF_AND_DEPENDENCY) -> Expression:
    """Read an expression; the latest ones are kept.

    Args:
        text: CEL, MAX_TEXT characters at most.
        variables: names it may use, each of any type.

    Raises:
        ExpressionError: it is no valid expression, can never be true or false, or has no bound in cost. With line and column where they are known.
    """
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"is longer than {MAX_TEXT} characters")
    shape = expression_cost.shape(text)
    try:
        program = _environment(variables).compile(text)
    except (RuntimeError, TypeError, ValueError) as exc:
        raise ExpressionError(_read_fault(str(exc))) from exc
    if shape.faults:
        raise ExpressionError(shape.faults[0])
    kind = program.return_type()
    if _type_name(kind) not in ("bool", "dyn"):
        raise ExpressionError(f"gives {_type_name(kind)}, not true or false")
    return Expression(text, variables, program, shape)


@lru_cache(maxsize=8)
def _environment(variables: tuple[str, ...]) -> Any:
    # Here and not above: see the module's docstring.
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_bindings, ext_math, ext_optional, ext_strings

    extensions = [ext_bindings.ExtBindings(), ext_math.ExtMath(), ext_optional.ExtOptional(), ext_strings.ExtStrings()]
    return cel.NewEnv(variables=dict.fromkeys(variables, cel.Type.DYN), extensions=extensions)


def _read_fault(fault: str) -> str:
    match = _FAULT.search(fault)
    if match is None:
        return one_line(_NOISE.sub("", _CODE.sub("", _CODE.sub("", fault))))
    where = f"line {match['line']}, column {match['column']}: " if int(match["line"]) > 0 else ""
    return where + one_line(_NOISE.sub("", _CODE.sub("", match["fault"])))


def _type_name(kind: Any) -> str:
    return str(kind).partition("<")[0].lower()
