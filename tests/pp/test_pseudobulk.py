from __future__ import annotations

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mudata import MuData
from scipy import sparse

import scget
from scget._errors import InputError

FEW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CONTAINERS = [
    np.asarray,
    sparse.csr_matrix,
    sparse.csc_matrix,
    sparse.csr_array,
    sparse.csc_array,
]


def dense(adata: AnnData) -> np.ndarray:
    return adata.X.toarray() if sparse.issparse(adata.X) else np.asarray(adata.X)


def permuted(mdata: MuData, rna=None, atac=None) -> MuData:
    """The same cells, rows of each modality in another order."""
    orders = {"rna": rna, "atac": atac}
    return MuData({k: mdata[k].copy() if o is None else mdata[k][np.array(o)].copy() for k, o in orders.items()})


def test_sums_by_hand():
    obs = pd.DataFrame({"type": ["b", "a", "b"]}, index=["x", "y", "z"])
    counts = np.array([[1, 0, 2], [0, 3, 0], [5, 1, 0]], dtype=np.float32)
    atac = AnnData(counts, obs=obs, var=pd.DataFrame(index=["chr1:1-2", "chr1:3-4", "chr1:5-6"]))
    rows = scget.pp.pseudobulk(MuData({"atac": atac}), "type")
    assert list(rows.mod) == ["atac"]
    assert rows["atac"].obs_names.tolist() == ["a", "b"]
    assert rows["atac"].obs["n_cells"].tolist() == [1, 2]
    assert rows["atac"].X.toarray().tolist() == [[0, 3, 0], [6, 1, 2]]


def test_rows_and_slots(cells):
    rows = scget.pp.pseudobulk(cells, "cell_type")
    for name in ("rna", "atac"):
        adata = rows[name]
        assert isinstance(adata.X, sparse.csr_matrix)
        assert adata.X.dtype == np.float32
        assert adata.obs_names.tolist() == adata.obs["cell_type"].tolist() == ["B", "NK", "T"]
        assert adata.obs["n_cells"].tolist() == [8, 8, 8]
        expected = pd.DataFrame(dense(cells[name])).groupby(cells[name].obs["cell_type"].to_numpy()).sum()
        np.testing.assert_array_equal(adata.X.toarray(), expected)
        pd.testing.assert_frame_equal(adata.var, cells[name].var)
    np.testing.assert_array_equal(rows["atac"].varm["motif_scores"], cells["atac"].varm["motif_scores"])
    assert list(rows["atac"].uns["motif_names"]) == ["AP1/1", "GATA", "CTCF"]
    assert rows["atac"].uns["motif_scan"] == {"genome": "toy"}
    pd.testing.assert_frame_equal(rows["atac"].uns["peak_annotation"], cells["atac"].uns["peak_annotation"])
    rows["atac"].varm["motif_scores"][:] = -1  # the rows share no memory with the cells
    assert cells["atac"].varm["motif_scores"].min() >= 0


@FEW
@given(st.permutations(range(24)), st.permutations(range(24)))
def test_order_of_cells_plays_no_part(cells, rna, atac):
    one = scget.pp.pseudobulk(cells, "cell_type")
    two = scget.pp.pseudobulk(permuted(cells, rna, atac), "cell_type")
    for name in ("rna", "atac"):
        np.testing.assert_array_equal(one[name].X.toarray(), two[name].X.toarray())
        pd.testing.assert_frame_equal(one[name].obs, two[name].obs)


def test_label_in_one_modality_reaches_the_other_by_name(cells, rng):
    expected = scget.pp.pseudobulk(cells, "cell_type")
    mdata = permuted(cells, atac=rng.permutation(24))
    del mdata["atac"].obs["cell_type"]
    result = scget.pp.pseudobulk(mdata, "cell_type")
    np.testing.assert_array_equal(result["atac"].X.toarray(), expected["atac"].X.toarray())
    assert result["atac"].obs["cell_type"].tolist() == ["B", "NK", "T"]


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_any_container_gives_the_same(cells, container, dtype):
    expected = scget.pp.pseudobulk(cells, "cell_type")
    for name in ("rna", "atac"):
        cells[name].X = container(dense(cells[name]).astype(dtype))
    result = scget.pp.pseudobulk(cells, "cell_type")
    for name in ("rna", "atac"):
        np.testing.assert_array_equal(result[name].X.toarray(), expected[name].X.toarray())


def test_small_integers_do_not_wrap(cells):
    cells["rna"].X = sparse.csr_matrix(np.full((24, 6), 200, dtype=np.uint8))
    np.testing.assert_array_equal(scget.pp.pseudobulk(cells, "cell_type")["rna"].X.toarray(), 8 * 200)


def test_layers_are_summed_where_named(cells):
    expected = scget.pp.pseudobulk(cells, "cell_type")
    for name in ("rna", "atac"):
        cells[name].layers["counts"] = cells[name].X.copy()
        cells[name].X = np.log1p(cells[name].X)
    result = scget.pp.pseudobulk(cells, "cell_type", atac_layer="counts", rna_layer="counts")
    for name in ("rna", "atac"):
        np.testing.assert_array_equal(result[name].X.toarray(), expected[name].X.toarray())


def test_unused_categories_and_other_label_types(cells):
    expected = scget.pp.pseudobulk(cells, "cell_type")
    for name in ("rna", "atac"):
        labels = cells[name].obs["cell_type"]
        cells[name].obs["number"] = labels.map({"B": 1, "NK": 2, "T": 3}).to_numpy()
        cells[name].obs["cell_type"] = pd.Categorical(labels, categories=["zz", "T", "NK", "B", "unused"])
    result = scget.pp.pseudobulk(cells, "cell_type")
    assert result["rna"].obs_names.tolist() == ["B", "NK", "T"]
    assert result["rna"].obs["cell_type"].cat.categories.tolist() == ["B", "NK", "T"]
    numbered = scget.pp.pseudobulk(cells, "number")
    assert numbered["atac"].obs_names.tolist() == ["1", "2", "3"]
    for other in (result, numbered):
        np.testing.assert_array_equal(other["atac"].X.toarray(), expected["atac"].X.toarray())


def test_several_columns(cells):
    result = scget.pp.pseudobulk(cells, ["cell_type", "donor"])
    assert result["rna"].obs_names.tolist() == ["B_d1", "B_d2", "NK_d1", "NK_d2", "T_d1", "T_d2"]
    assert result["rna"].obs["donor"].tolist() == ["d1", "d2"] * 3
    assert result["rna"].obs["n_cells"].tolist() == [4] * 6
    chosen = (cells["rna"].obs["cell_type"] == "NK") & (cells["rna"].obs["donor"] == "d2")
    np.testing.assert_array_equal(result["rna"].X.toarray()[3], dense(cells["rna"])[chosen].sum(axis=0))


def test_names_with_a_slash_and_a_file(cells, tmp_path):
    for name in ("rna", "atac"):
        cells[name].obs["cell_type"] = cells[name].obs["cell_type"].map({"B": "B/plasma", "NK": "NK", "T": "T"})
    rows = scget.pp.pseudobulk(cells, "cell_type")
    rows.write(tmp_path / "rows.h5mu")
    result = mudata.read_h5mu(tmp_path / "rows.h5mu")
    assert result["atac"].obs_names.tolist() == ["B/plasma", "NK", "T"]
    np.testing.assert_array_equal(result["atac"].X.toarray(), rows["atac"].X.toarray())
    assert result["atac"].obs["n_cells"].tolist() == [8, 8, 8]
    assert result["atac"].uns["peak_annotation"]["gene"].tolist() == ["G0", "G1", "G2"]


def test_two_labels_that_join_to_one_name_are_refused(cells):
    for name in ("rna", "atac"):
        cells[name].obs["one"] = ["a_b"] * 12 + ["a"] * 12
        cells[name].obs["two"] = ["c"] * 12 + ["b_c"] * 12
    with pytest.raises(InputError, match=r"groups \('a_b', 'c'\) and \('a', 'b_c'\) would both be named 'a_b_c'"):
        scget.pp.pseudobulk(cells, ["one", "two"])


@pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning")
@pytest.mark.filterwarnings("ignore:.*reads, not fragments:scget._errors.ScgetWarning")  # cut sites of Cell Ranger
def test_real_cells(shared_data, rng):
    adatas = {
        name: anndata.read_h5ad(shared_data / "fixtures" / f"10xpbmc_{name}_subset.h5ad") for name in ("rna", "atac")
    }
    with pytest.raises(InputError, match="no row name in common: 'atac' has 'GCACCTAAGTTAGTGC-1_atac', ..., 'rna' has"):
        scget.pp.pseudobulk(MuData(adatas), "celltype")
    for name, adata in adatas.items():
        adata.obs_names = adata.obs_names.str.removesuffix(f"_{name}")
    shuffled = adatas["atac"][rng.permutation(100)].copy()
    rows = scget.pp.pseudobulk(MuData({"rna": adatas["rna"], "atac": shuffled}), "celltype")
    for name, adata in adatas.items():
        expected = adata.to_df().groupby(adata.obs["celltype"].astype(str).to_numpy()).sum()
        assert rows[name].obs_names.tolist() == expected.index.tolist()
        np.testing.assert_array_equal(rows[name].X.toarray(), expected)


def test_a_column_may_be_called_group(cells):
    for name in ("rna", "atac"):
        cells[name].obs["group"] = cells[name].obs["cell_type"]
    assert scget.pp.pseudobulk(cells, "group")["atac"].obs_names.tolist() == ["B", "NK", "T"]
