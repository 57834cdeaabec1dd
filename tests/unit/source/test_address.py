"""Which URLs and hosts may be asked for Git.

Aspects: schemes · users and passwords in a URL · addresses that only the operator can reach, however they are written · private ranges · the loopback
interface · hosts that the owner allows · URLs that are none. (C20–C22, C24, C25, C28, C29 of the list of bad input.)
"""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator import errors
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.source.address import check_url

STRICT = AddressPolicy()
LOCAL = AddressPolicy(insecure=True)
UNSPECIFIED = "0.0.0.0"  # noqa: S104 - a URL's host, nothing is bound


def refused(url: str, policy: AddressPolicy = STRICT, *, has_credentials: bool = False) -> errors.CvstateError:
    with pytest.raises((errors.URLNotAllowedError, errors.InvalidURLError)) as caught:
        check_url(url, policy, has_credentials=has_credentials)
    found: errors.CvstateError = caught.value
    assert found.message.isprintable()
    return found


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.org/r.git",
        "https://git.example.org:8443/a/b",
        "https://GIT.example.org./r",
        "ssh://git@git.example.org/r",
        "ssh://git.example.org:2222/r",
        "https://192.0.2.7/r",
        "https://[2001:4860:4860::8888]/r",
    ],
)
def test_https_and_ssh_to_anywhere_else_are_fine(url: str) -> None:
    check_url(url, STRICT, has_credentials=True)


@pytest.mark.parametrize(
    "url", ["git://git.example.org/r", "ftp://h/r", "gopher://h/r", "ext::sh -c id", "javascript:x", "/etc/passwd", "h:r", "", "https:h"]
)
def test_other_schemes_are_no_git_url(url: str) -> None:
    assert isinstance(refused(url), errors.InvalidURLError)


@pytest.mark.parametrize(
    "url", ["https://", "https:///r", "ssh://git@/r", "https://-oProxyCommand=x/r", "ssh://-oProxyCommand=x/r", "ssh://h/-oProxyCommand=x"]
)
def test_a_host_or_path_that_could_be_an_option_is_refused(url: str) -> None:
    assert isinstance(refused(url), errors.InvalidURLError)


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("user", ["me:hunter2", "hunter2", ":hunter2", "me:"])
def test_a_password_or_token_in_the_url_is_refused_and_never_shown(scheme: str, user: str) -> None:
    error = refused(f"{scheme}://{user}@git.example.org/r", LOCAL)
    assert isinstance(error, errors.InvalidURLError)
    assert "hunter2" not in error.message


def test_ssh_takes_a_user_but_no_password() -> None:
    check_url("ssh://git@git.example.org/r", STRICT, has_credentials=True)
    assert "hunter2" not in refused("ssh://git:hunter2@git.example.org/r").message


@pytest.mark.parametrize(
    "url", ["https://me:hunter2@[::1/r", "https://me:hunter2@h:port/r", "https://h:99999/hunter2", "https://me:hunter2@\u2100/r"]
)
def test_what_is_no_url_is_told_without_repeating_it(url: str) -> None:
    error = refused(url)
    assert isinstance(error, errors.InvalidURLError)
    assert "hunter2" not in error.message


def test_files_only_where_they_are_allowed() -> None:
    assert isinstance(refused("file:///srv/git/r"), errors.URLNotAllowedError)
    check_url("file:///srv/git/r", AddressPolicy(files=True), has_credentials=False)


@pytest.mark.parametrize(("has_credentials", "words"), [(True, "credentials in clear"), (False, "changed on its way")])
def test_plain_http_only_where_it_is_allowed(has_credentials: bool, words: str) -> None:
    assert words in refused("http://git.example.org/r", has_credentials=has_credentials).message
    check_url("http://git.example.org/r", LOCAL, has_credentials=has_credentials)


METADATA = [
    "169.254.169.254",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[::ffff:169.254.169.254]",
    "[2002:a9fe:a9fe::1]",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
]


@pytest.mark.parametrize("host", [*METADATA, "metadata.google.internal", "METADATA.google.internal.", "metadata", "instance-data"])
@pytest.mark.parametrize("policy", [STRICT, LOCAL], ids=["strict", "local"])
def test_a_metadata_service_is_never_asked(host: str, policy: AddressPolicy) -> None:
    assert isinstance(refused(f"https://{host}/latest/meta-data", policy), errors.URLNotAllowedError)


@pytest.mark.parametrize("host", ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local."])
def test_the_api_server_is_never_asked(host: str) -> None:
    assert isinstance(refused(f"https://{host}/api", LOCAL), errors.URLNotAllowedError)


@pytest.mark.parametrize("host", ["10.96.0.1", "[::ffff:10.96.0.1]"])
def test_the_api_server_is_not_asked_by_its_address_either(host: str) -> None:
    policy = AddressPolicy(insecure=True, api_server="10.96.0.1")
    assert "API server" in refused(f"https://{host}/api", policy).message
    check_url("https://10.96.0.2/r", policy, has_credentials=False)


@pytest.mark.parametrize(
    "host",
    [
        "[2001:0:53aa:64c:0:fffe::1]",
        "[fec0::1]",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[ff02::1]",
        "[::ffff:224.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
    ],
)
@pytest.mark.parametrize("policy", [STRICT, LOCAL], ids=["strict", "local"])
def test_addresses_of_nobody_or_of_many_are_refused(host: str, policy: AddressPolicy) -> None:
    refused(f"https://{host}/r", policy)


LOOPBACK = ["127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST.", "[::1]", "[::ffff:127.0.0.1]", "[2002:7f00:1::1]"]


@pytest.mark.parametrize("host", [*LOOPBACK, UNSPECIFIED, "[::]"])
def test_the_operator_s_own_interface_only_where_it_is_allowed(host: str) -> None:
    assert isinstance(refused(f"https://{host}/r"), errors.URLNotAllowedError)
    if host != "[::]":  # reserved as a whole, and needed by nobody
        check_url(f"https://{host}/r", LOCAL, has_credentials=False)


@pytest.mark.parametrize("host", ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "[fd12:3456::1]", "git.team-a.svc"])
def test_a_git_server_in_a_private_network_is_fine(host: str) -> None:
    check_url(f"https://{host}/r", STRICT, has_credentials=True)


@pytest.mark.parametrize(
    "url", ["http://git.internal/r", "https://127.0.0.1/r", "https://169.254.7.7/r", "https://metadata/r", "http://GIT.internal./r"]
)
def test_a_host_that_the_owner_named_is_asked_wherever_it_is(url: str) -> None:
    refused(url)
    check_url(url, AddressPolicy(hosts=("git.internal", "127.0.0.1", "169.254.7.7", "metadata")), has_credentials=True)


def test_the_owner_s_word_for_one_host_is_none_for_another() -> None:
    refused("https://169.254.169.254/r", AddressPolicy(hosts=("169.254.7.7",)))


@given(url=st.text(max_size=40) | st.text(alphabet="https:/@[]%.-0123456789af\n ", max_size=40).map(lambda text: f"https://{text}"))
def test_no_url_makes_more_than_a_refusal(url: str) -> None:
    with suppress(errors.URLNotAllowedError, errors.InvalidURLError):
        check_url(url, STRICT, has_credentials=True)
