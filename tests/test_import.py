"""``import scget`` is quick, lazy and changes nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest

import scget

HEAVY = ["torch", "lightning", "pytorch_lightning", "scvi", "scanpy", "anndata", "mudata", "pandas"]

STATE = """
import logging, random, warnings
import numpy as np

def state():
    kind, key, *rest = np.random.get_state()
    return {
        "warnings": list(warnings.filters),
        "logging": (list(logging.root.handlers), logging.root.level, list(logging.getLogger("scget").handlers)),
        "numpy": (kind, key.tolist(), *rest),
        "random": random.getstate(),
    }

def changed(before):
    return [name for name, value in state().items() if value != before[name]]
"""


def run(code: str) -> str:
    """What ``code`` prints in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_takes_at_most_two_seconds():
    code = "from time import perf_counter as now; t = now(); import scget; print(now() - t)"
    assert min(float(run(code)) for _ in range(3)) <= 2


def test_import_loads_nothing_heavy():
    assert run(f"import sys, scget; print([m for m in {HEAVY} if m in sys.modules])") == "[]"


def test_pp_loads_neither_torch_nor_scvi():
    code = "import sys, scget.pp; print([m for m in ['torch', 'lightning', 'scvi'] if m in sys.modules])"
    assert run(code) == "[]"


@pytest.mark.parametrize("folder", ["bm", "data", "pl"])
def test_judging_and_drawing_load_neither_lightning_nor_scvi(folder):
    code = f"import sys, scget.{folder}; print([m for m in ['lightning', 'scvi'] if m in sys.modules])"
    assert run(code) == "[]"


def test_import_changes_no_state():
    assert run(f"{STATE}\nbefore = state(); import scget; print(changed(before))") == "[]"


def test_folders_change_no_state():
    # What the libraries themselves do when they are imported is not ours to judge.
    libraries = "import matplotlib.pyplot, mudata, scanpy, scvi, sklearn, tqdm.auto, lightning, torch"
    folders = f"[getattr(scget, name) for name in {scget.__all__}]"
    assert run(f"{libraries}\n{STATE}\nbefore = state(); import scget; {folders}; print(changed(before))") == "[]"


def test_state_test_sees_a_change():
    change = "np.random.seed(0); random.seed(0); warnings.simplefilter('error'); logging.basicConfig()"
    assert run(f"{STATE}\nbefore = state(); {change}; print(len(changed(before)))") == "4"


def test_dir_lists_what_can_be_had():
    assert dir(scget) == ["__version__", *sorted(scget.__all__)]
    assert [getattr(scget, name).__name__ for name in scget.__all__] == [f"scget.{name}" for name in scget.__all__]


def test_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="module 'scget' has no attribute 'pq'"):
        _ = scget.pq


def test_version_is_that_of_the_installed_package():
    try:
        expected = version("scget")
    except PackageNotFoundError:
        expected = "0+unknown"
    assert scget.__version__ == expected
