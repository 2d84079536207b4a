"""Cells as rows: the same numbers a few at a time, alone and on disk."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix, diags

import scget
from scget._errors import InputError, ScgetWarning


@pytest.fixture
def cells(toy, rng):
    """20 cells of few fragments in the regions of the toy data, ATAC alone."""
    counts = rng.poisson(0.4, (20, 120)).astype(np.float32)
    counts[:, 0] = 1
    toy = toy["atac"]
    atac = AnnData(csr_matrix(counts), obs=pd.DataFrame(index=[f"c{i}" for i in range(20)]), var=toy.var.copy())
    atac.varm["motif_scores"], atac.uns["motif_names"] = toy.varm["motif_scores"], toy.uns["motif_names"]
    atac.uns["peak_annotation"] = toy.uns["peak_annotation"]
    return MuData({"atac": atac})


def results(mdata):
    """All that was predicted, rows by name."""
    rna, atac = mdata["rna"], mdata["atac"]
    tables = {layer: rna.to_df(layer=layer) for layer in ("get", "get_std")}
    tables |= {layer: atac.to_df(layer=layer) for layer in ("get_plus", "get_minus")}
    return tables | {"table": rna.obsm["get_expression"], "get_ood": rna.obs[["get_ood"]]}


def same(parts, whole):
    for name, expected in whole.items():
        pd.testing.assert_frame_equal(parts[name], expected, rtol=1e-4, atol=1e-5, check_names=False)


@pytest.mark.parametrize("row_batch", [1, 3, 20, 1000])
def test_cells_in_chunks(trained, cells, row_batch, monkeypatch):
    from scget.data import _table

    whole = cells.copy()
    scget.tl.predict(whole, trained)
    dense, made_dense = [], _table._dense
    monkeypatch.setattr(_table, "_dense", lambda matrix: dense.append(matrix.shape[0]) or made_dense(matrix))
    scget.tl.predict(cells, trained, row_batch=row_batch)
    assert max(dense) == min(row_batch, 20) and sum(dense) == 20
    same(results(cells), results(whole))
    assert cells["rna"].layers["get"].dtype == np.float32 and np.isfinite(cells["rna"].layers["get"]).any()


def test_one_cell_alone(trained, cells):
    whole = scget.tl.predict(cells, trained, copy=True)
    alone = MuData({"atac": cells["atac"][[7]].copy()})
    scget.tl.predict(alone, trained)
    same(results(alone), {name: table.loc[["c7"]] for name, table in results(whole).items()})


def test_rows_of_another_order(trained, toy, rng):
    mixed = MuData({"atac": toy["atac"].copy(), "rna": toy["rna"][rng.permutation(6), rng.permutation(51)].copy()})
    whole = scget.tl.predict(mixed, trained, copy=True)
    scget.tl.predict(mixed, trained, row_batch=4)
    same(results(mixed), results(whole))
    pd.testing.assert_frame_equal(
        mixed["rna"].to_df(layer="get").loc["T0":"T0"], trained.predict(rows=["T0"])[mixed["rna"].var_names],
        rtol=1e-4, atol=1e-4, check_dtype=False, check_names=False,
    )  # fmt: skip


def test_an_ensemble(trained, cells):
    ensemble = scget.model.Ensemble([trained, trained], {"chr1": 0, "chr2": 1})
    expected = trained.predict(cells)
    scget.tl.predict(cells, ensemble, row_batch=6)
    np.testing.assert_allclose(cells["rna"].to_df(layer="get")[expected.columns], expected, rtol=1e-4, atol=1e-4)


READ = {"h5ad": anndata.read_h5ad, "zarr": anndata.read_zarr}


@pytest.mark.parametrize("row_batch", [None, 7])
@pytest.mark.parametrize("form", READ)
def test_to_disk(trained, cells, tmp_path, row_batch, form):
    cells["atac"].obs["donor"] = "d1"
    before = cells.copy()
    path = tmp_path / f"cells.{form}"
    assert scget.tl.predict(cells, trained, row_batch=row_batch, out=path) is None
    assert list(cells.mod) == ["atac"] and not cells["atac"].layers and not cells.uns
    scget.tl.predict(before, trained)
    expected, found = results(before), READ[form](path)
    assert found.X.dtype == np.float32 and [p.name for p in tmp_path.iterdir()] == [path.name]
    pd.testing.assert_frame_equal(found.to_df(), expected["get"], rtol=1e-4, atol=1e-5, check_names=False)
    std = found.to_df(layer="get_std")
    pd.testing.assert_frame_equal(std, expected["get_std"], rtol=1e-4, atol=1e-5, check_names=False)
    np.testing.assert_allclose(found.obs["get_ood"], expected["get_ood"]["get_ood"], rtol=1e-5)
    assert found.obs["donor"].eq("d1").all() and found.uns["get"]["model"] == before.uns["get"]["model"]
    with pytest.raises(InputError, match="a new name in a folder that is there"):
        scget.tl.predict(cells, trained, out=path)


def test_to_disk_opened_without_reading(trained, cells, tmp_path):
    path = tmp_path / "cells.h5ad"
    scget.tl.predict(cells, trained, out=path)
    backed = anndata.read_h5ad(path, backed="r")
    np.testing.assert_array_equal(backed.X[3:5], anndata.read_h5ad(path).X[3:5])
    backed.file.close()


def test_zarr_holds_the_bits_of_h5ad(trained, cells, tmp_path, monkeypatch):
    monkeypatch.setattr("scget.tl._predict_file._CHUNK", 3 * 50)  # values: chunks of 3 rows, batches of 7
    found = {}
    for form, read in READ.items():
        scget.tl.predict(cells, trained, row_batch=7, out=tmp_path / f"cells.{form}")
        found[form] = read(tmp_path / f"cells.{form}")
    same_bits(found["zarr"], found["h5ad"])
    assert np.isnan(found["zarr"].layers["get_std"]).any() and np.isfinite(found["zarr"].X).any()
    stored = zarr.open_group(str(tmp_path / "cells.zarr"), mode="r")
    assert stored["X"].chunks == stored["layers/get_std"].chunks == (3, 50) and stored["X"].shape == (20, 50)


@pytest.mark.parametrize("form", READ)
def test_what_a_killed_run_left(trained, cells, tmp_path, monkeypatch, form):
    """It has not the name asked for and does not stop the next run, which says what one alone does."""
    path, cache = tmp_path / f"cells.{form}", tmp_path / "cache"
    asked = {"row_batch": 7, "out": path, "cache": cache}
    with monkeypatch.context() as patched:
        patched.setattr("scget.model._rows._predicted", killed_at(3))
        with pytest.raises(KeyboardInterrupt):
            scget.tl.predict(cells, trained, **asked)
    assert not path.exists() and (tmp_path / f"cells.{form}.part").exists() and len([*cache.iterdir()]) == 2
    if form == "zarr":
        (tmp_path / "cells.zarr.part" / "X" / "stray").write_text("of another store")
    scget.tl.predict(cells, trained, **asked)
    scget.tl.predict(cells, trained, row_batch=7, out=tmp_path / f"alone.{form}")
    same_bits(READ[form](path), READ[form](tmp_path / f"alone.{form}"))
    assert not [*tmp_path.glob("*.part")] and not [*path.rglob("stray")]


def same_bits(a, b):
    """All that is written, with the names of rows and genes."""
    np.testing.assert_array_equal(a.X.view(np.uint32), b.X.view(np.uint32))
    np.testing.assert_array_equal(a.layers["get_std"].view(np.uint32), b.layers["get_std"].view(np.uint32))
    pd.testing.assert_frame_equal(a.obs, b.obs, check_exact=True)
    pd.testing.assert_frame_equal(a.var, b.var)
    told, expected = dict(a.uns["get"]), dict(b.uns["get"])
    assert told.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(told[key], value)


def killed_at(n):
    """As what predicts a few rows, but the n-th time it is interrupted."""
    from scget.model import _rows

    told, predicted = [], _rows._predicted

    def predict(*given):
        told.append(given)
        if len(told) == n:
            raise KeyboardInterrupt
        return predicted(*given)

    return predict


def test_what_is_not_done(trained, cells, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="row_batch=0: a whole number of at least 1"):
        scget.tl.predict(cells, trained, row_batch=0)
    with pytest.raises(InputError, match="leave out copy=True"):
        scget.tl.predict(cells, trained, out=tmp_path / "x.h5ad", copy=True)
    for name in ("x.csv", "x", "none/x.zarr", "none/x.h5ad"):
        with pytest.raises(
            InputError, match=f"{name}': a new name in a folder .* in .h5ad .a file. or .zarr .a folder."
        ):
            scget.tl.predict(cells, trained, out=tmp_path / name)
    with pytest.raises(InputError, match="key_added='a/b' cannot name slots"):
        scget.tl.predict(cells, trained, out=tmp_path / "x.h5ad", key_added="a/b")
    monkeypatch.setattr("scget.tl._predict._MOST", 1e4)
    with pytest.warns(ScgetWarning, match="the results of 20 rows take 0 GB in memory.*out='predicted.h5ad'"):
        scget.tl.predict(cells, trained, copy=True)
    cells["atac"].X = diags((np.arange(20) != 5).astype(np.float32)).tocsr() @ cells["atac"].X
    with pytest.raises(InputError, match="1 rows of 'atac' have no counts, first 'c5'"):
        scget.tl.predict(cells, trained, out=tmp_path / "x.h5ad")
    assert not list(tmp_path.iterdir()) and list(cells.mod) == ["atac"]
