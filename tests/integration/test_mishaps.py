"""Mishaps of the operator's own machine: they are told where users look, and end when their cause does.

Aspects: a cache directory that cannot be written.
"""

import pytest

from tests.support.objects import config_map, text
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration


def test_a_cache_that_cannot_be_written_is_told_until_it_can(own: World):
    obstacle = own.operator.log.parent / "cache" / "children"
    obstacle.parent.mkdir()
    obstacle.write_text("a file where a directory belongs: not even root can write here")
    own.operator.start()
    own.declare()
    commit = own.commit({"a.yaml": text(config_map("a", k="v"))})
    own.wait_failed("FetchFailed", mentions="the cache directory cannot be written: File exists; free or mend it")
    code, answer = own.operator.http("/readyz")
    assert code == 503
    assert "the cache directory cannot be written" in answer
    assert not any("exception" in line for line in own.operator.lines()), "a full disk is no fault of ours"
    obstacle.unlink()
    own.wait_applied(commit)
    until("the operator is ready", lambda: own.operator.http("/readyz")[0] == 200)
