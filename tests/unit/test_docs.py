"""Documentation that must not be out of step with the code.

Aspects: every reason has its explanation · every condition its section · every metric its row · every field of spec and status its mention, of each kind · examples and
YAML in the pages are valid, and mean every field they name · the example in the README is the file · no link leads nowhere · files that are named are there · the
README knows every page · an upgrade that keeps values takes the new defaults · who installs learns where the image is, and which Kubernetes was tried · long tests have a target · how
many children run is what the division of memory gives.
"""

import inspect
import re
from collections.abc import Iterator
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import get_args

import jsonschema_rs
import pytest
import yaml
from pydantic import BaseModel

from cvstate_operator import errors
from cvstate_operator.api import conditions
from cvstate_operator.api.approval import StateApprovalSpec
from cvstate_operator.api.change_plan import ClusterStatePlanSpec
from cvstate_operator.api.clusterstate import ClusterStateSpec, parse_spec
from cvstate_operator.api.conditions import ConditionType
from cvstate_operator.api.drift import DriftAction, Severity
from cvstate_operator.api.emergency_stop import EmergencyStopSpec
from cvstate_operator.api.status import ClusterStateStatus
from cvstate_operator.drift import ledger
from cvstate_operator.isolation.memory import Memory
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.plan import gates, history
from cvstate_operator.source import git
from cvstate_operator.source.cache import GitCache
from cvstate_operator.telemetry import reference
from cvstate_operator.vital import reading
from cvstate_operator.vital.verdicts import completeness, verdict

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md"))])
READMES = sorted(path for folder in ("deploy", "src", "tests") for path in (ROOT / folder).rglob("README.md"))
FOLDERS = "src|tests|docs|deploy|bench|examples|crds|requirements"
MADE_LATER = {"docs/benchmark.md", "bench/results/SCENARIO-SESSION.jsonl"}
"""By `make bench`."""
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
COMPANIONS: dict[str, type[BaseModel]] = {
    "stateapproval": StateApprovalSpec,
    "clusterstateplan": ClusterStatePlanSpec,
    "emergencystop": EmergencyStopSpec,
}
"""Kinds beside ClusterState, by the names of their pages."""
INSTALLS = "helm upgrade --install cvstate-operator deploy/"
SOURCES = "".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.py")))

BRANCHES = {errors.CvstateError, errors.TransientError, errors.WaitingError, errors.TerminalError}
"""They say what to do, and are never told themselves."""
ENUMERATED: tuple[type[StrEnum], ...] = (
    conditions.Reason,
    gates.Reason,
    ledger.State,
    history.Stage,
    verdict.Reason,
    completeness.Reason,
    reading.Gap,
)
SPELLED_OUT = (
    r'\breason="([A-Z]\w+)"',
    r'Event\("\w+", "([A-Z]\w+)"',
    r'Problem\("", 0, "", "([A-Z]\w+)"',
    r'"((?:YAML|Duplicate|RenderToo|EmptyRender|SourceInvalid|Signature)[A-Z]\w*)"',
    r'result = "([A-Z]\w+)"',
)
"""How words stand in the code that are no member of an enumeration and no error of their own."""
REASONS = {
    *(
        kind.reason
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.CvstateError) and kind not in BRANCHES
    ),
    *(word.value for word in chain.from_iterable(ENUMERATED)),
    *chain.from_iterable(re.findall(pattern, SOURCES) for pattern in SPELLED_OUT),
}


def page(name: str) -> str:
    return (DOCS / name).read_text()


def snippets() -> Iterator[tuple[str, dict[str, object]]]:
    """Every YAML block in the pages that is a part of a spec, by page and position."""
    known = {field.alias or name for name, field in ClusterStateSpec.model_fields.items()}
    for path in PAGES:
        blocks = re.findall(r"^```yaml\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL)
        for number, text in enumerate(blocks, 1):
            found = next(yaml.safe_load_all(text))
            if isinstance(found, dict) and found.keys() <= known:
                yield f"{path.stem}-{number}", found


def fields(model: type[BaseModel]) -> Iterator[str]:
    """Names of all fields of a model, and of the models in it, as users spell them."""
    for name, field in model.model_fields.items():
        yield field.alias or name
        for kind in (field.annotation, *get_args(field.annotation), *chain.from_iterable(map(get_args, get_args(field.annotation)))):
            if inspect.isclass(kind) and issubclass(kind, BaseModel):
                yield from fields(kind)


def paths(model: type[BaseModel], under: str = "") -> Iterator[str]:
    """Fields of a model as a page of a kind has them, one row each: `counts.prune`, `items`, `items[].action`. An object is told by its fields alone."""
    for name, field in model.model_fields.items():
        here = f"{under}{field.alias or name}"
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            yield from paths(field.annotation, f"{here}.")
            continue
        yield here
        for kind in get_args(field.annotation):
            if inspect.isclass(kind) and issubclass(kind, BaseModel):
                yield from paths(kind, f"{here}[].")


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_is_explained(reason: str) -> None:
    assert f"`{reason}`" in page("reasons.md")


def test_every_word_for_a_reason_is_still_in_use() -> None:
    """A row in a table of reasons whose word the code no longer has would explain what nobody sees."""
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", page("reasons.md"), flags=re.MULTILINE)
    told = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert told - REASONS == set()


@pytest.mark.parametrize("condition", [kind.value for kind in ConditionType])
def test_every_condition_has_its_section(condition: str) -> None:
    headings = re.findall(r"^## (.+)$", page("conditions.md"), flags=re.MULTILINE)
    assert any(re.search(rf"\b{condition}\b", heading) for heading in headings)


@pytest.mark.parametrize("word", [word.value for word in chain(Severity, DriftAction, ledger.State)])
def test_every_word_of_the_drift_ledger_is_on_its_page(word: str) -> None:
    assert re.search(rf"\b{word}\b", page("drift.md"))


def test_the_metrics_page_is_what_the_code_says() -> None:
    assert page("metrics.md") == reference.page()


@pytest.mark.parametrize("field", sorted(set(fields(ClusterStateSpec))))
def test_every_field_of_the_spec_is_told(field: str) -> None:
    assert re.search(rf"\b{field}\b", page("spec/clusterstate.md").partition("## Status")[0])


@pytest.mark.parametrize("field", [field.alias or name for name, field in ClusterStateStatus.model_fields.items()])
def test_every_field_of_the_status_is_told(field: str) -> None:
    assert f"`{field}`" in page("spec/clusterstate.md").partition("## Status")[2]


@pytest.mark.parametrize("name", COMPANIONS)
def test_the_page_of_a_kind_has_a_row_for_each_field_and_for_no_other(name: str) -> None:
    rows = re.findall(r"^\| `([\w.\[\]]+)` \|", page(f"spec/{name}.md"), flags=re.MULTILINE)
    assert sorted(rows) == sorted(paths(COMPANIONS[name]))


@pytest.mark.parametrize("name", COMPANIONS)
def test_the_example_of_a_kind_is_taken_by_its_crd_and_means_every_field_it_names(name: str) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", page(f"spec/{name}.md"), flags=re.MULTILINE | re.DOTALL)
    body = yaml.safe_load(text)
    crd = yaml.safe_load((ROOT / "crds" / f"{name}s.cvstate.io.yaml").read_text())["spec"]
    assert (body["kind"], "namespace" in body["metadata"]) == (crd["names"]["kind"], crd["scope"] == "Namespaced")
    jsonschema_rs.validate(crd["versions"][0]["schema"]["openAPIV3Schema"], body)
    spec = COMPANIONS[name].model_validate(body["spec"])
    assert spec.model_dump(mode="json", by_alias=True, exclude_unset=True) == body["spec"]
    assert {item["reason"] for item in body["spec"].get("items", ())} <= REASONS


@pytest.mark.parametrize("name", COMPANIONS)
def test_the_page_of_a_kind_names_it_as_kubectl_knows_it(name: str) -> None:
    crd = yaml.safe_load((ROOT / "crds" / f"{name}s.cvstate.io.yaml").read_text())["spec"]
    assert f"# {crd['names']['kind']}\n" in page(f"spec/{name}.md")
    assert re.search(rf"kubectl get {crd['names']['shortNames'][0]}\b", page(f"spec/{name}.md"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid_and_mean_every_field_they_name(path: Path) -> None:
    spec = yaml.safe_load(path.read_text())["spec"]
    assert parse_spec(spec).model_dump(mode="json", by_alias=True, exclude_unset=True) == spec


@pytest.mark.parametrize("part", [pytest.param(found, id=name) for name, found in snippets()])
def test_yaml_in_the_pages_is_valid_and_means_every_field_it_names(part: dict[str, object]) -> None:
    spec = {"source": {"git": {"url": "https://git.example.com/shop.git"}}, **part}
    assert parse_spec(spec).model_dump(mode="json", by_alias=True, exclude_unset=True) == spec


def test_the_example_of_the_readme_is_the_file() -> None:
    assert (ROOT / "examples" / "clusterstate.yaml").read_text() in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", [*PAGES, *READMES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_leads_nowhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", path.read_text()):
        name, _, anchor = target.partition("#")
        linked = (path.parent / name) if name else path
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked.read_text()), target


@pytest.mark.parametrize("path", [*PAGES, *READMES], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_that_a_page_names_is_there(path: Path) -> None:
    spans = " ".join(re.findall(r"`([^`\n]+)`", path.read_text()))
    named = {name.rstrip(".") for name in re.findall(rf"(?<![\w/.~-])((?:{FOLDERS})/[\w./*-]+)", spans)} - MADE_LATER
    assert [name for name in sorted(named) if not any(ROOT.glob(name.rstrip("/")))] == []


@pytest.mark.parametrize("path", sorted(path for path in DOCS.rglob("*.md") if path.parent.name != "runbooks"), ids=lambda path: path.stem)
def test_the_readme_knows_every_page(path: Path) -> None:
    assert f"({path.relative_to(ROOT)})" in (ROOT / "README.md").read_text()


def test_what_makes_a_test_a_long_one_is_set_by_a_target_of_the_makefile():
    """Else nobody ever runs it at full length."""
    tests = "".join(path.read_text() for path in sorted((ROOT / "tests").rglob("*.py")))
    asked = set(re.findall(r'environ\.get\("(CVSTATE_\w+)"', tests))
    to_repeat_one_run = {name for name in asked if name.endswith(("SEED", "RECORD"))}
    assert "CVSTATE_SHARD_UNITS" in asked
    assert asked - to_repeat_one_run == set(re.findall(r"(CVSTATE_\w+)=", (ROOT / "Makefile").read_text()))


def test_how_many_children_there_are_is_told_as_the_limit_of_the_chart_gives_it(tmp_path: Path):
    limit = yaml.safe_load((ROOT / "deploy" / "charts" / "cvstate-operator" / "values.yaml").read_text())["resources"]["limits"]["memory"]
    assert limit == "1Gi"
    memory = Memory(2**30)
    renders, fetches = memory.division.renders.at_once, memory.division.fetches.at_once
    sources = git.GitSources(GitCache(tmp_path), None, AddressPolicy(), memory=memory)  # type: ignore[arg-type]
    assert f"chart's 1 GiB at most {renders} small renders" in page("performance.md")
    assert f"{fetches} small fetches ({min(git.CONCURRENT_READERS, fetches // 4)} of them" in page("performance.md")
    a_namespace = min(git.CONCURRENT_PER_NAMESPACE, sources._half)
    assert f"{git.CONCURRENT_PER_NAMESPACE} at most: {a_namespace} at a time with the chart's 1 GiB" in page("tenancy.md")


NOTES = ROOT / "deploy" / "charts" / "cvstate-operator" / "templates" / "NOTES.txt"


@pytest.mark.parametrize("path", [*PAGES, *READMES, NOTES], ids=lambda path: path.name)
def test_an_upgrade_that_keeps_values_takes_defaults_that_are_new(path: Path):
    # With --reuse-values alone a chart that has a value more than the one before fails, or does without it.
    assert re.findall(r"helm .*\s--reuse-values\b.*", path.read_text()) == []


@pytest.mark.parametrize(
    "path", [path for path in (*PAGES, *READMES) if INSTALLS in path.read_text()], ids=lambda path: str(path.relative_to(ROOT))
)
def test_who_installs_is_told_first_that_there_is_no_image_and_where_his_own_is_named(path: Path):
    before, _, after = path.read_text().partition(INSTALLS)
    assert re.search(r"docker buildx build|[Bb]uild and push it first", before)
    assert "image.repository=" in before + after[:200]


def test_pages_that_ask_for_a_kubernetes_say_which_one_was_tried():
    (tried,) = re.findall(
        r"^\tk8s\.io/kubernetes v(\S+)", (ROOT / "tests" / "cluster" / "modules" / "kubernetes" / "go.mod").read_text(), flags=re.MULTILINE
    )
    asking = [path for path in PAGES if "Kubernetes 1.30 or later" in path.read_text()]
    assert len(asking) == 2
    assert [path.name for path in asking if f"Kubernetes 1.30 or later (tried with {tried} alone)" not in path.read_text()] == []


def test_some_pages_upgrade_with_values_that_are_kept():
    assert [path.name for path in PAGES if "--reset-then-reuse-values" in path.read_text()]
