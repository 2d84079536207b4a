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
from scget._errors import InputError, ScgetWarning

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
        assert adata.obs["total_counts"].tolist() == dense(adata).sum(axis=1).tolist()
        assert adata.obs["total_counts"].dtype == np.int64
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


def test_groups_of_few_counts_are_refused(cells):
    depth = scget.pp.pseudobulk(cells, "cell_type")["atac"].obs["total_counts"]
    least, most = depth.idxmin(), depth.max()
    assert scget.pp.pseudobulk(cells, "cell_type", min_counts=depth.min())["atac"].n_obs == 3
    message = (
        rf"groups below min_counts={most + 1}: .*{least!r} \({depth.min()}\).* Lower min_counts, merge or drop them"
    )
    with pytest.raises(InputError, match=message):
        scget.pp.pseudobulk(cells, "cell_type", min_counts=most + 1)


def test_depth_is_exact_where_float32_is_not(cells):
    cells["atac"].X = sparse.csr_matrix(np.full((24, 12), 2**24 + 1, dtype=np.int64))
    assert scget.pp.pseudobulk(cells, "cell_type")["atac"].obs["total_counts"].tolist() == [8 * 12 * (2**24 + 1)] * 3


@pytest.mark.parametrize("column", ["n_cells", "total_counts"])
def test_columns_that_rows_get_cannot_be_grouped_by(cells, column):
    cells["atac"].obs[column] = "a"
    with pytest.raises(InputError, match=f"groupby='{column}': rows get a column of that name. Rename yours"):
        scget.pp.pseudobulk(cells, column)


def test_true_and_false_are_labels(cells):
    cells["atac"].obs["sorted"] = np.arange(24) < 10
    rows = scget.pp.pseudobulk(cells, ["sorted", "donor"])
    assert rows["rna"].obs_names.tolist() == ["False_d1", "False_d2", "True_d1", "True_d2"]
    assert rows["rna"].obs["n_cells"].tolist() == [7, 7, 5, 5]


def test_metacells(rng):
    """Metacells of k-means on principal components, within each type: sums are those of numpy, types stay apart."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    names = [f"cell{i}" for i in range(120)]
    types = np.repeat(["B", "T"], 60)
    counts = {"rna": rng.poisson(np.where(types == "B", 3, 1)[:, None], (120, 8)), "atac": rng.poisson(1, (120, 15))}
    metacell = np.empty(120, dtype=object)
    for name in ("B", "T"):
        components = PCA(3, random_state=0).fit_transform(np.log1p(counts["rna"][types == name]))
        metacell[types == name] = [f"{name}{k}" for k in KMeans(4, n_init=1, random_state=0).fit_predict(components)]
    obs = pd.DataFrame({"metacell": metacell, "cell_type": types}, index=names)
    cells = MuData(
        {
            name: AnnData(x, obs=obs, var=pd.DataFrame(index=[f"{name}{i}" for i in range(x.shape[1])]))
            for name, x in counts.items()
        }
    )
    rows = scget.pp.pseudobulk(cells, groupby=["metacell", "cell_type"])
    assert rows["atac"].n_obs == 8 and rows["atac"].obs["n_cells"].sum() == 120
    for name, x in counts.items():
        for row in rows[name].obs_names:
            chosen = metacell == row.split("_")[0]
            assert set(types[chosen]) == {rows[name].obs.loc[row, "cell_type"]}
            np.testing.assert_array_equal(dense(rows[name][row])[0], x[chosen].sum(axis=0))


@pytest.mark.parametrize("axis", ["rows", "regions"])
@pytest.mark.parametrize("container", CONTAINERS, ids=lambda c: c.__name__)
def test_a_view_gives_what_its_copy_gives(cells, container, axis):
    scores = cells["atac"].varm["motif_scores"]
    cells["atac"].varm["motif_scores"] = container(scores)
    view = cells[:20] if axis == "rows" else MuData({"rna": cells["rna"], "atac": cells["atac"][:, 2:9]})
    assert view["atac"].is_view
    rows, expected = (scget.pp.pseudobulk(m, "cell_type")["atac"] for m in (view, view.copy()))
    np.testing.assert_array_equal(rows.X.toarray(), expected.X.toarray())
    got = rows.varm["motif_scores"]
    assert type(got) is type(container(scores))
    wanted = scores if axis == "rows" else scores[2:9]
    np.testing.assert_array_equal(got.toarray() if sparse.issparse(got) else got, wanted)
    assert type(rows.uns["motif_scan"]) is dict and rows.uns["motif_scan"] == {"genome": "toy"}
    assert type(rows.uns["peak_annotation"]) is pd.DataFrame


def test_what_was_matched_stays_on_record(cells):
    cells["atac"].uns["matched"] = {"share": 0.5, "names": np.array(["a"])}
    rows = scget.pp.pseudobulk(cells, "cell_type")
    assert rows["atac"].uns["matched"]["share"] == 0.5
    rows["atac"].uns["matched"]["names"][0] = "b"
    assert cells["atac"].uns["matched"]["names"][0] == "a"


def labelled(mdata, values):
    for name in ("rna", "atac"):
        mdata[name].obs["cell_type"] = values
    return mdata


@pytest.mark.parametrize("text", ["", "  ", "nan", "NaN", "None", "<NA>", "NaT"])
@pytest.mark.parametrize("kind", [object, "category", "string"])
def test_text_that_stands_for_no_label_is_refused(cells, text, kind):
    values = pd.Series(["B"] * 22 + [text] * 2, index=cells.obs_names, dtype=kind)
    message = rf"2 rows have no label in atac.obs\['cell_type'\], first 'cell22' \(text '{text}'\). Drop them or label"
    with pytest.raises(InputError, match=message):
        scget.pp.pseudobulk(labelled(cells, values), "cell_type")


@pytest.mark.parametrize("pair", [(1, "1"), (1, 1.0), (True, 1), ("1", 1)])
def test_labels_of_two_kinds_are_refused(cells, pair):
    values = np.array([pair[0]] * 10 + ["x"] * 4 + [pair[1]] * 10, dtype=object)
    with pytest.raises(InputError, match=f"labels {pair[0]!r} and {pair[1]!r} both exist in .*Make them one kind"):
        scget.pp.pseudobulk(labelled(cells, values), "cell_type")


def test_labels_that_differ_in_case_or_blanks_warn(cells):
    values = np.repeat(["B", "T cell", "B ", "b", "T  cell", "NK"], 4)
    message = "case or blanks alone make groups of their own: 'B', 'B ', 'b'; 'T cell', 'T  cell'. Are they meant"
    with pytest.warns(ScgetWarning, match=message) as caught:
        rows = scget.pp.pseudobulk(labelled(cells, values), "cell_type")
    told = [one for one in caught if one.category is ScgetWarning]
    assert rows.n_obs == 6 and [one.filename for one in told] == [__file__]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groupby": None}, "groupby=None names no column"),
        ({"groupby": 3}, "groupby=3 names no column"),
        ({"groupby": [None]}, r"groupby=\[None\] names no column"),
        ({"groupby": ["donor", "donor"]}, "groupby names column 'donor' twice"),
        ({"min_counts": "3e6"}, "min_counts='3e6': a number is needed"),
        ({"min_cells": None}, "min_cells=None: a number is needed"),
        ({"min_cells": float("nan")}, "min_cells=nan: a number is needed"),
        ({"min_counts": 3e6}, "groups below min_counts=3,000,000: 'B'"),
        ({"min_cells": 8.5}, r"groups below min_cells=8.5: 'B' \(8\)"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(cells, arguments, message):
    with pytest.raises(InputError, match=message):
        scget.pp.pseudobulk(cells, **{"groupby": "cell_type", **arguments})


@pytest.mark.filterwarnings("ignore:.*Consolidated metadata", "ignore:.*zarr v2", "ignore::FutureWarning")
def test_zarr_there_and_back(cells, tmp_path):
    cells.write_zarr(tmp_path / "cells.zarr")
    read = mudata.read_zarr(tmp_path / "cells.zarr")
    report = scget.pp.check(read)
    assert set(report["verdict"]) == {"ok"}
    rows = scget.pp.pseudobulk(read, "cell_type")
    names = rows["atac"].uns["motif_names"]
    assert names.dtype == object and list(names) == ["AP1/1", "GATA", "CTCF"]
    rows.write(tmp_path / "rows.h5mu")  # h5 takes no text of numpy's own type
    rows.write_zarr(tmp_path / "rows.zarr")
    again = mudata.read_zarr(tmp_path / "rows.zarr")
    scget.pp._checks.check_motifs(again["atac"])
    np.testing.assert_array_equal(again["atac"].X.toarray(), rows["atac"].X.toarray())
