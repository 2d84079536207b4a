"""Each cell with its nearest neighbours, against a loop over cells."""

from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
from mudata import MuData
from sklearn.neighbors import NearestNeighbors

import scget
from scget._errors import InputError


@pytest.fixture
def placed(cells, rng):
    """24 cells at places of a plane; modalities in other orders."""
    cells["atac"].obsm["X_lsi"] = rng.normal(size=(24, 2))
    return MuData({"rna": cells["rna"][rng.permutation(24)].copy(), "atac": cells["atac"]})


def by_loop(mdata, name, n):
    """Counts of each cell and the n nearest of the others, one cell at a time."""
    place = dict(zip(mdata["atac"].obs_names, mdata["atac"].obsm["X_lsi"], strict=True))
    counts, sums = mdata[name].to_df(), {}
    for cell in counts.index:
        near = sorted(place, key=lambda other: np.hypot(*(place[other] - place[cell])))[: n + 1]
        assert near[0] == cell
        sums[cell] = counts.loc[near].sum().to_numpy()
    return np.stack([*sums.values()])


def neighbors(adata, n, key):
    """Write what ``sc.pp.neighbors`` does, without waiting for its compiler: distances to the n - 1 nearest others."""
    graph = NearestNeighbors(n_neighbors=n - 1).fit(adata.obsm["X_lsi"]).kneighbors_graph(mode="distance")
    prefix = "" if key == "neighbors" else f"{key}_"
    adata.obsp[f"{prefix}distances"] = graph
    adata.uns[key] = {"distances_key": f"{prefix}distances", "connectivities_key": f"{prefix}connectivities"}


@pytest.mark.parametrize("graph", [False, True, pytest.param("scanpy", marks=pytest.mark.slow)])
def test_against_a_loop(placed, graph):
    if graph:
        if graph == "scanpy":
            sc.pp.neighbors(placed["atac"], n_neighbors=7, use_rep="X_lsi", key_added="mine")
        else:
            neighbors(placed["atac"], 7, "mine")
        pools = scget.pp.pool_neighbors(placed, 4, neighbors_key="mine")
    else:
        pools = scget.pp.pool_neighbors(placed, 4, use_rep="X_lsi")
    for name in ("rna", "atac"):
        assert pools[name].obs_names.equals(placed[name].obs_names) and pools[name].X.dtype == np.float32
        expected = by_loop(placed, name, 4)
        np.testing.assert_array_equal(pools[name].X.toarray(), expected)
        assert (pools[name].obs["n_cells"] == 5).all() and "donor" in pools[name].obs
        np.testing.assert_array_equal(pools[name].obs["total_counts"], expected.sum(axis=1))
    assert pools["atac"].uns["peak_annotation"].equals(placed["atac"].uns["peak_annotation"])
    np.testing.assert_array_equal(pools["atac"].varm["motif_scores"], placed["atac"].varm["motif_scores"])


def test_the_whole_graph_and_the_order_of_cells(placed, rng):
    neighbors(placed["atac"], 7, "neighbors")
    whole = scget.pp.pool_neighbors(placed)
    np.testing.assert_array_equal(whole["atac"].X.toarray(), by_loop(placed, "atac", 6))
    mixed = MuData({"atac": placed["atac"][rng.permutation(24)].copy(), "rna": placed["rna"]})
    again = scget.pp.pool_neighbors(mixed)
    assert again["atac"].to_df().loc[whole["atac"].obs_names].equals(whole["atac"].to_df())


def test_a_pool_is_a_row_for_a_model(trained, toy):
    toy["atac"].obsm["X_lsi"] = np.arange(6.0)[:, None] ** 2
    pools = scget.pp.pool_neighbors(toy, 1, use_rep="X_lsi")
    np.testing.assert_array_equal(pools["atac"].X.toarray()[5], toy["atac"].X.toarray()[4:].sum(axis=0))
    scget.tl.predict(pools, trained)
    assert np.isfinite(pools["rna"].to_df(layer="get")["G1"]).all()


REFUSED = [
    (lambda c: scget.pp.pool_neighbors(c), r"no neighbours 'neighbors' in 'atac'; run scanpy.pp.neighbors"),
    (lambda c: scget.pp.pool_neighbors(c, 9, neighbors_key="mine"), "n_neighbors=9, but the graph 'mine' holds 6 of each cell; take fewer, or run scanpy.pp.neighbors with n_neighbors=10"),
    (lambda c: scget.pp.pool_neighbors(c, use_rep="X_pca"), "no 'X_pca' in the obsm of 'atac'; there are 'X_lsi'"),
    (lambda c: scget.pp.pool_neighbors(c, 24, use_rep="X_lsi"), "n_neighbors=24, but there are 23 other cells"),
    (lambda c: scget.pp.pool_neighbors(c, 0, use_rep="X_lsi"), "n_neighbors=0: a whole number of at least 1"),
    (lambda c: scget.pp.pool_neighbors(c, modality="prot"), "modality='prot': one of 'atac', 'rna' is needed"),
]  # fmt: skip


@pytest.mark.parametrize(("refused", "message"), REFUSED)
def test_refused(placed, refused, message):
    neighbors(placed["atac"], 7, "mine")
    with pytest.raises(InputError, match=message):
        refused(placed)
