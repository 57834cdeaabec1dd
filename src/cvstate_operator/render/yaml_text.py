"""YAML text: what is seen to before libyaml reads a file, and how its faults are told. Pure.

Bytes that libyaml would read otherwise than kubectl, or not in bearable time, are refused here; `yaml_reader.py` does the rest.
"""

import re
from itertools import islice
from typing import Final

import orjson
import yaml

from cvstate_operator.objects.redaction import one_line

MAX_TAG_DIRECTIVES: Final = 100
"""`%TAG` lines of a file; manifests have none. libyaml compares each with all before it: 20,000 take 0.45 s, a 20 MB file of them an hour (measured)."""

_BOM: Final = b"\xef\xbb\xbf"
_TAG_DIRECTIVE: Final = re.compile(rb"(?:\A|[\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9])(?:\xef\xbb\xbf)?%TAG")
_BOM_INSIDE: Final = re.compile(rb"(?:\A\xef\xbb\xbf|[\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9])\xef\xbb\xbf")
"""A byte order mark at the beginning of a line, which libyaml skips and kubectl takes for a letter."""
_JSON_START: Final = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\{")
_YAML_LINE_BREAK: Final = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")
"""U+0085, U+2028 and U+2029: line breaks for libyaml, letters for JSON, and kubectl reads a file that begins with a brace as JSON."""
_SURROGATES: Final = re.compile(rb"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})")
"""The escaped halves of one character beyond U+FFFF, as JSON spells it: after an even number of backslashes."""


class YamlError(ValueError):
    """A document that cannot be used."""

    def __init__(self, reason: str, message: str, *, line: int | None = None, document: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        """YAMLInvalid, YAMLTooDeep, YAMLAliasLimit, DuplicateKey or RenderTooLarge."""
        self.message = message
        """One line: what is wrong and what to do."""
        self.line = line
        self.document = document


def check(text: bytes) -> None:
    """Refuse what libyaml would read, but not as kubectl does, or not in bearable time."""
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise YamlError("YAMLInvalid", "the file is UTF-16; save it as UTF-8", line=1)
    try:
        text.decode()
    except UnicodeDecodeError as exc:
        fault = YamlError(
            "YAMLInvalid", f"byte 0x{text[exc.start]:02x} is no UTF-8; save the file as UTF-8", line=_line_at(text, exc.start)
        )
        raise fault from exc
    if text.find(_BOM, 1) > 0 and (found := _BOM_INSIDE.search(text)):
        raise YamlError("YAMLInvalid", "a byte order mark (U+FEFF) inside the file; remove it", line=_line_at(text, found.end()))
    if _JSON_START.match(text) and (found := _YAML_LINE_BREAK.search(text)):
        code = f"{ord(found[0].decode()):04x}"
        message = f"U+{code.upper()} is a line break in YAML and a letter in JSON; write it as \\u{code}"
        raise YamlError("YAMLInvalid", message, line=_line_at(text, found.start()))
    too_many = islice(_TAG_DIRECTIVE.finditer(text), MAX_TAG_DIRECTIVES, None)
    if text.count(b"%TAG") > MAX_TAG_DIRECTIVES and (found := next(too_many, None)):
        message = f"more than {MAX_TAG_DIRECTIVES} %TAG lines; tags are not needed in manifests, remove them"
        raise YamlError("YAMLInvalid", message, line=_line_at(text, found.end()))


def whole_lines(text: bytes) -> bytes:
    """As kubectl reads: line by line, each ended by a newline. So a block scalar at the end of a file has its last newline, though the file has none."""
    text = text.replace(b"\r\n", b"\n")
    return text if text.endswith(b"\n") else text + b"\n"


def _line_at(text: bytes, offset: int) -> int:
    return text.count(b"\n", 0, offset) + 1


def syntax_fault(error: yaml.YAMLError, text: bytes, document: int) -> YamlError:
    mark = getattr(error, "problem_mark", None)
    # A character that YAML does not allow is told by its offset, everything else by a mark, which may be behind the last line.
    line = min(mark.line + 1, max(1, len(text.splitlines()))) if mark else _line_at(text, getattr(error, "position", 0))
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).partition("\n")[0]
    context = getattr(error, "context", None)
    message = f"not YAML: {problem}{f' ({context})' if context else ''}; correct the syntax"
    return YamlError("YAMLInvalid", one_line(message, 300), line=line, document=document)


def without_surrogates(text: bytes) -> bytes:
    """A file of JSON with the pairs of `\\ud83d\\ude00` as the character they mean, which YAML has no words for. Any other file is left as it is."""
    if not _JSON_START.match(text) or not _SURROGATES.search(text):
        return text
    try:
        orjson.loads(text.removeprefix(_BOM))
    except orjson.JSONDecodeError:
        return text  # not JSON after all, or half a pair: libyaml says so
    return _SURROGATES.sub(lambda found: found[1] + orjson.loads(b'"' + found[2] + b'"').encode(), text)
