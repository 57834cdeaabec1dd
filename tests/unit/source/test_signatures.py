"""Signed commits and tags, made by git itself with gpg and ssh-keygen; git verify-commit and verify-tag say the same where they are as strict.

Aspects: each kind of key · what is not signed, or by somebody else · a changed commit · signatures that are not of this commit, or more than one · tags
and their names · unusual but true commits · objects that Git does not write · keys of the Secret · sizes · every flipped bit.
"""

import hashlib
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pygit2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygit2.enums import ObjectType

from cvstate_operator.cli.demo.git_server import Repository
from cvstate_operator.errors import InvalidSpecError, VerificationFailedError
from cvstate_operator.source import signatures, signed_object
from cvstate_operator.source.signatures import Keys
from tests.support import signing
from tests.support.openpgp_maker import PacketCertificate, PacketKey, detached
from tests.support.signing import HAS_GPG, GpgKey, SigningKey, SshKey

"""git and gpg sign with the machine's clock."""
KINDS = ["gpg ed25519", "gpg rsa3072", "ssh ed25519", "ssh rsa", "ssh ecdsa"]


class KeyRing:
    """One key of each kind, made when it is first asked for."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._keys: dict[str, SigningKey] = {}

    def __getitem__(self, name: str) -> SigningKey:
        if name not in self._keys:
            tool, kind, *_ = name.split()
            place = self._directory / str(len(self._keys))
            self._keys[name] = GpgKey.make(place, algorithm=kind) if tool == "gpg" else SshKey.make(place, kind=kind)
        return self._keys[name]

    def close(self) -> None:
        for key in self._keys.values():
            if isinstance(key, GpgKey):
                key.close()


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyRing]:
    keys = KeyRing(tmp_path_factory.mktemp("keys"))
    yield keys
    keys.close()


@pytest.fixture(params=KINDS)
def key(request: pytest.FixtureRequest, ring: KeyRing) -> SigningKey:
    return ring[request.param]


@pytest.fixture
def ssh(ring: KeyRing) -> SshKey:
    found = ring["ssh ed25519"]
    assert isinstance(found, SshKey)
    return found


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    made.commit({"a.yaml": "a: 1\n"}, "first, not signed")
    return made


def trusting(*keys: SigningKey) -> Keys:
    return Keys.parse({f"{number}-{key.entry}": key.public for number, key in enumerate(keys)})


def verify(
    repository: Repository, keys: Keys, commit: str = "HEAD", *, mode: str = "HEAD", tag: str | None = None, tag_name: str | None = None
) -> str:
    opened = pygit2.Repository(str(repository.directory))
    commit_id = repository.git("rev-parse", commit).strip() if len(commit) != 40 else commit
    return str(signatures.verify(opened, commit=commit_id, tag=tag, mode=mode, keys=keys, now=datetime.now(UTC), tag_name=tag_name))


def refused(repository: Repository, keys: Keys, commit: str = "HEAD", *, verdict: str = "SignatureInvalid", **more: str | None) -> str:
    with pytest.raises(VerificationFailedError) as caught:
        verify(repository, keys, commit, **more)  # type: ignore[arg-type]
    assert caught.value.verdict == verdict
    assert "\n" not in caught.value.message
    return caught.value.message


def git_accepts(repository: Repository, key: SigningKey, command: str, name: str) -> bool:
    """What git says, trusting this one key."""
    signers = repository.directory / ".git" / "signers"
    if isinstance(key, SshKey):
        signers.write_bytes(key.allowed_signers())
    options = (*key.git_config(), "-c", f"gpg.ssh.allowedSignersFile={signers}")
    try:
        repository.git(*options, command, name)
    except subprocess.CalledProcessError:
        return False
    return True


def agrees_with_git(repository: Repository, key: SigningKey, name: str = "HEAD", *, accepts: bool, command: str = "verify-commit") -> bool:
    """Whether git comes to this verdict; what stands in for gpg only signs, and is not asked."""
    if isinstance(key, GpgKey) and not HAS_GPG:
        return True
    return git_accepts(repository, key, command, name) == accepts


def test_a_commit_signed_by_git_is_accepted_and_its_signer_is_named(key: SigningKey, repository: Repository) -> None:
    signing.commit(repository, key)
    kind, owner = ("openpgp", "Jane <jane@example.org>") if isinstance(key, GpgKey) else ("ssh", "jane@example.org")
    assert verify(repository, trusting(key)) == f"{kind}:{key.fingerprint} ({owner})"
    assert agrees_with_git(repository, key, accepts=True)


def test_the_signer_is_found_among_keys_of_both_kinds(key: SigningKey, ring: KeyRing, repository: Repository) -> None:
    signing.commit(repository, key)
    assert key.fingerprint in verify(repository, trusting(*(ring[kind] for kind in KINDS)))


@pytest.mark.parametrize("tool", ["gpg", "ssh"])
def test_a_key_that_is_not_in_the_secret_does_not_count(tool: str, ring: KeyRing, repository: Repository) -> None:
    signer, other = ring[f"{tool} ed25519 other"], ring[f"{tool} ed25519"]
    commit = signing.commit(repository, signer)
    message = refused(repository, trusting(other))
    assert signer.signs_as in message
    assert commit[:12] in message
    assert agrees_with_git(repository, other, accepts=False)


def test_a_key_of_the_other_kind_does_not_count(ring: KeyRing, repository: Repository) -> None:
    signing.commit(repository, ring["gpg ed25519"])
    refused(repository, trusting(ring["ssh ed25519"]))
    signing.commit(repository, ring["ssh ed25519"])
    refused(repository, trusting(ring["gpg ed25519"]))


def test_a_commit_without_signature_says_so(repository: Repository, ssh: SshKey) -> None:
    message = refused(repository, trusting(ssh), verdict="SignatureMissing")
    assert repository.git("rev-parse", "HEAD").strip()[:12] in message
    assert "git commit -S" in message


def test_a_signature_in_the_message_is_none(repository: Repository, ssh: SshKey) -> None:
    commit = signing.raw(repository, signing.commit(repository, ssh))
    signature = signed_object.read_commit(identity("commit", commit), commit).signature.decode()
    repository.commit({}, "hello\n\n" + signature, allow_empty=True)
    refused(repository, trusting(ssh), verdict="SignatureMissing")


def identity(kind: str, raw: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(raw)}\0".encode() + raw, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"signed\n", b"other\n"),
        (b"author demo", b"author Demo"),
        (b"committer demo", b"committer Demo"),
        (b"tree ", b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nparent "),
        (b"\n\nsigned\n", b"\n\nsigned\n\n"),
        (b" +0000\ngpgsig", b" +0000\nnote x\ngpgsig"),
    ],
    ids=["message", "author", "committer", "tree", "one more line", "one more header"],
)
def test_a_changed_commit_is_refused(old: bytes, new: bytes, key: SigningKey, repository: Repository) -> None:
    raw = signing.raw(repository, signing.commit(repository, key))
    changed = raw.replace(old, new, 1)
    if new.startswith(b"tree "):
        # The old tree goes, its line must not stay as a parent.
        changed = new.split(b"\n")[0] + raw[raw.index(b"\n") :]
    assert changed != raw
    commit = signing.write(repository, "commit", changed)
    refused(repository, trusting(key), commit)
    assert agrees_with_git(repository, key, commit, accepts=False)


def test_a_signature_of_another_commit_is_refused(key: SigningKey, repository: Repository) -> None:
    first = signing.raw(repository, signing.commit(repository, key, "first"))
    parts = signed_object.read_commit(identity("commit", first), first)
    repository.commit({"a.yaml": "a: 2\n"}, "second")
    second = signing.raw(repository, repository.git("rev-parse", "HEAD").strip())
    commit = signing.write(repository, "commit", signing.insert_signature(second, parts.signature))
    refused(repository, trusting(key), commit)
    assert agrees_with_git(repository, key, commit, accepts=False)


@pytest.mark.parametrize("header", [b"gpgsig", b"gpgsig-sha256", b"gpgsig-other"])
def test_two_signatures_are_refused_whoever_made_them(header: bytes, ssh: SshKey, repository: Repository) -> None:
    raw = signing.raw(repository, signing.commit(repository, ssh))
    signature = ssh.sign(signed_object.read_commit(identity("commit", raw), raw).payload)
    commit = signing.write(repository, "commit", signing.insert_signature(raw, signature, header))
    assert "signature" in refused(repository, trusting(ssh), commit)


def test_a_signature_for_sha256_alone_is_not_one_of_this_commit(ssh: SshKey, repository: Repository) -> None:
    payload = signing.raw(repository, repository.git("rev-parse", "HEAD").strip())
    commit = signing.write(repository, "commit", signing.insert_signature(payload, ssh.sign(payload), b"gpgsig-sha256"))
    refused(repository, trusting(ssh), commit)


def test_two_openpgp_signatures_in_one_are_refused(repository: Repository) -> None:
    keys = [PacketKey(datetime(2024, 1, 1, tzinfo=UTC)) for _ in range(2)]
    trusted = Keys.parse({f"{number}.asc": PacketCertificate(key).public for number, key in enumerate(keys)})
    payload = signing.raw(repository, repository.git("rev-parse", "HEAD").strip())
    made = [key.sign(payload, datetime(2024, 2, 1, tzinfo=UTC)) for key in keys]
    one = signing.write(repository, "commit", signing.insert_signature(payload, detached(made[0])))
    both = signing.write(repository, "commit", signing.insert_signature(payload, detached(*made)))
    assert keys[0].fingerprint in verify(repository, trusted, one)
    assert "holds 2 packets" in refused(repository, trusted, both)


def test_a_signature_made_for_files_is_refused(ssh: SshKey, repository: Repository) -> None:
    payload = signing.raw(repository, repository.git("rev-parse", "HEAD").strip())
    commit = signing.write(repository, "commit", signing.insert_signature(payload, ssh.sign(payload, namespace="file")))
    assert "made for 'file'" in refused(repository, trusting(ssh), commit)
    assert not git_accepts(repository, ssh, "verify-commit", commit)


@pytest.mark.parametrize(
    "signature",
    [
        b"-----BEGIN SIGNED MESSAGE-----\nMIIB\n-----END SIGNED MESSAGE-----",
        b"-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----",
        b"x",
        b"",
    ],
    ids=["X.509", "PGP message", "something", "nothing"],
)
def test_a_signature_of_another_kind_is_refused(signature: bytes, ssh: SshKey, repository: Repository) -> None:
    payload = signing.raw(repository, repository.git("rev-parse", "HEAD").strip())
    commit = signing.write(repository, "commit", signing.insert_signature(payload, signature))
    refused(repository, trusting(ssh), commit)


def test_a_signed_tag_is_accepted_though_its_commit_is_not_signed(key: SigningKey, repository: Repository) -> None:
    tag = signing.tag(repository, key, "v1.0.0")
    assert key.fingerprint in verify(repository, trusting(key), mode="Tag", tag=tag, tag_name="v1.0.0")
    assert agrees_with_git(repository, key, "v1.0.0", accepts=True, command="verify-tag")
    message = refused(repository, trusting(key), mode="TagAndHEAD", tag=tag, tag_name="v1.0.0", verdict="SignatureMissing")
    assert message.startswith("commit ")
    refused(repository, trusting(key), mode="HEAD", tag=tag, verdict="SignatureMissing")


def test_both_signatures_are_asked_for_and_both_signers_named(ring: KeyRing, repository: Repository) -> None:
    author, releaser = ring["gpg ed25519"], ring["ssh ed25519"]
    signing.commit(repository, author)
    tag = signing.tag(repository, releaser, "v1.0.0")
    both = trusting(author, releaser)
    assert verify(repository, both, mode="TagAndHEAD", tag=tag, tag_name="v1.0.0") == (
        f"commit openpgp:{author.fingerprint} (Jane <jane@example.org>); tag ssh:{releaser.fingerprint} (jane@example.org)"
    )
    assert refused(repository, trusting(author), mode="TagAndHEAD", tag=tag).startswith("tag object")
    assert refused(repository, trusting(releaser), mode="TagAndHEAD", tag=tag).startswith("commit")


def test_one_signer_of_both_is_named_once(ssh: SshKey, repository: Repository) -> None:
    signing.commit(repository, ssh)
    tag = signing.tag(repository, ssh, "v1.0.0")
    assert verify(repository, trusting(ssh), mode="TagAndHEAD", tag=tag) == f"ssh:{ssh.fingerprint} (jane@example.org)"


@pytest.mark.parametrize("mode", ["Tag", "TagAndHEAD"])
def test_without_an_annotated_tag_there_is_no_signed_one(mode: str, ssh: SshKey, repository: Repository) -> None:
    signing.commit(repository, ssh)
    repository.git("tag", "light")
    assert "annotated tag" in refused(repository, trusting(ssh), mode=mode, tag=None, tag_name="light", verdict="SignatureMissing")


def test_an_annotated_tag_without_signature_says_so(ssh: SshKey, repository: Repository) -> None:
    repository.git("tag", "-a", "-m", "release", "v1.0.0")
    tag = repository.git("rev-parse", "refs/tags/v1.0.0").strip()
    assert tag[:12] in refused(repository, trusting(ssh), mode="Tag", tag=tag, verdict="SignatureMissing")


def test_a_signed_tag_under_another_name_is_refused(key: SigningKey, repository: Repository) -> None:
    """Else somebody who may push could show the signed v1.0.0 as v2.0.0. git verify-tag does not look."""
    tag = signing.tag(repository, key, "v1.0.0")
    repository.git("update-ref", "refs/tags/v2.0.0", tag)
    message = refused(repository, trusting(key), mode="Tag", tag=tag, tag_name="v2.0.0")
    assert "'v1.0.0'" in message
    assert "'v2.0.0'" in message


def test_a_signed_tag_of_another_commit_is_refused(ssh: SshKey, repository: Repository) -> None:
    tag = signing.tag(repository, ssh, "v1.0.0")
    repository.commit({"a.yaml": "a: 2\n"})
    assert "is of commit" in refused(repository, trusting(ssh), mode="Tag", tag=tag, tag_name="v1.0.0")


def test_a_tag_of_a_tag_is_refused(ssh: SshKey, repository: Repository) -> None:
    signing.tag(repository, ssh, "inner")
    outer = signing.tag(repository, ssh, "outer", "inner")
    assert "points at a tag" in refused(repository, trusting(ssh), mode="Tag", tag=outer, tag_name="outer")


def test_a_tag_of_a_tree_is_refused(ssh: SshKey, repository: Repository) -> None:
    tag = signing.tag(repository, ssh, "tree", "HEAD^{tree}")
    assert "points at a tree" in refused(repository, trusting(ssh), mode="Tag", tag=tag, tag_name="tree")


def test_an_object_of_another_kind_is_refused(ssh: SshKey, repository: Repository) -> None:
    commit = signing.commit(repository, ssh)
    tag = signing.tag(repository, ssh, "v1.0.0")
    refused(repository, trusting(ssh), mode="Tag", tag=commit)
    refused(repository, trusting(ssh), tag)
    refused(repository, trusting(ssh), "0" * 40)


def test_a_changed_tag_is_refused(key: SigningKey, repository: Repository) -> None:
    raw = signing.raw(repository, signing.tag(repository, key, "v1.0.0"))
    for old, new in ((b"tag v1.0.0", b"tag v2.0.0"), (b"release v1.0.0", b"release v1.0.1"), (b"tagger demo", b"tagger Demo")):
        refused(repository, trusting(key), mode="Tag", tag=signing.write(repository, "tag", raw.replace(old, new)))


def test_a_tag_with_two_signatures_or_text_after_is_refused(ssh: SshKey, repository: Repository) -> None:
    raw = signing.raw(repository, signing.tag(repository, ssh, "v1.0.0"))
    twice = raw + ssh.sign(raw)
    assert git_accepts(repository, ssh, "verify-tag", signing.write(repository, "tag", twice))
    assert "2 signatures" in refused(repository, trusting(ssh), mode="Tag", tag=signing.write(repository, "tag", twice))
    refused(repository, trusting(ssh), mode="Tag", tag=signing.write(repository, "tag", raw + b"and more\n"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"type commit\n", b"type commit\ntype commit\n"),
        (b"object ", b"object 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nobject "),
        (b"\ntagger ", b"\ntag v1.0.0\ntagger "),
        (b"\n\nrelease", b"\nencoding latin1\n\nrelease"),
        (b"\n\nrelease", b"\ngpgsig x\n\nrelease"),
        (b"\n\nrelease", b"\n\nrel\0ease"),
        (b" +0000\n", b"\n"),
    ],
    ids=["two types", "two objects", "two names", "encoding", "gpgsig", "NUL", "no zone"],
)
def test_a_tag_that_git_does_not_write_is_refused_though_it_is_signed(old: bytes, new: bytes, ssh: SshKey, repository: Repository) -> None:
    raw = signing.raw(repository, signing.tag(repository, ssh, "v1.0.0"))
    payload = signed_object.read_tag(identity("tag", raw), raw).payload
    changed = payload.replace(old, new, 1)
    assert changed != payload
    tag = signing.write(repository, "tag", changed + ssh.sign(changed))
    assert "is not as Git writes it" in refused(repository, trusting(ssh), mode="Tag", tag=tag)


def test_a_merge_of_a_signed_tag_is_accepted(key: SigningKey, ssh: SshKey, repository: Repository) -> None:
    """git keeps the merged tag, its signature included, in a mergetag header; that signature is part of what is signed."""
    repository.git("checkout", "-q", "-b", "side")
    repository.commit({"b.yaml": "b: 1\n"})
    signing.tag(repository, ssh, "v1.0.0")
    repository.git("checkout", "-q", "main")
    repository.commit({"c.yaml": "c: 1\n"})
    repository.git(*key.git_config(), "merge", "-q", "-S", "--no-ff", "-m", "merge", "v1.0.0")
    raw = signing.raw(repository, repository.git("rev-parse", "HEAD").strip())
    assert b"\nmergetag object " in raw
    assert raw.count(b"\nparent ") == 2
    assert key.fingerprint in verify(repository, trusting(key))
    assert agrees_with_git(repository, key, accepts=True)
    changed = signing.write(repository, "commit", raw.replace(b"release v1.0.0", b"release v1.0.1"))
    refused(repository, trusting(key), changed)


def test_a_commit_in_another_encoding_is_accepted(key: SigningKey, repository: Repository) -> None:
    commit = signing.commit(repository, key, "Grüße", options=("-c", "i18n.commitEncoding=iso-8859-1"))
    assert b"\nencoding iso-8859-1\n" in signing.raw(repository, commit)
    assert key.fingerprint in verify(repository, trusting(key))
    assert agrees_with_git(repository, key, accepts=True)


def test_the_first_commit_and_one_with_many_parents_are_accepted(ssh: SshKey, repository: Repository) -> None:
    for name in ("one", "two", "three"):
        repository.git("checkout", "-q", "-b", name, "main")
        repository.commit({f"{name}.yaml": "a: 1\n"})
    repository.git("checkout", "-q", "main")
    repository.git(*ssh.git_config(), "merge", "-q", "-S", "--no-ff", "-m", "octopus", "one", "two", "three")
    assert ssh.fingerprint in verify(repository, trusting(ssh))
    repository.git("checkout", "-q", "--orphan", "fresh")
    signing.commit(repository, ssh)
    assert ssh.fingerprint in verify(repository, trusting(ssh))


def test_an_empty_message_is_accepted(ssh: SshKey, repository: Repository) -> None:
    repository.git(*ssh.git_config(), "commit", "-q", "-S", "--allow-empty", "--allow-empty-message", "-m", "")
    assert ssh.fingerprint in verify(repository, trusting(ssh))


TREE = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
WHO = b" demo <demo@example.test> 1700000000 +0000\n"
PLAIN = TREE + b"author" + WHO + b"committer" + WHO + b"\nmessage\n"
PARENT = b"parent 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(TREE + PLAIN, id="two trees"),
        pytest.param(PLAIN.replace(b"\nmessage", TREE + b"\nmessage"), id="a tree at the end"),
        pytest.param(PLAIN.replace(b"committer", PARENT + b"committer"), id="a parent after the author"),
        pytest.param(PLAIN.replace(b"committer", b"author" + WHO + b"committer"), id="two authors"),
        pytest.param(PLAIN.replace(b"\nmessage", b"committer" + WHO + b"\nmessage"), id="two committers"),
        pytest.param(PLAIN.replace(b"author", b"note x\nauthor"), id="a header before the author"),
        pytest.param(PLAIN.replace(b"\nmessage", b"encoding a\nencoding b\n\nmessage"), id="two encodings"),
        pytest.param(PLAIN.removeprefix(TREE), id="no tree"),
        pytest.param(PLAIN.replace(b"author" + WHO, b""), id="no author"),
        pytest.param(PLAIN.replace(b"committer" + WHO, b""), id="no committer"),
        pytest.param(PLAIN.replace(b"message", b"mess\0age"), id="NUL in the message"),
        pytest.param(PLAIN.replace(b"demo <", b"de\0mo <", 1), id="NUL in a header"),
        pytest.param(PLAIN.replace(b"tree ", b"tree  "), id="two blanks"),
        pytest.param(PLAIN.replace(b"4b825", b"4B825"), id="upper case"),
        pytest.param(PLAIN.replace(b"1700000000", b"99999999999999"), id="no such time"),
        pytest.param(PLAIN.replace(b"1700000000", b"999999999999"), id="a time out of range"),
        pytest.param(PLAIN.replace(b" +0000\n", b"\n", 1), id="no zone"),
        pytest.param(PLAIN.replace(b"author demo", b"author demo\n more"), id="an author of two lines"),
        pytest.param(PLAIN.replace(b"\nmessage", b"alone\n\nmessage"), id="a header without value"),
        pytest.param(b" x\n" + PLAIN, id="begins with a blank"),
    ],
)
def test_a_commit_that_git_does_not_write_is_refused_though_it_is_signed(payload: bytes, ssh: SshKey, repository: Repository) -> None:
    commit = signing.write(repository, "commit", signing.insert_signature(payload, ssh.sign(payload)))
    assert "is not as Git writes it" in refused(repository, trusting(ssh), commit)


def test_the_plain_commit_of_the_cases_above_is_accepted(ssh: SshKey, repository: Repository) -> None:
    for payload in (PLAIN, PLAIN.replace(b"author", PARENT + b"author", 1), PLAIN.replace(b"\nmessage", b"HG:extra x\n\nmessage")):
        commit = signing.write(repository, "commit", signing.insert_signature(payload, ssh.sign(payload)))
        assert ssh.fingerprint in verify(repository, trusting(ssh), commit)


def test_a_header_behind_the_signature_is_signed_too(ssh: SshKey, repository: Repository) -> None:
    payload = PLAIN.replace(b"\nmessage", b"note x\n\nmessage")
    signature = ssh.sign(payload).strip().replace(b"\n", b"\n ")
    raw = payload.replace(b"note x", b"gpgsig " + signature + b"\nnote x")
    assert ssh.fingerprint in verify(repository, trusting(ssh), signing.write(repository, "commit", raw))
    refused(repository, trusting(ssh), signing.write(repository, "commit", raw.replace(b"note x", b"note y")))


def test_bytes_that_have_another_id_are_refused() -> None:
    with pytest.raises(VerificationFailedError, match="do not have this id"):
        signed_object.read_commit("0" * 40, PLAIN)
    with pytest.raises(VerificationFailedError, match="do not have this id"):
        signed_object.read_tag(identity("commit", PLAIN), PLAIN)


def test_a_commit_or_signature_that_is_too_large_is_refused(ssh: SshKey, repository: Repository) -> None:
    large = PLAIN + b"x" * 2**20
    commit = signing.write(repository, "commit", signing.insert_signature(large, ssh.sign(large)))
    assert "larger than 1 MiB" in refused(repository, trusting(ssh), commit)
    long = b"-----BEGIN SSH SIGNATURE-----\n" + b"A\n" * 2**15 + b"-----END SSH SIGNATURE-----"
    commit = signing.write(repository, "commit", signing.insert_signature(PLAIN, long))
    assert "larger than 64 KiB" in refused(repository, trusting(ssh), commit)


@pytest.mark.parametrize("tool", ["gpg", "ssh"])
def test_no_flipped_bit_of_a_commit_is_accepted(tool: str, ring: KeyRing, repository: Repository) -> None:
    key = ring[f"{tool} ed25519"]
    raw = signing.raw(repository, signing.commit(repository, key))
    opened, trusted = pygit2.Repository(str(repository.directory)), trusting(key)
    start, end = raw.index(b"-----BEGIN"), raw.index(b"-----\n\n")
    for at in range(len(raw) * 8):
        if start <= at // 8 < end:
            continue
        changed = bytearray(raw)
        changed[at // 8] ^= 1 << at % 8
        commit = str(opened.write(ObjectType.COMMIT, bytes(changed)))
        with pytest.raises(VerificationFailedError):
            signatures.verify(opened, commit=commit, tag=None, mode="HEAD", keys=trusted, now=datetime.now(UTC))


SIGNED_LINES = signing.insert_signature(
    PLAIN.replace(b"author", PARENT + b"author", 1), b"-----BEGIN A-----\n\nAAAA\n-----END A-----"
).splitlines(True)
EDITS = st.lists(st.tuples(st.sampled_from(["copy", "drop", "swap"]), st.integers(0, 20), st.integers(0, 20)), max_size=3)


@given(edits=EDITS)
def test_lines_in_any_order_are_refused_or_read_to_the_last_byte(edits: list[tuple[str, int, int]]) -> None:
    """What is read is the whole object: the payload, and one signature where it was cut out."""
    lines = list(SIGNED_LINES)
    for what, at, other in edits:
        at, other = at % len(lines), other % len(lines)
        match what:
            case "copy":
                lines.insert(at, lines[other])
            case "drop" if len(lines) > 1:
                del lines[at]
            case _:
                lines[at], lines[other] = lines[other], lines[at]
    raw = b"".join(lines)
    try:
        found = signed_object.read_commit(identity("commit", raw), raw)
    except VerificationFailedError:
        assert lines != SIGNED_LINES
        return
    header = b"gpgsig " + found.signature.replace(b"\n", b"\n ") + b"\n"
    assert raw.replace(header, b"", 1) == found.payload
    assert found.payload.startswith(b"tree " + found.target.encode() + b"\n")
    assert b"\ngpgsig" not in found.payload.split(b"\n\n")[0]


@given(raw=st.binary(max_size=300))
def test_any_bytes_are_refused_in_one_line(raw: bytes) -> None:
    for kind, read in (("commit", signed_object.read_commit), ("tag", signed_object.read_tag)):
        with pytest.raises(VerificationFailedError) as caught:
            read(identity(kind, raw), raw)
        assert "\n" not in caught.value.message


def test_other_entries_of_the_secret_are_passed_over(ssh: SshKey) -> None:
    keys = Keys.parse({"jane.sshpub": ssh.public, "username": b"git", "README.md": b"\xff", "jane.pub": b"nothing"})
    assert [key.fingerprint for key in keys.ssh] == [ssh.fingerprint]


@pytest.mark.parametrize("files", [{}, {"jane.pub": b"ssh-ed25519 AAAA"}, {"author.ASC": b""}], ids=["empty", "other names", "upper case"])
def test_a_secret_without_keys_is_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(InvalidSpecError, match=r"no entry \*\.asc"):
        Keys.parse(files)


def test_one_bad_entry_is_named_though_others_are_good(ssh: SshKey) -> None:
    with pytest.raises(InvalidSpecError, match=r"joe\.asc is empty"):
        Keys.parse({"jane.sshpub": ssh.public, "joe.asc": b""})


def test_keys_beyond_a_mebibyte_are_refused(ssh: SshKey) -> None:
    with pytest.raises(InvalidSpecError, match="larger than 1 MiB"):
        Keys.parse({"jane.sshpub": ssh.public, "joe.sshpub": b"#" * 2**20})


def test_a_name_of_an_entry_is_shown_on_one_line() -> None:
    with pytest.raises(InvalidSpecError) as caught:
        Keys.parse({"a\nb.asc": b""})
    assert "\n" not in caught.value.message


def test_an_unknown_mode_verifies_nothing(ssh: SshKey, repository: Repository) -> None:
    signing.commit(repository, ssh)
    with pytest.raises(InvalidSpecError, match=r"verify\.mode"):
        verify(repository, trusting(ssh), mode="head")
