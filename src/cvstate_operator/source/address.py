"""Git URLs: which may be asked. Pure. Which hosts may be asked at all is in `objects/address.py`."""

from urllib.parse import urlsplit

from cvstate_operator import errors
from cvstate_operator.objects.address import AddressPolicy, check_host


def check_url(url: str, policy: AddressPolicy, *, has_credentials: bool) -> None:
    """Refuse a URL by what it says.

    Raises:
        InvalidURLError: it is none.
        URLNotAllowedError: it is one that the policy forbids.
    """
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").lower().rstrip("."), parts.port
    except ValueError as exc:
        # Python's text repeats the URL, and a password may stand in it.
        raise errors.InvalidURLError("spec.source.git.url is no URL: its host or port cannot be read; write https://HOST/PATH") from exc
    if parts.scheme == "file":
        if not policy.files:
            raise errors.URLNotAllowedError("file:// URLs are not allowed; use https://, or start the operator with --allow-file-urls")
        return
    if parts.scheme not in ("https", "ssh", "http"):
        raise errors.InvalidURLError("spec.source.git.url must begin with https:// or ssh://")
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise errors.InvalidURLError(
            "spec.source.git.url holds a user or password, which would be shown; put them into a Secret (secretRef)"
        )
    if not host or host.startswith("-") or parts.path.startswith("/-"):
        raise errors.InvalidURLError("spec.source.git.url names no host, or one that begins with '-'; write https://HOST/PATH")
    if parts.scheme == "http" and not policy.insecure and host not in policy.hosts:
        what = "would send credentials in clear" if has_credentials else "can be changed on its way"
        raise errors.URLNotAllowedError(f"http:// {what}; use https://, or start the operator with --allow-insecure-sources")
    check_host(host, policy)
