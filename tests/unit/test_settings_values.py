"""Values of settings: from text and from YAML.

Aspects: what each kind takes, and as what · what it refuses · lists · nothing secret is repeated.
"""

from pathlib import Path
from typing import Any

import pytest

from cvstate_operator import settings_values as values


@pytest.mark.parametrize(
    ("read", "told", "found"),
    [
        pytest.param(values.text, "prod", "prod", id="text"),
        pytest.param(values.path, "/a/b", Path("/a/b"), id="path"),
        pytest.param(values.path, "~/a", Path.home() / "a", id="path from home"),
        pytest.param(values.path, Path("a"), Path("a"), id="path that is one already"),
        pytest.param(values.flag, True, True, id="flag from YAML"),
        pytest.param(values.flag, "No", False, id="flag as a word"),
        pytest.param(values.flag, "1", True, id="flag as a digit"),
        pytest.param(values.whole(1, 256), 256, 256, id="number from YAML"),
        pytest.param(values.whole(1, 256), " 1 ", 1, id="number as text"),
        pytest.param(values.seconds(3600), "0.5", 0.5, id="seconds as text"),
        pytest.param(values.seconds(3600), 3600, 3600.0, id="most seconds"),
        pytest.param(values.size(1), 4096, 4096, id="size from YAML"),
        pytest.param(values.size(1), "4096", 4096, id="size as text"),
        pytest.param(values.size(1), " 3276Mi ", 3276 * 2**20, id="size with a binary unit"),
        pytest.param(values.size(1), "500M", 500 * 10**6, id="size with a decimal unit"),
        pytest.param(values.choice("info", "debug"), "DEBUG", "debug", id="choice in capitals"),
        pytest.param(values.namespace, "team-a", "team-a", id="namespace"),
        pytest.param(values.group, "cvstate", "cvstate", id="group"),
        pytest.param(values.account, "ci.applier", "ci.applier", id="account with a dot"),
        pytest.param(values.host, "Prometheus.Monitoring.", "prometheus.monitoring", id="host"),
        pytest.param(values.host, "[FD12::1]", "fd12::1", id="host that is an address"),
        pytest.param(values.host_and_port, "127.0.0.1:0", "127.0.0.1:0", id="any free port"),
        pytest.param(values.host_and_port, "[::]:65535", "[::]:65535", id="address in brackets"),
        pytest.param(values.url, "https://otel.example.com:4318/v1/", "https://otel.example.com:4318/v1", id="URL"),
        pytest.param(values.address_of_ours, "http://10.1.2.3:9292", "http://10.1.2.3:9292", id="own URL, IPv4"),
        pytest.param(values.address_of_ours, "http://fd00::12:9292", "http://[fd00::12]:9292", id="own URL, IPv6 without brackets"),
        pytest.param(values.address_of_ours, "http://[fd00::12]:9292", "http://[fd00::12]:9292", id="own URL, IPv6"),
        pytest.param(values.or_empty(values.namespace), "", "", id="empty"),
        pytest.param(values.or_empty(values.namespace), "a", "a", id="not empty"),
        pytest.param(values.each(values.namespace), ["a", "b", "a"], ("a", "b"), id="list"),
        pytest.param(values.each(values.namespace), "a  b\n", ("a", "b"), id="list as text"),
        pytest.param(values.each(values.namespace), [], (), id="empty list"),
    ],
)
def test_a_value_becomes_what_the_setting_is(read: values.Read, told: Any, found: Any) -> None:
    assert read(told) == found
    assert type(read(told)) is type(found)


@pytest.mark.parametrize(
    ("read", "told"),
    [
        pytest.param(values.text, " ", id="blank"),
        pytest.param(values.text, 7, id="number as text"),
        pytest.param(values.text, "a\nb", id="two lines"),
        pytest.param(values.path, ["a"], id="list as path"),
        pytest.param(values.size(2**20), "1023Ki", id="size too small"),
        pytest.param(values.size(1), "2000Ti", id="size too large"),
        pytest.param(values.size(1), "1.5Gi", id="size with a fraction"),
        pytest.param(values.size(1), "4GB", id="size with another unit"),
        pytest.param(values.size(1), True, id="flag as size"),
        pytest.param(values.flag, "maybe", id="no word for yes or no"),
        pytest.param(values.flag, 1, id="number as flag"),
        pytest.param(values.flag, "", id="empty flag"),
        pytest.param(values.whole(1, 256), 0, id="too small"),
        pytest.param(values.whole(1, 256), "257", id="too large"),
        pytest.param(values.whole(1, 256), 1.0, id="fraction"),
        pytest.param(values.whole(1, 256), True, id="flag as number"),
        pytest.param(values.whole(1, 256), "many", id="word as number"),
        pytest.param(values.whole(1, 256), "１", id="digit of another script"),
        pytest.param(values.seconds(3600), 0, id="no seconds"),
        pytest.param(values.seconds(3600), "20s", id="seconds with a unit"),
        pytest.param(values.seconds(3600), "nan", id="not a number"),
        pytest.param(values.seconds(3600), "inf", id="for ever"),
        pytest.param(values.seconds(3600), True, id="flag as seconds"),
        pytest.param(values.seconds(3600), [20], id="list as seconds"),
        pytest.param(values.choice("info", "debug"), "loud", id="none of the words"),
        pytest.param(values.choice("info", "debug"), None, id="nothing as a word"),
        pytest.param(values.namespace, "team-*", id="pattern"),
        pytest.param(values.namespace, "a/b", id="path"),
        pytest.param(values.namespace, "a" * 64, id="long name"),
        pytest.param(values.group, "My Group", id="group with a blank"),
        pytest.param(values.account, "system:serviceaccount:a:b", id="whole user name"),
        pytest.param(values.account, "../b", id="account of elsewhere"),
        pytest.param(values.host, "http://a", id="host with scheme"),
        pytest.param(values.host, 7, id="number as host"),
        pytest.param(values.host_and_port, "8080", id="port alone"),
        pytest.param(values.host_and_port, "a:65536", id="port too large"),
        pytest.param(values.host_and_port, "a:http", id="port by name"),
        pytest.param(values.host_and_port, "a:-1", id="negative port"),
        pytest.param(values.url, "otel:4318", id="no scheme"),
        pytest.param(values.url, "ftp://otel", id="other scheme"),
        pytest.param(values.url, "http://", id="no host"),
        pytest.param(values.url, "http://a:b", id="port that is none"),
        pytest.param(values.url, "http://a b", id="blank in it"),
        pytest.param(values.url, "http://a/?x=1", id="query"),
        pytest.param(values.url, None, id="nothing as URL"),
        pytest.param(values.each(values.namespace), {"a": "b"}, id="mapping as list"),
        pytest.param(values.each(values.namespace), [["a"]], id="list in list"),
    ],
)
def test_what_makes_no_sense_is_refused(read: values.Read, told: Any) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read(told)
    assert "\n" not in str(caught.value)


def test_a_directory_may_be_absent_but_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert values.directory(str(tmp_path)) == tmp_path
    assert values.directory(str(tmp_path / "new")) == tmp_path / "new"
    with pytest.raises(ValueError, match="is a file"):
        values.directory(str(tmp_path / "file"))


def test_everything_that_is_wrong_in_a_list_is_told() -> None:
    with pytest.raises(ValueError, match=r"A cannot be.*; B_ cannot be") as caught:
        values.each(values.namespace)(["A", "ok", "B_"])
    assert "ok cannot" not in str(caught.value)


@pytest.mark.parametrize("told", ["http://me:hunter2@otel", "http://otel/?token=hunter2", "http://me:hunter2@otel:x"])
def test_a_url_is_not_repeated_since_a_password_may_stand_in_it(told: str) -> None:
    with pytest.raises(ValueError, match=r"password|query|URL") as caught:
        values.url(told)
    assert "hunter2" not in str(caught.value)
