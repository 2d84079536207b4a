"""Results of rows reach exactly the cells of the row."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

import scget
from scget._errors import InputError, ScgetWarning


@pytest.fixture
def rows(cells):
    """Rows by type and donor, with results made up so that row i, gene j holds 10 i + j."""
    pb = scget.pp.pseudobulk(cells, ["cell_type", "donor"])
    numbers = 10 * np.arange(6)[:, None] + np.arange(6)
    pb["rna"].layers["get"] = numbers.astype(np.float32)
    pb["rna"].obsm["get_motif"] = numbers[:, :3] / 2
    pb["rna"].uns["get"] = {"unit": "log10(CPM + 1)", "motif_names": np.array(["A/1", "B", "C"])}
    pb["atac"].obsm["X_get"] = 100.0 + numbers[:, :2]
    pb.uns["get"] = {"scget_version": "0", "model": "abc", "links": pd.DataFrame({"row": ["B_d1"]})}
    return pb


def number_of(adata, rows):
    """Number of each cell's row."""
    return np.array([rows["rna"].obs_names.get_loc(f"{t}_{d}") for t, d in adata.obs[["cell_type", "donor"]].values])


BY = ["cell_type", "donor"]


def test_each_cell_gets_its_rows_numbers(cells, rows, rng):
    orders = {name: rng.permutation(24) for name in ("rna", "atac")}
    mixed = MuData({name: cells[name][order].copy() for name, order in orders.items()})
    pb = MuData({name: rows[name][rng.permutation(6)].copy() for name in ("rna", "atac")})  # each in another order
    pb.uns["get"] = rows.uns["get"]
    assert scget.tl.broadcast(mixed, pb, BY) is None
    own = number_of(mixed["rna"], rows)
    assert mixed["rna"].layers["get"].dtype == np.float32
    np.testing.assert_array_equal(mixed["rna"].layers["get"], 10 * own[:, None] + np.arange(6))
    np.testing.assert_array_equal(mixed["rna"].obsm["get_motif"], 5 * own[:, None] + np.arange(3) / 2)
    own = number_of(mixed["atac"], rows)
    np.testing.assert_array_equal(mixed["atac"].obsm["X_get"], 100 + 10 * own[:, None] + np.arange(2))
    assert mixed.uns["get"] == {"scget_version": "0", "model": "abc", "groupby": BY}
    assert mixed["rna"].uns["get"]["unit"] == "log10(CPM + 1)"
    assert "get_std" not in mixed["rna"].layers


def test_chosen_genes_make_a_table(cells, rows, tmp_path):
    rows["rna"].layers["get_std"] = rows["rna"].layers["get"]
    scget.tl.broadcast(cells, rows, BY, genes=["G4", "G1"])
    table = cells["rna"].obsm["get_expression"]
    own = number_of(cells["rna"], rows)
    expected = pd.DataFrame({"G4": 10 * own + 4, "G1": 10 * own + 1}, index=cells["rna"].obs_names)
    pd.testing.assert_frame_equal(table, expected.astype(np.float32))
    assert not cells["rna"].layers
    cells.write(tmp_path / "cells.h5mu")
    written = mudata.read_h5mu(tmp_path / "cells.h5mu")
    pd.testing.assert_frame_equal(written["rna"].obsm["get_expression"], table)
    assert list(written.uns["get"]["groupby"]) == BY


def test_genes_are_matched_by_name(cells, rows):
    other = MuData({"rna": cells["rna"][:, [5, 0]].copy(), "atac": cells["atac"]})
    other["rna"].var_names = ["G5", "new"]
    scget.tl.broadcast(other, rows, BY)
    np.testing.assert_array_equal(other["rna"].layers["get"][:, 0], 10 * number_of(other["rna"], rows) + 5)
    assert np.isnan(other["rna"].layers["get"][:, 1]).all()


@pytest.mark.parametrize("genes", [None, ["G3"]])
def test_cells_of_atac_alone_get_rna(cells, rows, genes):
    alone = MuData({"atac": cells["atac"].copy()})
    scget.tl.broadcast(alone, rows, BY, genes=genes)
    expected = 10 * number_of(alone["atac"], rows)[:, None] + np.arange(6)
    rna = alone["rna"]
    assert rna.X is None and rna.obs_names.equals(alone["atac"].obs_names)
    got = rna.layers["get"] if genes is None else rna.obsm["get_expression"].to_numpy()
    np.testing.assert_array_equal(got, expected if genes is None else expected[:, [3]])


def test_a_group_without_row_gets_nan_and_a_warning(cells, rows):
    fewer = rows[["T_d1", "T_d2"]].copy()
    with pytest.warns(ScgetWarning, match="16 of 24 cells are of groups that are no row of pb, first 'B_d1'") as caught:
        scget.tl.broadcast(cells, fewer, BY)
    assert caught[0].filename == __file__
    own = (cells["rna"].obs["cell_type"] == "T").to_numpy()
    assert np.isnan(cells["rna"].layers["get"][~own]).all() and np.isnan(cells["atac"].obsm["X_get"][~own]).all()
    np.testing.assert_array_equal(cells["rna"].layers["get"][own][:, 0], np.tile([40, 50], 4))


def test_copy_and_again(cells, rows):
    one = scget.tl.broadcast(cells, rows, BY, copy=True)
    assert not cells["rna"].layers and "get" not in cells.uns
    rows["rna"].layers["get"] += 1
    scget.tl.broadcast(one, rows, BY)  # own results are replaced
    np.testing.assert_array_equal(one["rna"].layers["get"][0], 1 + np.arange(6))


def test_predictions_of_a_model(trained, toy, rng):
    """From rows with predictions to 60 cells, of which each row had ten."""
    scget.tl.predict(toy, trained)
    label = rng.permutation(np.repeat(toy["atac"].obs_names, 10))
    obs = pd.DataFrame({"cell_type": label}, index=[f"c{i}" for i in range(60)])
    cells = MuData({"atac": AnnData(np.ones((60, 1)), obs=obs, var=pd.DataFrame(index=["chr1:1-2"]))})
    scget.tl.broadcast(cells, toy, "cell_type", genes=["G1", "G5"])
    expected = toy["rna"].obsm["get_expression"].loc[label, ["G1", "G5"]]
    np.testing.assert_array_equal(cells["rna"].obsm["get_expression"], expected)
    assert cells.uns["get"]["model"] == toy.uns["get"]["model"] and cells.uns["get"]["holdout_obs"] == ["T5"]


REFUSED = [
    (lambda c, r: scget.tl.broadcast(c[:5], r, BY), "mdata is a view"),
    (lambda c, r: scget.tl.broadcast(c, r, "cell_type"), "no group of the cells is a row of pb: cells have 'B', 'NK', 'T', pb has 'B_d1'"),
    (lambda c, r: scget.tl.broadcast(c, r, "leiden"), "no column 'leiden' in obs of"),
    (lambda c, r: scget.tl.broadcast(c, r, BY, genes=["G1", "GATA1"]), r"1 genes are not in pb\['rna'\], first 'GATA1'"),
    (lambda c, r: scget.tl.broadcast(c, r, BY, genes="G1"), r"'G1' is one text; a list of genes is needed: \['G1'\]"),
    (lambda c, r: scget.tl.broadcast(c, r, None), "groupby=None names no column"),
    (lambda c, r: scget.tl.broadcast(c, r, BY, key_added="mine"), r"no results named 'mine' in pb; run scget.tl.predict\(pb, model\) first"),
    (lambda c, r: scget.tl.broadcast(c, r, BY, key_added="a/b"), "key_added='a/b' cannot name slots"),
]  # fmt: skip


@pytest.mark.parametrize(("refused", "message"), REFUSED)
def test_refused_and_unchanged(cells, rows, refused, message):
    with pytest.raises(InputError, match=message):
        refused(cells, rows)
    assert not cells["rna"].layers and not cells["rna"].obsm and not cells["atac"].obsm and not cells.uns


def test_a_foreign_layer_is_not_overwritten(cells, rows):
    cells["rna"].layers["get"] = cells["rna"].X.copy()
    with pytest.raises(InputError, match="key_added='get' would overwrite 'rna.layers'"):
        scget.tl.broadcast(cells, rows, BY)


def test_an_embedding_alone_is_carried(cells, rows):
    alone = MuData({"atac": rows["atac"]})
    scget.tl.broadcast(cells, alone, BY)
    np.testing.assert_array_equal(cells["atac"].obsm["X_get"][:, 0], 100 + 10 * number_of(cells["atac"], rows))
    with pytest.raises(InputError, match=r"no predictions in pb\['rna'\].layers\['get'\]"):
        scget.tl.broadcast(cells, alone, BY, genes=["G1"])


def test_genes_that_are_not_shared_are_told(cells, rows):
    names = cells["rna"].var_names
    cells["rna"].var_names = [f"ENSG{i}" for i in range(6)]
    with pytest.raises(InputError, match="no gene of the cells is in pb: cells have 'ENSG0', .*, pb has 'G0'"):
        scget.tl.broadcast(cells, rows, BY)
    assert not cells["rna"].layers and not cells["atac"].obsm
    scget.tl.broadcast(cells, rows, BY, genes=["G3"])  # a table needs no gene of the cells
    cells["rna"].var_names = [*names[:2], *cells["rna"].var_names[2:]]
    with pytest.warns(ScgetWarning, match="2 of 6 genes of the cells are in pb; the others get NaN") as caught:
        scget.tl.broadcast(cells, rows, BY)
    assert caught[0].filename == __file__
    assert np.isnan(cells["rna"].layers["get"]).all(axis=0).tolist() == [False] * 2 + [True] * 4


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("copy", [False, True])
def test_backed_cells_are_refused(cells, rows, tmp_path, copy):
    cells.write(tmp_path / "cells.h5mu")
    backed = mudata.read_h5mu(tmp_path / "cells.h5mu", backed="r")
    with pytest.raises(InputError, match=r"modality '\w+' is backed \(on disk\)"):
        scget.tl.broadcast(backed, rows, BY, copy=copy)
    backed.file.close()
