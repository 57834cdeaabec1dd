"""What is decided about a chart without running Helm.

Aspects: which functions a template calls, and rewriting them · hostile templates take linear time · values: order, merging, paths, faults without a value ·
values masked in messages · the chart on disk: links, limits, packed charts · schemas that lead elsewhere · documents parted, hooks, differences · the
version is the one of the go.mod.
"""

import gzip
import io
import os
import re
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator import errors
from cvstate_operator.render import helm, helm_chart, helm_documents, helm_scan, helm_schema, helm_values
from cvstate_operator.render.helm_chart import Chart, Limits
from cvstate_operator.render.helm_scan import Call
from tests.cluster import programs

NAMES = {"now", "env", "keys", "lookup"}


# -- functions of a template -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ now }}", [Call("now", 1, False)]),
        ("a\nb\n{{- now | date -}}\n{{ env }}", [Call("now", 3, False), Call("env", 4, False)]),
        ("{{now}}{{-\n\n now}}", [Call("now", 1, False), Call("now", 3, False)]),
        ("{{ if (eq (now) 1) }}", [Call("now", 1, False)]),
        ("{{ .now }} {{ $now }} {{ $.Values.now }} {{ .Values.a.now.b }} {{ nowhere }} {{ known }} {{ (a).now }}", []),
        ("now {{ a }} env {{ b }} now", []),
        ("{{/* now */}}{{- /* env\n}} now */ -}} now", []),
        ("{{ /* no comment */ now }}", [Call("now", 1, False)]),
        ('{{ "now" }}{{ `env` }}{{ \'n\' }}{{ print "}}" now }}', [Call("now", 1, False)]),
        ('{{ "a\\"}} now" }}{{ env }}', [Call("env", 1, False)]),
        ('\n{{ tpl "x{{ now }}" . }}', [Call("now", 2, True)]),
        ("{{ `{{ env }}` }}", [Call("env", 1, True)]),
        ('{{ tpl "{{ tpl `{{ now }}` . }}" . }}', [Call("now", 1, True)]),
        ('{{ "unfinished }} {{ now }}', []),
        ("{{ now", [Call("now", 1, False)]),
        ("{{", []),
    ],
)
def test_calls_are_told_from_fields_variables_strings_and_comments(text: str, expected: list[Call]) -> None:
    assert list(helm_scan.calls(text.encode(), NAMES)) == expected


def test_a_function_is_replaced_in_actions_only() -> None:
    text = b'now {{ now | date "now" }} {{ .now }} {{- $x := now.Year -}} {{/* now */}} \xff'
    assert helm_scan.replaced(text, "now", b"(x)") == b'now {{ (x) | date "now" }} {{ .now }} {{- $x := (x).Year -}} {{/* now */}} \xff'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ keys .a }}", "{{ keys .a  | s }}"),
        ("{{- keys .a -}}", "{{- keys .a | s  -}}"),
        ("{{ keys .a | join }}", "{{ keys .a  | s | join }}"),
        ("{{ .a | keys }}", "{{ .a | keys  | s }}"),
        ("{{ first (keys (merge .a .b)) | x }}", "{{ first (keys (merge .a .b) | s ) | x }}"),
        ("{{ range $i, $k := keys .a }}{{ .keys }}{{ end }}", "{{ range $i, $k := keys .a  | s }}{{ .keys }}{{ end }}"),
        ("{{ keys ) keys }}", "{{ keys  | s ) keys  | s }}"),
        ("{{ `keys` }} keys", "{{ `keys` }} keys"),
    ],
)
def test_what_a_function_gives_is_piped_at_the_end_of_its_command(text: str, expected: str) -> None:
    assert helm_scan.piped(text.encode(), "keys", b"s").decode() == expected


@given(
    st.lists(
        st.sampled_from([b"{{", b"}}", b"-", b" ", b"(", b")", b"|", b'"', b"`", b"'", b"\\", b"keys", b"now", b".", b"/*", b"*/", b"\n"])
    )
)
def test_no_template_confuses_the_scan(parts: list[bytes]) -> None:
    text = b"".join(parts)
    assert all(call.line <= text.count(b"\n") + 1 for call in helm_scan.calls(text, NAMES))
    assert helm_scan.replaced(text, "now", b"now") == text
    assert helm_scan.piped(text, "absent", b"x") == text


@pytest.mark.parametrize(
    "text",
    [
        b'{{ "' * 500_000,
        b"{{ '" + b"\\'" * 1_000_000,
        b"{{ `" * 500_000,
        b"{{/*" * 500_000,
        b"{{ (" * 500_000,
        b"{{ now }}" * 100_000,
        b'{{ "{{' * 300_000,
    ],
    ids=["quotes", "escapes", "raw", "comments", "parentheses", "calls", "nested"],
)
def test_a_hostile_template_takes_linear_time(text: bytes) -> None:
    started = time.monotonic()
    for _ in helm_scan.calls(text, NAMES):
        pass
    assert time.monotonic() - started < 5


# -- values ------------------------------------------------------------------------------------------------------------


def merged(documents: tuple[tuple[str, str], ...], inline: dict[str, Any]) -> dict[str, Any]:
    """As Helm merges the layers."""
    found: dict[str, Any] = {}
    for layer in helm_values.layers(documents, inline):
        found = helm_values.merge(found, layer)
    return found


def test_values_of_later_documents_win_and_inline_ones_over_all() -> None:
    documents = (("", "a: {x: 1, v: 1, z: 1}\nlist: [1, 2]"), ("", "a: {v: 2, z: 2}\n---\nlist: [3]"), ("a.w", "2"))
    assert merged(documents, {"a": {"z": 3}}) == {"a": {"x": 1, "v": 2, "z": 3, "w": "2"}, "list": [3]}


def test_null_is_kept_for_helm_to_take_a_default_away() -> None:
    assert merged((("", "a: {b: 1}"),), {"a": None}) == {"a": None}


def test_without_values_there_is_an_empty_map() -> None:
    assert merged((("", "# nothing\n"),), {}) == {}


def test_each_document_is_a_layer_since_null_takes_back_what_a_file_said() -> None:
    documents = (("", "a: null"), ("", "a: {b: 1}\nlist: [{x: 1}]"), ("list[0].y", "2"), ("c.d", "3"))
    assert helm_values.layers(documents, {"e": 4}) == (
        {"a": None},
        {"a": {"b": 1}, "list": [{"x": 1}]},
        {"list": [{"x": 1, "y": "2"}]},
        {"c": {"d": "3"}},
        {"e": 4},
    )


@pytest.mark.parametrize(
    ("path", "before", "expected"),
    [
        ("a", "", {"a": "t"}),
        ("a.b-c.D_e", "", {"a": {"b-c": {"D_e": "t"}}}),
        ("a[1].b", "", {"a": [None, {"b": "t"}]}),
        ("a[0][1]", "a: [[x, y, z], w]", {"a": [["x", "t", "z"], "w"]}),
        ("a[0].b", "a: [{b: 1, c: 2}]", {"a": [{"b": "t", "c": 2}]}),
        ("a.b", "a: text", {"a": {"b": "t"}}),
        ("a[0]", "a: {b: 1}", {"a": ["t"]}),
    ],
)
def test_a_target_path_puts_the_text_there(path: str, before: str, expected: dict[str, Any]) -> None:
    assert merged((("", before), (path, "t")), {}) == expected


@pytest.mark.parametrize("path", [".a", "a.", "a..b", "[0]", "a[", "a[x]", "a]b", "a[0]b", "a[-1]", "a[9999999]", "a[999999]"])
def test_a_target_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(errors.BuildFailedError, match=r"valuesFrom\[0\]: targetPath"):
        merged(((path, "t"),), {})


@pytest.mark.parametrize(
    "text", ["[hunter2]", "hunter2", "a: [hunter2", "hunter2: 1\nhunter2: 2", "a: !hunter2 b", "a: *hunter2", "<<: hunter2", "a: @hunter2"]
)
def test_a_document_that_is_no_map_is_refused_without_showing_any_of_it(text: str) -> None:
    with pytest.raises(errors.BuildFailedError, match=r"valuesFrom\[1\]") as caught:
        merged((("", "a: b"), ("", text)), {})
    assert caught.value.message.isprintable()
    assert "hunter2" not in caught.value.message


def test_values_from_references_are_masked() -> None:
    documents = (("a.b", "one secret"), ("", "x: [{y: hunter22}, 123456, true]\nz: {w: abc}"))
    text = helm_values.masked("one secret, hunter22 and 123456; true, abc", documents)
    assert text == "***, *** and ***; true, abc"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("two\nlines of it", "bad two lines of it"),
        ("a  b\tc d", "bad a b c d"),
        ('say "hi"\nnow', r'bad "say \"hi\"\nnow"'),
        ("-----BEGIN-----\nMIIEvQIBADANBg\n-----END-----", "bad MIIEvQIBADANBg"),
        ("hunter22", "bad aHVudGVyMjI="),
        ("2020-hunter22", "cannot parse \"-hunter22\" as '2006'"),
        ("key=hunter22", "cannot read `hunter22`"),
        ('hunter22 "x"\n', 'parsing "hunter22 \\"x\\"\\x0a"'),
    ],
    ids=["lines", "blanks", "quoted", "one line", "base64", "a part in quotes", "a part in backquotes", "escapes"],
)
def test_a_value_is_masked_however_it_is_told(value: str, said: str) -> None:
    told = helm_values.masked(said, (("a", value),))
    assert "***" in told
    assert not any(part in told for part in ("lines", "b c", "hi", "MIIE", "hunter22", "aHVu"))


@pytest.mark.parametrize(
    ("number", "as_go"), [("12345678", "1.2345678e+07"), ("1.5e300", "1.5e+300"), ("12345678901234567890.5", "1.2345678901234567e+19")]
)
def test_a_large_number_is_masked_as_templates_print_it(number: str, as_go: str) -> None:
    assert helm_values.masked(f"pin {as_go} of 7", (("", f"pin: {number}"),)) == "pin *** of 7"


# -- the chart on disk -------------------------------------------------------------------------------------------------


def on_disk(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def packed(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def test_every_file_of_the_chart_is_read_but_git(tmp_path: Path) -> None:
    on_disk(tmp_path, {"c/Chart.yaml": "n", "c/templates/a.yaml": "a", "c/.helmignore": "i", "c/.git/config": "g", "other": "o"})
    chart = helm_chart.read(tmp_path, "./c/")
    assert chart.files == {".helmignore": b"i", "Chart.yaml": b"n", "templates/a.yaml": b"a"}
    assert chart.path == "c"
    chart.write(tmp_path / "copy")
    assert helm_chart.read(tmp_path, "copy").files == chart.files


def test_links_inside_the_repository_are_followed(tmp_path: Path) -> None:
    on_disk(tmp_path, {"c/Chart.yaml": "n", "shared/a.yaml": "a"})
    (tmp_path / "c/templates").symlink_to("../shared")
    (tmp_path / "link").symlink_to("c")
    assert helm_chart.read(tmp_path, "link").files == {"Chart.yaml": b"n", "templates/a.yaml": b"a"}


@pytest.mark.parametrize("target", ["/etc/hostname", "../../outside", "..", ".", "../.git/config", "a.yaml"])
def test_links_that_lead_out_or_in_a_circle_are_refused(tmp_path: Path, target: str) -> None:
    root = on_disk(tmp_path / "repository", {"c/Chart.yaml": "n", "c/templates/b.yaml": "b", ".git/config": "g"})
    (tmp_path / "outside").write_text("o")
    (root / "c/templates/a.yaml").symlink_to(target if target != "../../outside" else "../../../outside")
    if target == "../.git/config":
        (root / "c/templates/a.yaml").unlink()
        (root / "c/templates/a.yaml").symlink_to("../../.git/config")
    with pytest.raises(errors.SymlinkEscapesError if target != "a.yaml" else errors.BuildFailedError, match=r"c/templates/a\.yaml"):
        helm_chart.read(root, "c")


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    on_disk(tmp_path, {"c/Chart.yaml": "n"})
    (tmp_path / "c/x").symlink_to("absent")
    with pytest.raises(errors.BuildFailedError, match="c/x: is no file, or a symbolic link that leads nowhere"):
        helm_chart.read(tmp_path, "c")


@pytest.mark.parametrize("name", [b"a\nkind: Secret", b"a\x1b[31m", b"a\xff", b"a\xe2\x80\xa8b"])
def test_a_file_whose_name_could_end_a_comment_is_refused(tmp_path: Path, name: bytes) -> None:
    """Helm writes names of templates into comments between objects."""
    on_disk(tmp_path, {"c/Chart.yaml": "n", "c/templates/a": "a"})
    (tmp_path / os.fsdecode(b"c/templates/" + name)).write_text("b")
    with pytest.raises(errors.BuildFailedError, match="c/templates") as caught:
        helm_chart.read(tmp_path, "c")
    assert caught.value.message.isprintable()


def test_a_packed_file_whose_name_could_end_a_comment_is_refused() -> None:
    content = packed({"x/Chart.yaml": b"x", "x/templates/a\nkind: Secret": b"a"})
    with pytest.raises(errors.BuildFailedError, match=r"c/charts/x\.tgz: holds a file with unprintable") as caught:
        seen(Chart("c", {"charts/x.tgz": content}))
    assert caught.value.message.isprintable()


def test_links_that_multiply_a_chart_end_at_the_limit(tmp_path: Path) -> None:
    on_disk(tmp_path, {"c/Chart.yaml": "n", "d20/x": "x"})
    for level in range(20):
        (tmp_path / f"d{level}").mkdir()
        for name in ("a", "b"):
            (tmp_path / f"d{level}" / name).symlink_to(f"../d{level + 1}")
    (tmp_path / "c/many").symlink_to("../d0")
    with pytest.raises(errors.RenderTooLargeError, match="c: more than 1000 files"):
        helm_chart.read(tmp_path, "c", limits=Limits(max_files=1000))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("absent", errors.PathNotFoundError),
        ("c/Chart.yaml", errors.PathNotFoundError),
        ("..", errors.PathEscapesError),
        ("d", errors.BuildFailedError),
    ],
)
def test_a_path_without_a_chart_is_refused(tmp_path: Path, path: str, kind: type[errors.CvstateError]) -> None:
    on_disk(tmp_path, {"c/Chart.yaml": "n", "d/x": "x"})
    with pytest.raises(kind):
        helm_chart.read(tmp_path, path)


def test_a_chart_beyond_its_bytes_is_refused(tmp_path: Path) -> None:
    on_disk(tmp_path, {"c/Chart.yaml": "n", "c/a": "x" * 600, "c/b": "x" * 600})
    with pytest.raises(errors.RenderTooLargeError):
        helm_chart.read(tmp_path, "c", limits=Limits(max_bytes=1000))


def seen(chart: Chart, **limits: int) -> list[str]:
    found = []

    def look(file: str, content: bytes) -> bytes:
        found.append(file)
        return content

    chart.changed(look, Limits(**limits))
    return found


def test_packed_charts_are_opened_and_packed_again_when_something_changed() -> None:
    inner = packed({"y/Chart.yaml": b"y", "y/templates/b.yaml": b"b"})
    outer = packed({"x/Chart.yaml": b"x", "x/charts/y.tgz": inner, "x/templates/a.yaml": b"a"})
    chart = Chart("c", {"Chart.yaml": b"n", "charts/x-1.tgz": outer, "files/charts/z.tgz": b"no chart"})
    inside = ["Chart.yaml", "charts/y.tgz/Chart.yaml", "charts/y.tgz/templates/b.yaml", "templates/a.yaml"]
    expected = ["Chart.yaml", *(f"charts/x-1.tgz/{file}" for file in inside), "files/charts/z.tgz"]
    assert seen(chart) == expected
    assert chart.changed(lambda _, content: content) == chart
    upper = chart.changed(lambda _, content: content.upper())
    contents: dict[str, bytes] = {}
    upper.changed(lambda file, content: contents.setdefault(file, content))
    assert list(contents) == expected
    assert contents["charts/x-1.tgz/charts/y.tgz/templates/b.yaml"] == b"B"


def test_a_packed_chart_that_unpacks_to_too_much_is_refused() -> None:
    bomb = gzip.compress(b"\0" * 2**22)
    sparse = packed({"x/a": b"x" * 2000})
    for content in (bomb, sparse):
        with pytest.raises(errors.RenderTooLargeError):
            seen(Chart("c", {"charts/x.tgz": content}), max_bytes=1000)
    with pytest.raises(errors.RenderTooLargeError):
        seen(Chart("c", {"charts/x.tgz": packed({f"x/{number}": b"" for number in range(20)})}), max_files=10)


def test_packed_charts_in_one_another_end_at_the_limit() -> None:
    content = packed({"x/Chart.yaml": b"x"})
    for _ in range(helm_chart.MAX_ARCHIVES):
        content = packed({"x/charts/x.tgz": content})
    with pytest.raises(errors.RenderTooLargeError):
        seen(Chart("c", {"charts/x.tgz": content}))


@pytest.mark.parametrize("content", [b"", b"text", gzip.compress(b"text" * 1000, mtime=0)[:-4], gzip.compress(b"x" * 5000, mtime=0)])
def test_a_packed_chart_that_is_none_is_named(content: bytes) -> None:
    with pytest.raises(errors.BuildFailedError, match=r"c/charts/x\.tgz"):
        seen(Chart("c", {"charts/x.tgz": content}))


# -- schemas -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schema",
    [
        '{"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a"}',
        '{"$id": "https://example.io/values.json", "properties": {"a": {"$ref": "values.json#/x"}, "b": {"$ref": "#/y"}}}',
        '{"$defs": {"a": {"$id": "https://example.io/a.json"}}, "$ref": "https://example.io/a.json"}',
        '{"$ref": "urn:example:x"}',
        '{"properties": {"$ref": {"type": "string"}}}',
        '["$ref", "https://example.io/a.json"]',
        "not JSON",
    ],
)
def test_a_schema_that_stays_in_itself_is_let_pass(schema: str) -> None:
    helm_schema.check(schema.encode(), "values.schema.json")


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ('{"allOf": [{"$ref": "https://example.io/a.json#/x"}]}', errors.RemoteBaseRefusedError),
        ('{"$id": "http://example.io/", "$ref": "a.json"}', errors.RemoteBaseRefusedError),
        ('{"$schema": "https://example.io/meta.json"}', errors.RemoteBaseRefusedError),
        ('{"$ref": "a.json"}', errors.PathEscapesError),
        ('{"$ref": "/etc/passwd"}', errors.PathEscapesError),
        ('{"$ref": "file:///etc/passwd"}', errors.PathEscapesError),
        ('{"$dynamicRef": "../a.json"}', errors.PathEscapesError),
    ],
)
def test_a_schema_that_leads_elsewhere_is_refused(schema: str, kind: type[errors.BuildFailedError]) -> None:
    with pytest.raises(kind, match=r"c/values\.schema\.json"):
        helm_schema.check(schema.encode(), "c/values.schema.json")


# -- documents ---------------------------------------------------------------------------------------------------------


def test_documents_are_parted_at_separators_and_keep_their_source() -> None:
    text = b"---\n# Source: c/crds/b.yaml\na: 1\n---\nb: 2\n---\n# Source: c/crds/a.yaml\nc: 3\n---\n# Source: c/templates/z.yaml\n# x\n\n---\r\nd: |\n  ---\n  x\n--- {e: 5}\n---"
    found = helm_documents.parted(text)
    assert [document.source for document in found] == ["c/crds/a.yaml", "c/crds/b.yaml", "c/crds/b.yaml", *["c/templates/z.yaml"] * 2]
    again = helm_documents.parted(helm_documents.joined(found))
    assert [document.text.splitlines()[-1] for document in again] == [b"c: 3", b"a: 1", b"b: 2", b"  x", b" {e: 5}"]


def document(kind: str, annotations: str, name: str = "n") -> list[helm_documents.Document]:
    return [helm_documents.Document("c/t", f"kind: {kind}\nmetadata: {{name: {name}, annotations: {annotations}}}\n".encode())]


@pytest.mark.parametrize(
    ("kind", "annotations", "stays"),
    [
        ("ConfigMap", "{helm.sh/hook: pre-install}", True),
        ("ConfigMap", '{helm.sh/hook: "post-install , PRE-UPGRADE"}', True),
        ("ConfigMap", "{helm.sh/hook: pre-install, helm.sh/hook-delete-policy: before-hook-creation}", True),
        ("ConfigMap", '{helm.sh/hook: pre-install, helm.sh/hook-delete-policy: "before-hook-creation, hook-succeeded"}', False),
        ("ConfigMap", "{helm.sh/hook: pre-upgrade}", False),
        ("ConfigMap", "{helm.sh/hook: post-rollback}", False),
        ("ConfigMap", "{helm.sh/hook: pre-delete}", False),
        ("ConfigMap", "{helm.sh/hook: test}", False),
        ("Job", "{helm.sh/hook: post-install}", False),
        ("Pod", "{helm.sh/hook: pre-install}", False),
        ("Job", "{helm.sh/hook-weight: '1'}", True),
        ("Job", "{note: helm.sh/hook}", True),
        ("Job", "text helm.sh/hook", True),
    ],
)
def test_a_hook_stays_if_helm_would_leave_it_after_an_installation(kind: str, annotations: str, stays: bool) -> None:
    kept, left_out = helm_documents.without_hooks(document(kind, annotations))
    assert (bool(kept), bool(left_out)) == (stays, not stays)


def test_differences_name_the_object_and_the_first_field() -> None:
    def parts(*texts: str) -> list[helm_documents.Document]:
        return [helm_documents.Document(f"c/{number}", text.encode()) for number, text in enumerate(texts)]

    same = "kind: A\nmetadata: {name: same}\n"
    first = parts(same, "kind: B\nmetadata: {name: b}\nspec: {x: [1, {z: 2}]}\n", "kind: C\nmetadata: {name: c1}\n")
    second = parts(same + "# comment", "kind: B\nmetadata: {name: b}\nspec: {x: [1, {z: 3}]}\n", "kind: C\nmetadata: {name: c2}\n")
    found = [(each.name, each.source) for each in helm_documents.differences(first, second)]
    assert found == [("B/b spec.x[1].z", "c/1"), ("C/c1", "c/2"), ("C/c2", "c/2")]
    assert not list(helm_documents.differences(first, first))


# -- the version -------------------------------------------------------------------------------------------------------


def test_the_version_is_the_one_that_is_built() -> None:
    go_mod = Path(programs.__file__).parent / "modules/helm/go.mod"
    found = re.search(r"^\s*(?:require )?helm\.sh/helm/v4 (\S+)", go_mod.read_text(), re.MULTILINE)
    assert found is not None
    assert found[1] == helm.HELM_VERSION
