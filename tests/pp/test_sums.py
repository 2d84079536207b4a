"""Sums of what is not in memory: the same as in memory, checked value by value, and never read whole."""

from __future__ import annotations

import importlib.util
import warnings
from contextlib import contextmanager
from itertools import pairwise

import anndata
import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from anndata.experimental import read_elem_lazy, read_lazy
from hypothesis import given, settings
from hypothesis import strategies as st
from mudata import MuData
from scipy import sparse

import scget
from scget._errors import InputError
from scget.pp import _chunks, _counts, _sums

da = pytest.importorskip("dask.array")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """A few rows at a time, so that a small file has many chunks."""
    monkeypatch.setattr(_chunks, "_VALUES", 40)


@pytest.fixture
def many(cells, rng):
    """24 cells, of which one has no count; values up to 4,000."""
    for name in ("rna", "atac"):
        x = cells[name].X.toarray() * rng.choice([1, 1, 1, 1000], cells[name].shape)
        x[5] = 0
        cells[name].X = sparse.csr_matrix(x.astype(np.float32))
    return cells


@contextmanager
def backed(mdata, path):
    mdata.write(path)
    opened = mudata.read_h5mu(path, backed="r")
    try:
        yield opened
    finally:
        opened.file.close()


def put(mdata, convert):
    """The same MuData with other containers of the counts."""
    return MuData(
        {name: AnnData(convert(mdata[name].X), obs=mdata[name].obs, var=mdata[name].var) for name in mdata.mod}
    )


def on_zarr(matrix, path, read):
    group = zarr.open_group(path, mode="w", zarr_format=2)
    anndata.io.write_elem(group, "x", matrix)
    return read(zarr.open_group(path, mode="r")["x"])


def dask_of(matrix, chunks):
    return da.from_array(matrix.toarray(), chunks=chunks).map_blocks(sparse.csr_matrix)


def assert_same(rows, expected):
    for name in expected.mod:
        assert isinstance(rows[name].X, sparse.csr_matrix) and rows[name].X.dtype == np.float32
        np.testing.assert_array_equal(rows[name].X.toarray(), expected[name].X.toarray())
        pd.testing.assert_frame_equal(rows[name].obs, expected[name].obs)
        pd.testing.assert_frame_equal(rows[name].var.astype(str), expected[name].var.astype(str))


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_matrix, lambda x: x.toarray()])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_backed_h5mu(many, tmp_path, container, dtype):
    expected = scget.pp.pseudobulk(many, ["cell_type", "donor"])
    for name in ("rna", "atac"):
        many[name].X = container(many[name].X).astype(dtype)
    with backed(many, tmp_path / "cells.h5mu") as cells:
        assert len(list(_chunks.read_chunks(cells["atac"].X))) > 3
        rows = scget.pp.pseudobulk(cells, ["cell_type", "donor"])
        assert cells["atac"].isbacked
    assert_same(rows, expected)
    np.testing.assert_array_equal(rows["atac"].varm["motif_scores"], expected["atac"].varm["motif_scores"])
    pd.testing.assert_frame_equal(rows["atac"].uns["peak_annotation"], expected["atac"].uns["peak_annotation"])


def test_places_of_64_bits_as_in_files_of_billions_of_values(many, tmp_path):
    expected = scget.pp.pseudobulk(many, "cell_type")
    many.write(tmp_path / "cells.h5mu")
    with h5py.File(tmp_path / "cells.h5mu", "a") as file:
        for name in ("indices", "indptr"):
            places = file["mod/atac/X"][name][:].astype(np.int64)
            del file["mod/atac/X"][name]
            file["mod/atac/X"].create_dataset(name, data=places)
    opened = mudata.read_h5mu(tmp_path / "cells.h5mu", backed="r")
    rows = scget.pp.pseudobulk(opened, "cell_type")
    opened.file.close()
    assert_same(rows, expected)


def test_a_view_of_a_backed_file_is_refused(many, tmp_path):
    message = r"'atac' is a view of a backed file, whose counts would be loaded.*read_lazy.*to_memory\(\)"
    with backed(many, tmp_path / "cells.h5mu") as cells, pytest.raises(InputError, match=message):
        scget.pp.pseudobulk(cells[:20], "cell_type")


def test_a_view_of_dask(many):
    chosen = np.arange(24)[::-2]
    expected = scget.pp.pseudobulk(many[chosen].copy(), "cell_type")
    assert_same(scget.pp.pseudobulk(put(many, lambda x: dask_of(x, (5, -1)))[chosen], "cell_type"), expected)


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_matrix, lambda x: x.toarray()])
def test_zarr_without_dask(many, tmp_path, container):
    def convert(x):
        read = anndata.io.sparse_dataset if sparse.issparse(container(x)) else lambda array: array
        return on_zarr(container(x), tmp_path / f"{x.shape[1]}.zarr", read)

    assert_same(scget.pp.pseudobulk(put(many, convert), "cell_type"), scget.pp.pseudobulk(many, "cell_type"))


@pytest.mark.parametrize("source", ["zarr", "h5mu"])
def test_lazy_reading_of_anndata(many, tmp_path, source):
    many["atac"].uns["motif_scan"] = {"genome": "toy", "background": np.array([0.3, 0.2, 0.2, 0.3])}
    path = tmp_path / f"cells.{source}"
    many.write_zarr(path) if source == "zarr" else many.write(path)
    opened = zarr.open_group(path, mode="r") if source == "zarr" else h5py.File(path)
    lazy = {name: read_lazy(opened["mod"][name]) for name in ("rna", "atac")}
    for adata in lazy.values():
        adata.obs, adata.var = adata.obs.to_memory(), adata.var.to_memory()
    rows = scget.pp.pseudobulk(MuData(lazy), "cell_type")
    if source == "h5mu":
        opened.close()
    expected = scget.pp.pseudobulk(many, "cell_type")
    assert_same(rows, expected)
    np.testing.assert_array_equal(rows["atac"].varm["motif_scores"], expected["atac"].varm["motif_scores"])
    assert list(rows["atac"].uns["motif_names"]) == ["AP1/1", "GATA", "CTCF"]
    assert type(rows["atac"].uns["motif_scan"]["background"]) is np.ndarray
    assert rows["atac"].uns["motif_scan"]["background"].tolist() == [0.3, 0.2, 0.2, 0.3]
    rows.write(tmp_path / "rows.h5mu")  # nothing in the rows is lazy any more


@pytest.mark.parametrize("chunks", [(1, -1), (5, 4), (7, -1), (24, 3), (-1, -1)])
def test_dask_of_any_blocks(many, chunks):
    expected = scget.pp.pseudobulk(many, "cell_type")
    for convert in (lambda x: dask_of(x, chunks), lambda x: da.from_array(x.toarray(), chunks=chunks)):
        assert_same(scget.pp.pseudobulk(put(many, convert), "cell_type"), expected)


def test_layers_of_dask(many):
    expected = scget.pp.pseudobulk(many, "cell_type")
    for name in ("rna", "atac"):
        many[name].layers["counts"] = dask_of(many[name].X, (5, -1))
        many[name].X = dask_of(many[name].X.log1p(), (5, -1))
    with pytest.raises(InputError, match=r"atac.X must be raw counts: .* Pass atac_layer='counts'."):
        scget.pp.pseudobulk(many, "cell_type")
    assert_same(scget.pp.pseudobulk(many, "cell_type", atac_layer="counts", rna_layer="counts"), expected)


BROKEN = [
    (np.nan, r"1 NaN in atac.X, first in row 'cell23', column 'chrX:2100-2600'. Remove or mend"),
    (np.inf, r"1 infinite values in atac.X, first in row 'cell23', column 'chrX:2100-2600'"),
    (-1.75, r"1 negative values in atac.X, least -1.75. Raw counts are needed. Pass atac_layer="),
    (0.5, r"atac.X must be raw counts: [\d.]+% of its [\d,]+ stored values are not whole numbers \(max 5000"),
]


@pytest.mark.parametrize(("value", "message"), BROKEN, ids=["nan", "inf", "negative", "half"])
@pytest.mark.parametrize("where", ["csr", "csc", "dense", "dask"])
def test_every_value_is_checked_as_in_memory(many, tmp_path, value, message, where):
    x = many["atac"].X.toarray()
    x[0, 0], x[23, 10] = 5000, value
    many["atac"].X = sparse.csr_matrix(x)
    with pytest.raises(InputError, match=message) as in_memory:
        scget.pp.pseudobulk(many, "cell_type")
    many["atac"].X = {"csc": sparse.csc_matrix, "dense": np.asarray}.get(where, sparse.csr_matrix)(x)
    if where == "dask":
        many["atac"].X = dask_of(many["atac"].X, (5, 4))
        with pytest.raises(InputError, match=message) as outside:
            scget.pp.pseudobulk(many, "cell_type")
    else:
        with backed(many, tmp_path / "cells.h5mu") as cells, pytest.raises(InputError, match=message) as outside:
            scget.pp.pseudobulk(cells, "cell_type")
    if where != "dense":  # there all values count as stored
        assert str(outside.value) == str(in_memory.value)


def test_nan_comes_before_an_earlier_infinite_value(many, tmp_path):
    x = many["atac"].X.toarray()
    x[2, 3], x[20, 1], x[22, 0] = np.inf, np.nan, np.nan
    many["atac"].X = sparse.csr_matrix(x)
    message = "2 NaN in atac.X, first in row 'cell20', column 'chr2:1100-1600'"
    with backed(many, tmp_path / "cells.h5mu") as cells, pytest.raises(InputError, match=message):
        scget.pp.pseudobulk(cells, "cell_type")


def test_the_matrix_is_never_read_whole(many, tmp_path, monkeypatch):
    seen = []
    real = _sums.tally_of
    monkeypatch.setattr(_sums, "tally_of", lambda values, where: seen.append(values.shape) or real(values, where))
    with backed(many, tmp_path / "cells.h5mu") as cells:
        monkeypatch.setattr(anndata.abc.CSRDataset, "to_memory", None)
        scget.pp.pseudobulk(cells, "cell_type")
        n_values = np.diff(cells["atac"].X.group["indptr"][:])
    atac = [shape[0] for shape in seen if shape[1] == 12]
    assert sum(atac) == 24 and max(atac) < 24
    ends = np.cumsum([0, *atac])
    assert max(n_values[a:b].sum() for a, b in pairwise(ends)) <= 40


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 20))
def test_runs_of_rows_cover_all_and_hold_no_more_than_asked(sizes, limit):
    ends = np.cumsum([0, *sizes]) + 0
    before, _chunks._VALUES = _chunks._VALUES, limit
    cuts = _chunks._cuts(ends)
    _chunks._VALUES = before
    assert cuts[0] == 0 and cuts[-1] == len(sizes) and (np.diff(cuts) > 0).all()
    assert all(ends[b] - ends[a] <= limit or b == a + 1 for a, b in pairwise(cuts))


def test_runs_beyond_what_int32_counts():
    ends = np.array([0, 2**31 - 5, 2**31 + 10, 2**33, 2**33 + 1], dtype=np.int64)
    assert _chunks._cuts(ends) == [0, 1, 2, 3, 4]


def test_tallies_add_up(rng):
    x = rng.integers(0, 5, (40, 10)).astype(np.float32)
    parts = [_counts.tally_of(x[a : a + 7], "") for a in range(0, 40, 7)]
    whole = sum(parts, _counts.Tally())
    assert whole == _counts.tally_of(x, "") == _counts.tally_of(x.astype(np.int64), "")
    assert (whole.n_positive, whole.n_even, whole.n_one, whole.n_two, whole.least, whole.most) == (
        (x > 0).sum(), np.isin(x, (2, 4)).sum(), (x == 1).sum(), (x == 2).sum(), 0, 4
    )  # fmt: skip


def test_a_tally_warns_as_its_matrix_does(rng):
    tally = _counts.tally_of(sparse.csr_matrix(2.0 * rng.poisson(0.5, (60, 50))), "atac.X")
    with pytest.warns(
        scget._errors.ScgetWarning, match=r"100% of the counts in atac.X are even .*reads, not fragments"
    ):
        _counts.warn_if_not_fragments(tally, "atac.X")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs distributed")
def test_local_cluster_of_two_workers(rng, tmp_path):
    """Two worker processes give, from a zarr file, the bits of the sums in memory."""
    from distributed import Client, LocalCluster, get_task_stream

    counts = sparse.random(600, 5000, 0.02, "csr", np.float32, random_state=0)
    counts.data = rng.integers(1, 5, counts.nnz).astype(np.float32)
    obs = pd.DataFrame({"type": rng.choice(list("abcde"), 600)}, index=[f"c{i}" for i in range(600)])
    var = pd.DataFrame(index=[f"chr1:{i}-{i + 1}" for i in range(5000)])
    expected = scget.pp.pseudobulk(MuData({"atac": AnnData(counts, obs=obs, var=var)}), "type")
    lazy = on_zarr(counts, tmp_path / "x.zarr", lambda x: read_elem_lazy(x, chunks=(50, 5000)))
    cells = MuData({"atac": AnnData(lazy, obs=obs, var=var)})
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of dask's own, about sockets and event loops
        with LocalCluster(**options, local_directory=tmp_path) as cluster, Client(cluster) as client:
            with get_task_stream(client) as stream:
                rows = scget.pp.pseudobulk(cells, "type")
            cells["atac"].X = lazy * np.float32(0.5)
            with pytest.raises(InputError, match=r"atac.X must be raw counts: .* \(max 2: looks like log1p\)"):
                scget.pp.pseudobulk(cells, "type")
    assert_same(rows, expected)
    assert len({task["worker"] for task in stream.data if "_sum_part" in str(task["key"])}) == 2
