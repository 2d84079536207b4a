"""Files that say the same thing say the same: workflows, recipe, registry entry and citation beside pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
if not (ROOT / ".github").is_dir():  # a source distribution does not bring them
    pytest.skip("the repository is not around the tests", allow_module_level=True)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
VERSIONS = [c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
FOLDERS = [ROOT, ROOT / ".github", ROOT / ".github" / "workflows", ROOT / ".github" / "ISSUE_TEMPLATE", ROOT / "docs"]
YAML = sorted(
    p for f in [*FOLDERS, ROOT / "conda"] for p in f.iterdir() if p.suffix in (".yaml", ".yml", ".cff") and p.is_file()
)
CONDA = {"matplotlib": "matplotlib-base", "torch": "pytorch"}  # names that differ there
PLACEHOLDER = "PLACEHOLDER"


def read(*parts: str) -> dict:
    return yaml.safe_load(ROOT.joinpath(*parts).read_text("utf-8"))


def test_every_kind_of_file_is_read():
    names = {p.name for p in YAML}
    assert {"test.yaml", "meta.yaml", "recipe.yaml", "CITATION.cff", ".codecov.yaml", "bug_report.yml"} <= names


@pytest.mark.parametrize("path", YAML, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_yaml_is_read_without_repeated_keys(path):
    class Strict(yaml.SafeLoader):
        """Refuses what YAML forbids and PyYAML takes: a key twice."""

        def construct_mapping(self, node, deep=False):
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            assert len(keys) == len(set(map(str, keys))), f"a key twice among {keys}"
            return super().construct_mapping(node, deep)

    with path.open(encoding="utf-8") as file:
        assert isinstance(yaml.load(file, Strict), dict)


def python_versions(workflow: dict) -> list[str]:
    """All that a workflow runs on, a matrix read out."""
    found = []
    for job in workflow["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        found += [line["python"] for line in matrix.get("include", [])] + matrix.get("python", [])
        given = [step.get("with", {}).get("python-version") for step in job["steps"]]
        found += [version for version in given if version and not version.startswith("$")]
    return found


def test_workflows_run_on_the_oldest_and_newest_python_that_is_declared():
    assert PROJECT["requires-python"] == f">={VERSIONS[0]}"
    for name in ("test.yaml", "build.yaml", "release.yaml"):
        assert set(python_versions(read(".github", "workflows", name))) <= set(VERSIONS), name
    tests = read(".github", "workflows", "test.yaml")["jobs"]
    lines = tests["test"]["strategy"]["matrix"]["include"]
    assert [line["python"] for line in lines if line["label"] == "stable"] == [VERSIONS[0], VERSIONS[-1]]
    assert [line["python"] for line in lines if line["label"] == "pre-release"] == [VERSIONS[-1]]
    assert tests["tutorials"]["strategy"]["matrix"]["python"] == [VERSIONS[0], VERSIONS[-1]]
    assert read(".readthedocs.yaml")["build"]["tools"]["python"] == VERSIONS[-1]


def test_workflows_call_targets_that_the_makefile_has():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    jobs = read(".github", "workflows", "test.yaml")["jobs"]
    called = {line["goal"] for line in jobs["test"]["strategy"]["matrix"]["include"]}
    for job in jobs.values():
        called |= {m for step in job["steps"] for m in re.findall(r"make (\w+)", step.get("run", ""))}
    assert called == {"coverage", "test", "tutorials", "lint", "docs"} and called <= targets


def requirement(text: str) -> tuple[str, str]:
    """Name and least version."""
    name, least = re.fullmatch(r"([\w-]+)\s*(?:>=([\d.]+))?", text).groups()
    return name, least or ""


def test_conda_recipe_asks_for_what_pyproject_asks_for():
    recipe = read("conda", "recipe.yaml")
    extras = PROJECT["optional-dependencies"]
    wanted = [requirement(text) for text in [*PROJECT["dependencies"], *extras["genome"], *extras["motif"]]]
    python, *run = recipe["requirements"]["run"]
    assert sorted(map(requirement, run)) == sorted((CONDA.get(name, name), least) for name, least in wanted)
    assert python == "python >=${{ python_min }}" and recipe["context"]["python_min"] == VERSIONS[0]
    assert recipe["about"]["summary"] == PROJECT["description"]
    assert recipe["about"]["license"] == PROJECT["license"]


def test_registry_entry_is_complete_but_for_addresses():
    entry, citation = read("docs", "meta.yaml"), read("CITATION.cff")
    assert entry["name"] == PROJECT["name"] == entry["install"]["pypi"]
    assert entry["version"] == PROJECT["version"] and entry["license"] == PROJECT["license"] == citation["license"]
    assert entry["publications"] == [citation["references"][0]["doi"]]
    assert len(entry["tags"]) == len(set(entry["tags"])) >= 1 and entry["description"].strip()
    assert entry["test_command"] == 'pip install ".[test]" && pytest' and "test" in PROJECT["optional-dependencies"]
    for name in ("project_home", "documentation_home", "tutorials_home"):
        assert entry[name] == PLACEHOLDER or entry[name].startswith("https://")
