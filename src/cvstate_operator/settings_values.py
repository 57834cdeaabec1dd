"""Values of settings: how each kind is checked and read, whether it comes as text from a command line or as YAML from a file.

A reader takes what was told and gives it its type. It raises ValueError with what is wrong and what to write instead; the value itself is repeated only where it
cannot be secret.
"""

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cvstate_operator.objects.address import as_address
from cvstate_operator.objects.redaction import one_line

Read = Callable[[Any], Any]

_TRUE: Final = ("1", "true", "t", "yes", "y", "on")
_FALSE: Final = ("0", "false", "f", "no", "n", "off")
"""Words for yes and no. Source: click, BoolParamType, which command lines of Python know."""
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""Name of a namespace, value of a label. Source: Kubernetes, DNS label names (RFC 1123)."""
_BARE_IPV6: Final = re.compile(r"(https?://)([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*):([0-9]+)")
"""A URL whose host is an IPv6 address without brackets."""
_MAX_PORT: Final = 65535
_UNITS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_SIZE: Final = re.compile(f"([0-9]{{1,18}})({'|'.join(_UNITS)})")
_MOST_BYTES: Final = 2**50


def text(told: Any) -> str:
    """One line that is not empty."""
    if not isinstance(told, str) or not told.strip() or not told.isprintable():
        raise ValueError(f"{_shown(told)} is no text; write one line that is not empty")
    return told


def path(told: Any) -> Path:
    """A path; `~` is the home directory."""
    return Path(text(str(told) if isinstance(told, Path) else told)).expanduser()


def directory(told: Any) -> Path:
    """A path at which there is no file; a directory that is not there yet is made."""
    found = path(told)
    if os.path.isfile(found):
        raise ValueError(f"{_shown(told)} is a file; name a directory, or a path at which nothing is yet")
    return found


def flag(told: Any) -> bool:
    """True or false, as YAML, or as one of the words for them."""
    if isinstance(told, bool):
        return told
    word = told.strip().lower() if isinstance(told, str) else ""
    if word not in (*_TRUE, *_FALSE):
        raise ValueError(f"{_shown(told)} is neither true nor false; write one of the two")
    return word in _TRUE


def whole(least: int, most: int) -> Read:
    """A whole number from `least` to `most`."""

    def read(told: Any) -> int:
        number = int(told) if isinstance(told, str) and re.fullmatch(r"\s*-?[0-9]{1,9}\s*", told) else told
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise ValueError(f"{_shown(told)} is no whole number from {least} to {most}")
        return number

    return read


def seconds(most: float) -> Read:
    """A number above 0 and up to `most`."""

    def read(told: Any) -> float:
        try:
            number = math.nan if isinstance(told, bool) else float(told)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not 0 < number <= most:
            raise ValueError(f"{_shown(told)} is no number of seconds above 0 and up to {most:g}; write the number alone, such as 20")
        return number

    return read


def size(least: int) -> Read:
    """A number of bytes from `least` up to 1 PiB, alone or with a unit: 3276Mi, 4Gi, 500M. Source: Kubernetes, "Resource Management for Pods and Containers"."""

    def read(told: Any) -> int:
        found = None if isinstance(told, bool) else _SIZE.fullmatch(str(told).strip())
        number = int(found[1]) * _UNITS[found[2]] if found else -1
        if not least <= number <= _MOST_BYTES:
            raise ValueError(
                f"{_shown(told)} is no size from {least // 2**20}Mi to {_MOST_BYTES // 2**40}Ti; write a number and a unit, such as 4Gi"
            )
        return number

    return read


def choice(*words: str) -> Read:
    """One of these words, in lower or upper case."""

    def read(told: Any) -> str:
        word = told.strip().lower() if isinstance(told, str) else ""
        if word not in words:
            raise ValueError(f"{_shown(told)} is none of {', '.join(words)}")
        return word

    return read


def namespace(told: Any) -> str:
    """Name of a namespace."""
    if not isinstance(told, str) or not _LABEL.fullmatch(told):
        raise ValueError(f"{_shown(told)} cannot be the name of a namespace; write one name, such as team-a")
    return told


def group(told: Any) -> str:
    """What a label of a Lease can hold, and its name begin with."""
    if not isinstance(told, str) or not _LABEL.fullmatch(told):
        raise ValueError(f"{_shown(told)} cannot be the name of a group; write up to 63 of a-z, 0-9 and -, such as cvstate-operator")
    return told


def account(told: Any) -> str:
    """Name of a ServiceAccount."""
    from cvstate_operator.api.model import NAME_PATTERN  # brings pydantic, which takes long to load

    if not isinstance(told, str) or not re.fullmatch(NAME_PATTERN, told):
        raise ValueError(f"{_shown(told)} cannot be the name of a ServiceAccount; write its name alone, such as applier")
    return told


def host(told: Any) -> str:
    """A host as those of URLs are compared with it: in lower case, without a dot at its end and without brackets. A URL, or one with a port, would never be any."""
    found = told.strip("[]").lower().rstrip(".") if isinstance(told, str) else ""
    if not found or not found.isprintable() or any(sign in found for sign in "/@*, ") or (":" in found and as_address(found) is None):
        raise ValueError(f"{_shown(told)} is no host; write its name or address alone, without scheme and port")
    return found


def host_and_port(told: Any) -> str:
    """Where to listen: HOST:PORT; port 0 is any that is free."""
    port = told.rpartition(":")[2] if isinstance(told, str) and ":" in told and told.isprintable() else ""
    if not (port.isascii() and port.isdecimal()) or int(port) > _MAX_PORT:
        raise ValueError(f"{_shown(told)} is no address; write HOST:PORT, such as 127.0.0.1:8080")
    return str(told)


def url(told: Any) -> str:
    """An http:// or https:// URL without a slash at its end. Not repeated in messages: a password may stand in it."""
    try:
        parts = urlsplit(told if isinstance(told, str) and told.isprintable() and " " not in told else "")
        found, _ = parts.hostname, parts.port  # the port is read when it is asked for
    except ValueError:
        raise ValueError("is no URL: its host or port cannot be read; write http://HOST:PORT") from None
    if parts.scheme not in ("http", "https") or not found:
        raise ValueError("is no URL that begins with http:// or https:// and names a host; write http://HOST:PORT")
    if "@" in parts.netloc:
        raise ValueError("holds a user or password, which would be shown; leave them out")
    if parts.query or parts.fragment:
        raise ValueError("has a query or fragment; write the address alone, with its path if it has one")
    return str(told).rstrip("/")


def address_of_ours(told: Any) -> str:
    """A URL. Whoever puts the Pod's address into it need not know whether that is IPv6: brackets that lack are added."""
    bare = _BARE_IPV6.fullmatch(told) if isinstance(told, str) else None
    if bare and (found := as_address(bare[2])) and found.version == 6:
        return url(f"{bare[1]}[{bare[2]}]:{bare[3]}")
    return url(told)


def or_empty(read: Read) -> Read:
    """The same, or an empty text, which says that there is none."""
    return lambda told: "" if told == "" else read(told)


def each(read: Read) -> Read:
    """A list, each of which is as `read` says, without repetitions; a text is a list with blanks between, as in the environment.

    Everything that is wrong in the list is told together.
    """

    def read_all(told: Any) -> tuple[Any, ...]:
        items = told.split() if isinstance(told, str) else told
        if not isinstance(items, list | tuple):
            raise ValueError(f"{_shown(told)} is no list; write one item on each line, after a hyphen")
        found: list[Any] = []
        faults: list[str] = []
        for item in items:
            try:
                found.append(read(item))
            except ValueError as exc:
                faults.append(str(exc))
        if faults:
            raise ValueError("; ".join(faults))
        return tuple(dict.fromkeys(found))

    return read_all


def _shown(told: Any) -> str:
    """A value as messages repeat it: cut, on one line."""
    return one_line(told if isinstance(told, str) and told else repr(told))
