"""Imports go downward only, and files and functions stay small: what keeps scget readable, read from its source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "scget"

# What a folder or file may import lies strictly above it here; folders of one line do not import each other.
LAYERS = [
    {"_keys", "_errors", "_version"},
    {"pp", "module"},
    {"data"},
    {"train"},
    {"model"},
    {"tl", "bm", "datasets"},
    {"pl"},
]
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}
TOP = len(LAYERS)  # __init__, __main__ and what only they use: may import all, and nothing imports them

FORBIDDEN = {
    "pp": {"torch", "lightning", "scvi"},
    "module": {"anndata", "mudata", "pandas", "scanpy", "scvi"},
}
FORBIDDEN_EXCEPTIONS = {("pp/_scan_torch.py", "torch")}  # the scan of motifs on a GPU

MAX_FILE = 300
MAX_FUNCTION = 40  # without docstring


def _imports(tree: ast.Module, package: list[str]) -> list[str]:
    """Absolute names of all that is imported, also inside functions and for the type checker alone."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base = [*base, *(node.module or "").split(".")] if node.module else base
            names += [".".join([*base, alias.name]) for alias in node.names]
    return names


def _owner(parts: tuple[str, ...]) -> str:
    """The folder of scget, or the file directly in it, to which a path or a dotted name belongs."""
    return parts[0].removesuffix(".py") if parts else "__init__"


def wrong_imports(src: Path) -> list[str]:
    """List imports that go up, sideways, or to what a folder must not know, as ``file: importer -> imported``."""
    wrong = []
    for path in sorted(src.rglob("*.py")):
        relative = path.relative_to(src)
        owner = _owner(relative.parts)
        for name in _imports(ast.parse(path.read_text("utf-8")), ["scget", *relative.parts[:-1]]):
            root, *rest = name.split(".")
            if root == "scget":
                target = _owner(tuple(rest))
                bad = target != owner and HEIGHT.get(target, TOP) >= HEIGHT.get(owner, TOP + 1)
                bad &= target != "__version__"
            else:
                target = root
                bad = root in FORBIDDEN.get(owner, ()) and (relative.as_posix(), root) not in FORBIDDEN_EXCEPTIONS
            if bad:
                wrong.append(f"{relative.as_posix()}: {owner} -> {target}")
    return wrong


def wrong_verbs(src: Path) -> list[str]:
    """List files of ``tl`` that hold a verb and import another verb's: what both need belongs in a file of neither."""
    folder = src / "tl"
    public = _imports(ast.parse((folder / "__init__.py").read_text("utf-8")), ["scget", "tl"])
    verbs = {name.split(".")[2] for name in public if name.startswith("scget.tl.")}
    found = []
    for verb in sorted(verbs):
        imported = _imports(ast.parse((folder / f"{verb}.py").read_text("utf-8")), ["scget", "tl"])
        others = {name.split(".")[2] for name in imported if name.startswith("scget.tl._")} & (verbs - {verb})
        found += [f"{verb} -> {other}" for other in sorted(others)]
    return found


def too_long(src: Path) -> list[str]:
    """List files and functions above the limits."""
    found = []
    for path in sorted(src.rglob("*.py")):
        text = path.read_text("utf-8")
        name = path.relative_to(src).as_posix()
        if len(text.splitlines()) > MAX_FILE:
            found.append(f"{name}: {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if ast.get_docstring(node) is not None:
                    lines -= node.body[0].end_lineno - node.body[0].lineno + 1
                if lines > MAX_FUNCTION:
                    found.append(f"{name}: {node.name} has {lines} lines without docstring")
    return found


def test_imports_go_downward_only():
    assert wrong_imports(SRC) == []


def test_no_verb_reaches_through_another():
    assert wrong_verbs(SRC) == []


def test_planted_verb_that_reaches_through_another_is_found(plant):
    plant("tl/__init__.py", "from ._a import a\nfrom ._b import b")
    plant("tl/_a.py", "from ._b import helper\nfrom ._shared import x")
    assert wrong_verbs(plant("tl/_b.py", "from scget import _keys")) == ["_a -> _b"]


def test_files_and_functions_stay_small():
    assert too_long(SRC) == []


def test_picture_in_the_contributing_guide_shows_these_layers():
    guide = SRC.parents[1] / "docs" / "contributing.md"
    if not guide.is_file():
        pytest.skip("the documentation is not beside the package")
    picture = guide.read_text("utf-8").split("```none\n")[1].split("```")[0].splitlines()
    shown = [{word for word in line.split() if word in HEIGHT} for line in reversed(picture)]
    assert shown == LAYERS


@pytest.fixture
def plant(tmp_path):
    """Write one file into an otherwise empty scget."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("data/_table.py", "from scget.model import GET", "data/_table.py: data -> model"),
        ("data/_table.py", "def f():\n    import scget.tl", "data/_table.py: data -> tl"),
        ("pp/_checks.py", "from scget import module", "pp/_checks.py: pp -> module"),
        ("bm/_split.py", "from ..tl import predict", "bm/_split.py: bm -> tl"),
        ("module/_get.py", "import pandas as pd", "module/_get.py: module -> pandas"),
        ("module/_get.py", "from anndata.io import read_h5ad", "module/_get.py: module -> anndata"),
        ("pp/_motifs.py", "if 1:\n    from torch import nn", "pp/_motifs.py: pp -> torch"),
        ("_keys.py", "from scget._errors import InputError", "_keys.py: _keys -> _errors"),
        ("model/_get.py", "import scget", "model/_get.py: model -> __init__"),
        ("tl/_predict.py", "from scget._demo import main", "tl/_predict.py: tl -> _demo"),
    ],
)
def test_planted_import_is_found(plant, name, text, found):
    assert wrong_imports(plant(name, text)) == [found]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pl/_predicted.py", "from scget.tl import predict\nfrom scget._keys import ATAC\nimport torch"),
        ("pp/_motifs.py", "from scget.pp._regions import Regions\nfrom ._genome import x\nimport pandas"),
        ("pp/_scan_torch.py", "import torch"),
        ("model/_get.py", "from scget import __version__, _keys"),
        ("__main__.py", "from scget._demo import main\nfrom scget import pl"),
    ],
)
def test_allowed_import_passes(plant, name, text):
    assert wrong_imports(plant(name, text)) == []


def test_planted_length_is_found(plant):
    body = "    x = 1\n" * 40
    src = plant("pp/_a.py", "def f():\n" + body)  # 41 lines with its first
    assert too_long(src) == ["pp/_a.py: f has 41 lines without docstring"]
    src = plant("pp/_a.py", 'def f():\n    """One.\n\n    Two.\n    """\n' + body[:-10])  # 40 and a docstring of 4
    assert too_long(src) == []
    src = plant("pp/_a.py", "x = 1\n" * 301)
    assert too_long(src) == ["pp/_a.py: 301 lines"]
