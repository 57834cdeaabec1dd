"""Version ranges.

Aspects: what is in a range · pre-releases only where one is named · what is no range.
"""

import pytest
from semantic_version import Version

from cvstate_operator.api.versions import VersionRange


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        pytest.param("^1.2", "1.2.0 1.9.9 1.2.0+build", "1.1.9 2.0.0 1.3.0-rc.1 2.0.0-rc.1", id="caret"),
        pytest.param("^0.2.3", "0.2.3 0.2.9", "0.3.0 0.2.2", id="caret-below-one"),
        pytest.param("~1.2.3", "1.2.3 1.2.9", "1.3.0", id="tilde"),
        pytest.param("1.x", "1.0.0 1.9.0", "2.0.0 0.9.0", id="x"),
        pytest.param("*", "0.0.1 9.9.9", "1.0.0-rc.1", id="star"),
        pytest.param(">=1.0 <2", "1.0.0 1.9.9", "2.0.0 0.9.9", id="two-bounds"),
        pytest.param(">=1.0,<2", "1.0.0 1.9.9", "2.0.0 0.9.9", id="comma"),
        pytest.param(">= 1.0.0, < 2.0.0", "1.0.0", "2.0.0", id="blanks"),
        pytest.param("1.2 - 1.4", "1.2.0 1.4.9", "1.5.0", id="hyphen"),
        pytest.param("^1.0 || ^3.0", "1.5.0 3.5.0", "2.5.0", id="or"),
        pytest.param("1.2.3", "1.2.3 1.2.3+build", "1.2.4 1.2.3-rc.1", id="one-version"),
        pytest.param(">=1.0.0-0", "1.0.0 1.0.0-rc.1 1.1.0-rc.1 2.0.0", "0.9.9 0.9.9-rc.1", id="with-pre-releases"),
        pytest.param("^1.0.0-0", "1.0.0-rc.1 1.5.0-rc.1 1.5.0", "2.0.0-rc.1 2.0.0", id="caret-with-pre-releases"),
        pytest.param("~1.2.0-beta.2", "1.2.0-beta.3 1.2.0 1.2.5-alpha", "1.2.0-beta.1 1.3.0-rc.1", id="from-a-pre-release-on"),
        pytest.param("^1.0.0-0 || ^3.0", "1.5.0-rc.1 3.5.0", "3.5.0-rc.1", id="pre-releases-of-one-alternative"),
    ],
)
def test_versions_are_in_a_range_or_not(text: str, inside: str, outside: str) -> None:
    wanted = VersionRange(text)
    assert [version for version in inside.split() if not wanted.match(Version(version))] == []
    assert [version for version in outside.split() if wanted.match(Version(version))] == []


@pytest.mark.parametrize("text", ["", "x.y", "latest", "^", ">=1.0.0 ||", "1.2.3.4", "v", "~>1", "^1.0 | ^2.0"])
def test_what_is_no_range_is_told_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        VersionRange(text)
