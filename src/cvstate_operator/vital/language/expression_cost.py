"""Cost of expressions: a bound on the work of a CEL expression, told before it runs.

The library stops after 10,000 iterations, and knows no other limit: one step may double a string, search 1 MB of text or compile a pattern. So
the text is read as tokens, the variables are counted, and what may cost more than MOST_WORK is not run. The bound is rough and on the safe side;
expressions about readiness stay below it by orders of magnitude. Equal texts and variables are judged equally: there is no clock.

    iterations = macros x (longest list or map) ^ (depth of macros), at most 10,000
    growth     = (operands of `+` and of lists) ^ (macros that bind a new value)
    work       = iterations x costly operations x characters x growth + 4 x (list that a macro builds)^2

Constants are measured with cel-expr-python 0.1.3 on one core of 2.5 GHz.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

MOST_WORK: Final = 100_000_000
"""Characters looked at. The slowest search (`contains`) takes 5 ns each: half a second."""
MOST_DEPTH: Final = 64
"""Nesting of the variables. Objects of Kubernetes have about 20 levels; the library recurses."""
MOST_PATTERNS: Final = 8
"""Uses of `matches`, which compiles its pattern each time: up to 65 ms, when RE2 gives up for its size. None in a macro."""

_MOST_ITERATIONS: Final = 10_000
_LIST_APPEND: Final = 4
"""What `map` and `filter` pay for each item they already have: 20 ns, as much as 4 characters."""
_SMALLEST_VALUE: Final = 10
"""Characters that a value without text counts for: comparing two takes 45 ns."""

_ITERATING: Final = frozenset(
    {"all", "exists", "exists_one", "existsOne", "map", "filter", "transformList", "transformMap", "transformMapEntry"}
)
_BUILDING: Final = frozenset({"map", "filter", "transformList", "transformMap", "transformMapEntry"})
_BINDING: Final = frozenset({"map", "transformList", "transformMap", "transformMapEntry", "bind", "optMap", "optFlatMap"})
_MACROS: Final = _ITERATING | _BINDING
_FREE: Final = frozenset({"has", "size", "orValue", "or", "hasValue", "value", "of", "none", "type", "dyn"})
"""Calls that look at nothing but what they are given."""
REFUSED: Final = frozenset({"replace", "join", "format", "quote"})
"""Functions whose result may be far longer than what they are given."""

_TOKEN: Final = re.compile(
    r"""(?P<blank>\s+|//[^\n]*)
      | (?P<literal>[bB]?[rR](?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n\r]*"|'[^'\n\r]*')
        | [bB]?(?:\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\\n\r]|\\.)*"|'(?:[^'\\\n\r]|\\.)*')
        | (?:true|false|null)\b | [0-9][\w.]*)
      | (?P<name>[A-Za-z_]\w*|`[^`\n]*`)
      | (?P<sign>==|!=|.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What of an expression makes it costly. Counted over the whole text, so every count is too high rather than too low."""

    length: int
    """Characters."""
    iterating: int
    """Macros that go through a list or map."""
    depth: int
    """How deep they stand in each other."""
    building: int
    """Those of them that build a list."""
    binding: int
    """Macros that give a name to a new value."""
    operands: int
    """By how much one expression can be longer than a value it names: operands of `+`, elements of lists."""
    costly: int
    """Operations whose cost grows with what they look at."""
    splits: bool
    """Whether a text may become a list."""
    faults: tuple[str, ...]
    """Why it is not run at all, in the order of the text."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is to look at."""

    characters: int
    longest: int
    """Of all lists and maps, in items."""


def shape(text: str) -> Shape:
    """Count what makes `text` costly. It need not be a valid expression; one that is is read as the CEL grammar does."""
    tokens = [match for match in _TOKEN.finditer(text) if match.lastgroup != "blank"]
    names: list[str] = []
    """Names that are called."""
    parentheses: list[bool] = []
    """Those that are open: whether they belong to a macro that iterates."""
    depth = patterns = 0
    faults = []
    for token, name in _with_callee(tokens):
        if name:
            names.append(name)
            parentheses.append(name in _ITERATING)
            depth = max(depth, sum(parentheses))
            patterns += name == "matches"
            if name in REFUSED:
                faults.append(f"{name}() is not available, for its result has no bound")
            elif name == "matches" and any(parentheses):
                faults.append("matches() is not available inside of macros, for it compiles its pattern each time")
        elif token[0] == "(":
            parentheses.append(False)
        elif token[0] == ")" and parentheses:
            parentheses.pop()
    if patterns > MOST_PATTERNS:
        faults.append(f"matches() stands {patterns} times, {MOST_PATTERNS} are the limit")
    signs = [token[0] for token in tokens if token.lastgroup == "sign"]
    syntax = sum(name in _MACROS for name in names) + names.count("bind")
    return Shape(
        length=len(text),
        iterating=sum(name in _ITERATING for name in names),
        depth=depth,
        building=sum(name in _BUILDING for name in names),
        binding=sum(name in _BINDING for name in names),
        operands=1 + signs.count("+") + max(0, signs.count(",") - syntax),
        costly=_comparisons(tokens) + signs.count("+") + sum(name not in _MACROS | _FREE for name in names),
        splits="split" in names,
        faults=tuple(faults),
    )


def size(variables: Mapping[str, Any]) -> Size:
    """Count what `variables` hold.

    Raises:
        ValueError: they hold what is no JSON as `orjson` reads it (a date, a number beyond 64 bits), or are nested deeper than MOST_DEPTH; the message
            names the type, and never the value.
    """
    characters = longest = 0
    level: list[Any] = list(variables.values())
    for _ in range(MOST_DEPTH):
        below: list[Any] = []
        for value in level:
            characters += _SMALLEST_VALUE
            if isinstance(value, str):
                characters += len(value)
            elif isinstance(value, dict):
                if not all(isinstance(key, str) for key in value):
                    raise ValueError("a variable holds a key that is no text, which is no JSON")
                longest = max(longest, len(value))
                characters += sum(map(len, value))
                below.extend(value.values())
            elif isinstance(value, list):
                longest = max(longest, len(value))
                below.extend(value)
            else:
                _check_scalar(value)
        if not below:
            return Size(characters, longest)
        level = below
    raise ValueError(f"a variable is nested deeper than {MOST_DEPTH} levels")


def work(expression: Shape, given: Size) -> int:
    """A bound on the work, in characters looked at."""
    growth = expression.operands**expression.binding
    characters = given.characters + expression.length
    longest = (max(given.longest, characters if expression.splits else 0) + expression.operands) * growth
    iterations = min(_MOST_ITERATIONS, expression.iterating * longest**expression.depth) if expression.iterating else 1
    built = min(_MOST_ITERATIONS, longest) if expression.building else 0
    return int(iterations * expression.costly * characters * growth + _LIST_APPEND * built**2)


def _with_callee(tokens: list[re.Match[str]]) -> Iterator[tuple[re.Match[str], str]]:
    """Every token; with a name if it opens the arguments of that function."""
    before = ""
    for token in tokens:
        yield token, before if token[0] == "(" else ""
        before = token[0] if token.lastgroup == "name" and token[0] != "in" else ""


def _comparisons(tokens: list[re.Match[str]]) -> int:
    """Comparisons of two values that may both be long: one with a literal ends with it."""
    count = 0
    for at, token in enumerate(tokens):
        if token[0] in ("==", "!="):
            beside = tokens[max(at - 1, 0) : at + 2 : 2]
            count += all(other.lastgroup != "literal" for other in beside)
        elif token[0] == "in":
            count += not _are_literals(tokens[at + 1 :])
    return count


def _are_literals(tokens: list[re.Match[str]]) -> bool:
    """Whether what comes next is a list of literals, as in `phase in ['Ready', 'Running']`."""
    end = next((at for at, token in enumerate(tokens) if token[0] == "]"), 0)
    return end > 0 and tokens[0][0] == "[" and all(token.lastgroup == "literal" or token[0] == "," for token in tokens[1:end])


def _check_scalar(value: Any) -> None:
    if value is not None and not isinstance(value, bool | int | float):
        raise ValueError(f"a variable holds a {type(value).__name__}, which is no JSON")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a variable holds a number of more than 64 bits")
