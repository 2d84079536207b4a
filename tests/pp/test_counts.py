"""Every value of a matrix is looked at, whatever its kind."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scget._errors import InputError, ScgetWarning
from scget.pp import _checks


def test_scores_of_the_wrong_length_are_refused():
    atac = SimpleNamespace(varm={"motif_scores": np.ones((3, 2))}, n_vars=4, uns={})
    with pytest.raises(InputError, match=r"motif scores of shape \(3, 2\) for 4 regions"):
        _checks.check_motifs(atac)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float32, np.float64])
@pytest.mark.parametrize(
    "container",
    [
        np.asarray,
        np.asfortranarray,
        sparse.csr_matrix,
        sparse.csc_matrix,
        sparse.coo_matrix,
        sparse.csr_array,
        sparse.csc_array,
    ],
    ids=lambda c: c.__name__,
)
def test_whole_numbers_of_any_kind_are_counts(rng, container, dtype):
    _checks.check_counts(container(rng.integers(0, 2, (7, 5)).astype(dtype)), "rna.X")


def test_every_value_is_looked_at(rng, monkeypatch):
    monkeypatch.setattr("scget.pp._counts._BLOCK", 100)  # many blocks
    counts = rng.integers(1, 9, (50, 30)).astype(np.float32)
    _checks.check_counts(counts, "x")
    for row, column in ((0, 0), (49, 29), (25, 7)):
        for container in (np.asarray, sparse.csr_array, sparse.csc_matrix):
            bad = counts.copy()
            bad[row, column] = 2.5
            with pytest.raises(InputError, match="0.1% of its 1,500 stored values"):
                _checks.check_counts(container(bad), "x")
            bad[row, column] = np.nan
            with pytest.raises(InputError, match=f"1 NaN in x, first in row 'r{row}', column 'c{column}'"):
                names = [f"r{i}" for i in range(50)], [f"c{i}" for i in range(30)]
                _checks.check_counts(container(bad), "x", names)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.array([["a"]]), "x holds <U1, numbers are needed"),
        (np.array([[1 + 2j]]), "x holds complex128"),
        ([[1, 2]], "x is a list, not in memory"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused(matrix, message):
    with pytest.raises(InputError, match=message):
        _checks.check_counts(matrix, "x")


def test_binary_warns(rng):
    matrix = sparse.csr_matrix(rng.integers(0, 2, (30, 20)).astype(np.float32))
    with pytest.warns(ScgetWarning, match="atac.X looks binary"):
        _checks.warn_if_not_fragments(matrix, "atac.X")


def test_reads_warn(rng):
    fragments = rng.poisson(0.5, (60, 50))
    lost = rng.random(fragments.shape) < 0.1  # fragments with one end outside of the region give odd counts
    reads = 2 * fragments - (lost & (fragments > 0))
    with pytest.warns(
        ScgetWarning, match=r"are even and counts of 2 \([\d,]+\) outnumber counts of 1 .*reads_to_fragments"
    ):
        _checks.warn_if_not_fragments(reads, "atac.X")


@pytest.mark.parametrize("mean", [0.1, 0.5, 2.0, 5.0, 200.0])
def test_fragments_do_not_warn(rng, mean):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _checks.warn_if_not_fragments(sparse.csr_array(rng.poisson(mean, (80, 50))), "atac.X")


@pytest.mark.parametrize(
    "values",
    [
        ["A", "B/1"],
        ("A", "B/1"),
        np.array(["A", "B/1"]),
        np.array(["A", "B/1"], dtype=object),
        np.array([b"A", b"B/1"]),
        np.array(["A", "B/1"], dtype=np.dtypes.StringDType()),
        pd.Index(["A", "B/1"], dtype="string"),
        pd.Series(["A", "B/1"], index=[5, 6]),
    ],
    ids=lambda v: type(v).__name__,
)
def test_names_of_any_kind(values):
    names = _checks.as_names(values)
    assert names.dtype == object and [type(name) for name in names] == [str, str] and list(names) == ["A", "B/1"]


@pytest.mark.parametrize("values", ["AB", 3, None, {"A": 1}, np.ones((2, 2)), pd.DataFrame({"a": ["b"]})])
def test_what_is_no_list_of_names_is_refused(values):
    with pytest.raises(InputError, match=r"motif names are a \w+ of \d axes, a list of texts is needed"):
        _checks.as_names(values, "motif names")
