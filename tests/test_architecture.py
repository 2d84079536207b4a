"""What the page of the architecture says is so: its files exist, and the calls it follows enter them in that order."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import scget
from scget.model import GET

SRC = Path(__file__).parents[1] / "src" / "scget"
PAGE = SRC.parents[1] / "docs" / "architecture.md"
if not PAGE.is_file():
    pytest.skip("the documentation is not beside the package", allow_module_level=True)
TEXT = PAGE.read_text("utf-8")
FILES = sorted(path for path in SRC.rglob("*.py"))


def named_files() -> list[str]:
    """Each file that the page names, below ``src/scget``: with its folder, or in the row of a table that is of one."""
    found = []
    for line in TEXT.splitlines():
        row = re.match(r"\| `(\w+)/?` \|", line)
        folder = "" if not row or row[1] == "scget" else row[1]
        if line.startswith("| ") and not row:
            folder = "model"  # the table of its parts
        for name in re.findall(r"`((?:\w+/)?\w+\.py)`", line):
            found.append(name if "/" in name or not folder else f"{folder}/{name}")
    return [name for name in found if not name.startswith("tests/") and name != "__init__.py"]


def test_files_that_the_page_names_exist():
    assert len(named_files()) > 100
    assert [name for name in named_files() if not (SRC / name).is_file()] == []


def test_page_is_short():
    assert len(TEXT.splitlines()) <= 80


def test_page_names_each_file_of_model():
    parts = {f"model/{path.name}" for path in (SRC / "model").glob("_*.py")} - {"model/__init__.py"}
    assert sorted(parts - set(named_files())) == []


def first_lines() -> dict[str, str]:
    texts = {path: ast.get_docstring(ast.parse(path.read_text("utf-8"))) for path in FILES}
    return {path.relative_to(SRC).as_posix(): (text or "").split("\n")[0] for path, text in texts.items()}


def test_each_file_says_in_a_first_line_of_its_own_what_it_is_for():
    lines = first_lines()
    assert [name for name, line in lines.items() if not line.endswith((".", ":", "?")) or len(line) < 20] == []
    by_line: dict[str, list[str]] = {}
    for name, line in lines.items():
        by_line.setdefault(line, []).append(name)
    assert [names for names in by_line.values() if len(names) > 1] == []


def entered(call: Callable[[], object]) -> list[str]:
    """Files of scget in the order in which a function of theirs is first called; what imports run does not count."""
    found: dict[str, None] = {}
    inside = str(SRC) + "/"

    def note(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(inside) and not _importing(frame):
            found.setdefault(code.co_filename.removeprefix(inside))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return list(found)


def _importing(frame) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(str(SRC)):
            return True
        frame = frame.f_back
    return False


def path_of(call: str) -> list[str]:
    (line,) = re.findall(rf"^- `{re.escape(call)}`: (.+)$", TEXT, re.MULTILINE)
    return re.findall(r"`(\S+\.py)`", line)


@pytest.fixture
def world(toy, trained, tmp_path):
    """What to call, by the names on the page."""
    GET.setup_mudata(toy)
    new = GET(toy, width=16, n_layers=1, n_heads=2, window=16)
    change = {"less": scget.tl.Change("knockout", motifs="A")}

    def motif_scores():
        data = scget.datasets.simulated(
            tmp_path, n_cell_types=4, n_chroms=3, regions_per_chrom=60, n_cells=5, n_motifs=16
        )
        return lambda: scget.pp.motif_scores(data.mdata, data.genome, motifs=str(tmp_path / "motifs.meme"))

    quiet = {"enable_progress_bar": False, "accelerator": "cpu"}
    asked = {"genes": ["G0"], "rows": ["T1"]}
    return {
        "pp.motif_scores": motif_scores,
        "model.train": lambda: lambda: new.train(1, holdout_obs=["T5"], **quiet),
        "tl.predict": lambda: lambda: scget.tl.predict(toy, trained),
        "tl.attribute": lambda: lambda: scget.tl.attribute(toy, trained, **asked),
        "tl.perturb": lambda: lambda: scget.tl.perturb(toy, trained, change, **asked),
    }


@pytest.mark.parametrize("call", re.findall(r"^- `(\w+\.\w+)`: ", TEXT, re.MULTILINE))
def test_a_call_enters_the_files_named_in_that_order(world, call):
    found, named = entered(world[call]()), path_of(call)
    assert len(named) >= 7
    assert [name for name in found if name in named] == named


def test_calls_followed_are_all_there():
    calls = re.findall(r"^- `(\w+\.\w+)`: ", TEXT, re.MULTILINE)
    assert calls == ["pp.motif_scores", "model.train", "tl.predict", "tl.attribute", "tl.perturb"]
