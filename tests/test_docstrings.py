"""The examples in docstrings give what they say, and every public name is documented."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import scget

SRC = Path(scget.__file__).parent
API = SRC.parents[1] / "docs" / "api.md"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

# Only files with an example are imported; which ones is read without importing any.
WITH_EXAMPLES = sorted(
    ".".join(["scget", *path.relative_to(SRC).with_suffix("").parts])
    for path in SRC.rglob("*.py")
    if ">>> " in path.read_text("utf-8")
)


@pytest.fixture
def given(toy, trained):
    """What examples may use without making it: ``scget``, ``pb`` (rows of cell types) and a trained ``model``."""
    toy["rna"].var_names = [{"G7": "GATA1", "G8": "MYC"}.get(g, g) for g in toy["rna"].var_names]
    promoters = toy["atac"].uns["peak_annotation"]
    promoters["gene"] = promoters["gene"].replace({"G7": "GATA1", "G8": "MYC"})
    toy["rna"].obs_names = toy["atac"].obs_names = [*toy["rna"].obs_names[:-1], "Mono"]
    toy.update()
    return {"scget": scget, "pb": toy, "model": trained}


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run(name, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    module = importlib.import_module(name.removesuffix(".__init__"))
    result = doctest.testmod(module, optionflags=FLAGS, extraglobs=given)
    found = any(test.examples for test in doctest.DocTestFinder().find(module))
    assert found, f"no example of {name} was found; a decorator that wraps hides them"
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples of {name} are wrong; see above"


@pytest.mark.parametrize("folder", scget.__all__)
def test_public_names_are_documented(folder):
    module = getattr(scget, folder)
    assert module.__doc__, f"scget.{folder} has no docstring"
    for name in module.__all__:
        item = getattr(module, name)
        assert inspect.getdoc(item), f"scget.{folder}.{name} has no docstring"
        assert not {"{axes}", "{returned}"} & set(item.__doc__.split()), f"{name} lacks @documented"
        if inspect.isfunction(item):
            missing = [p for p in inspect.signature(item).parameters if p not in item.__doc__]
            assert missing == [], f"the docstring of scget.{folder}.{name} does not tell of {missing}"


@pytest.mark.parametrize("folder", scget.__all__)
def test_public_names_are_listed_in_the_api_page(folder):
    if not API.is_file():
        pytest.skip("the documentation is not beside the package")
    lines = [line.strip() for line in API.read_text("utf-8").splitlines()]
    listed = {line.removeprefix(f"{folder}.") for line in lines if line.startswith(f"{folder}.")}
    module = getattr(scget, folder)
    assert listed == {name for name in module.__all__ if callable(getattr(module, name))}


def test_every_picture_is_in_the_gallery():
    gallery = API.with_name("gallery.md")
    if not gallery.is_file():
        pytest.skip("the documentation is not beside the package")
    text = gallery.read_text("utf-8")
    assert [name for name in scget.pl.__all__ if f"scget.pl.{name}(" not in text] == []
